"""A subscription: the events that one agent (or stream) has yet to finish.

Faust's own queues are emptied at every rebalance, and a full one stalls every other agent. These
are plain deques that only their agent empties; back-pressure is the bound on un-acked messages.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from faust.types import EventT

__all__ = ["Lease", "Subscription"]


class Lease:
    """How long this worker may act for its partitions without a heartbeat.

    A process that was stopped (SIGSTOP, a long pause of its machine) wakes up believing that it
    still owns what another worker took over meanwhile. So nothing is taken, and nothing saved,
    when the last good heartbeat is too old.

    Attributes:
        until: monotonic time at which it ends.
    """

    __slots__ = ("_waiters", "until")

    def __init__(self) -> None:
        self.until = float("inf")
        self._waiters: list[asyncio.Future[None]] = []

    @property
    def is_held(self) -> bool:
        """The last heartbeat is recent enough."""
        return time.monotonic() < self.until

    def renew(self, seconds: float, since: float | None = None) -> None:
        """The group answered: hold for so many seconds from then; by default from now."""
        self.until = (time.monotonic() if since is None else since) + seconds
        _wake(self._waiters)

    async def renewed(self) -> None:
        """Wait for the next renewal."""
        await _wait(self._waiters)


class Subscription:
    """Events for one agent, in order, until it takes them.

    Attributes:
        events: not yet taken, oldest first.
        errors: exceptions thrown into the stream by Faust (``StopAsyncIteration`` ends it).
        lease: nothing is taken while it is lost.
        ended_at: monotonic time at which the last iteration ended; ``None`` while one runs or
            none has begun.
        looks: how often it was looked at since then. Time alone says nothing about an agent that is
            to be restarted: this process may have been halted, or its loop held up.
        is_wanted: events are put here; not any more for an agent that returned.
        is_hurried: nothing more is coming until all that was given is finished: a batch that is
            being collected ends as it is.
    """

    __slots__ = (
        "_waiters",
        "ended_at",
        "errors",
        "events",
        "is_hurried",
        "is_wanted",
        "lease",
        "looks",
    )

    def __init__(self, lease: Lease) -> None:
        self.events: deque[EventT[Any]] = deque()
        self.errors: deque[BaseException] = deque()
        self.lease = lease
        self.ended_at: float | None = None
        self.looks = 0
        self.is_wanted = True
        self.is_hurried = False
        self._waiters: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Something was added: whoever waits looks again."""
        if self._waiters:
            _wake(self._waiters)

    def hurry(self, on: bool) -> None:
        """Begin or end to be hurried."""
        self.is_hurried = on
        if on:
            self.wake()

    def news(self) -> asyncio.Future[None]:
        """Return what is done as soon as there is something to take, or a hurry begins."""
        waiter = asyncio.get_running_loop().create_future()
        if self.events or self.errors:
            waiter.set_result(None)
        else:
            self._waiters.append(waiter)
        return waiter

    async def wait(self) -> None:
        """Wait until there is something to take, or a hurry begins."""
        # Looked at when this begins, not only by the caller: as a task of its own (``wait_for``)
        # it begins later, and a wake-up in between would be for nobody.
        await self.news()

    def throw(self, exc: BaseException) -> None:
        """Raise an exception in the stream that iterates."""
        self.errors.append(exc)
        self.wake()

    def close(self) -> None:
        """Nobody will take the rest: finish it, so that the checkpoint does not wait for it."""
        while self.events:
            message: Any = self.events.popleft().message
            message.finish()


async def _wait(waiters: list[asyncio.Future[None]]) -> None:
    waiter = asyncio.get_running_loop().create_future()
    waiters.append(waiter)
    await waiter


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
