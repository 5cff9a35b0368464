"""A thread with an event loop of its own, where the streams of a durable source are read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["LoopThread"]

_T = TypeVar("_T")


class LoopThread:
    """An event loop in a thread, so that what agents do to theirs does not matter here.

    Arguments:
        name: of the thread.
        workers: how many calls may block at a time, see :meth:`asyncio.loop.run_in_executor`.
    """

    def __init__(self, name: str, workers: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(workers, thread_name_prefix=name))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function there, soon; in the order of these calls."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def wait(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call a function there and block until it is done; for what is over in a millisecond."""

        async def called() -> _T:
            return function(*arguments)

        result: _T = self.submit(called()).result()
        return result

    async def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine there and wait for it; cancelled, it is cancelled too."""
        return await asyncio.wrap_future(self.submit(coroutine))

    def submit(self, coroutine: Coroutine[Any, Any, _T]) -> Any:
        """Run a coroutine there; return a ``concurrent.futures.Future`` of its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def close(self) -> None:
        """End the thread; what still runs there is cancelled, what blocks is waited for."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
