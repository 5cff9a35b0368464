"""Records that agents sent while they processed a source's events, until the broker has them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from .exceptions import HostError, WriteFailed

__all__ = ["Sends"]

#: How often to look whether the lease is still held.
_LOOK_SECONDS = 1.0


class Sends:
    """Follows what is on its way. A cursor is saved when everything behind it has arrived.

    Arguments:
        timeout_seconds: how long the broker may take.
    """

    def __init__(self, *, timeout_seconds: float = 20.0) -> None:
        self._timeout = timeout_seconds
        self._pending: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None

    def follow(self, sent: asyncio.Future[Any]) -> None:
        """Follow one record."""
        self._pending.add(sent)
        sent.add_done_callback(self._done)

    def _done(self, sent: asyncio.Future[Any]) -> None:
        self._pending.discard(sent)
        if not sent.cancelled() and sent.exception() is not None:
            self._failure = self._failure or sent.exception()

    async def arrived(self, may_write: Callable[[], bool]) -> None:
        """Wait until the broker has what was sent so far.

        Arguments:
            may_write: whether the lease is held; without it there is no point in waiting.

        Raises:
            WriteFailed: not in time.
            HostError: the broker refused a record: its event must be processed again.
        """
        waiting = set(self._pending)
        left = self._timeout
        while waiting and left > 0 and may_write():
            _, waiting = await asyncio.wait(waiting, timeout=min(left, _LOOK_SECONDS))
            left -= _LOOK_SECONDS
        if self._failure is not None:
            raise HostError(
                f"a record that an agent sent for a source's event was lost: {self._failure!r}; "
                "the event is read again after a restart"
            )
        if waiting:
            raise WriteFailed(f"{len(waiting)} records that agents sent have not arrived")
