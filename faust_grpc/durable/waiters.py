"""Those who wait for something that happens in the source's thread."""

from __future__ import annotations

import asyncio

__all__ = ["Waiters"]


class Waiters:
    """Waits of one kind; all of it is called on one event loop."""

    def __init__(self) -> None:
        self._all: list[asyncio.Future[None]] = []

    def __len__(self) -> int:
        return len(self._all)

    async def wait(self) -> None:
        """Wait for an answer.

        Raises:
            HostError: the one that it was answered with.
        """
        waiter = asyncio.get_running_loop().create_future()
        self._all.append(waiter)
        await waiter

    def answer(self, first: int | None = None, error: Exception | None = None) -> None:
        """End waits.

        Arguments:
            first: so many, those that began first; default: all.
            error: what is raised in them.
        """
        answered, self._all = self._all[:first], self._all[len(self._all[:first]) :]
        for waiter in answered:
            if waiter.done():
                continue  # nobody waits any more
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
