"""A server whose types change while a worker reads it: noticed now and then, and told once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

__all__ = ["DriftWatch"]

logger = logging.getLogger(__name__)

#: Differences named in one warning.
_SHOWN = 10


class DriftWatch:
    """Asks a server again after calls were opened anew: that is when it may be another version.

    Arguments:
        source: name of the source, for logs.
        ask: returns how the server's types differ from those in use, one line each.
        interval_seconds: between two looks, at least.
    """

    def __init__(
        self,
        source: str,
        ask: Callable[[], Awaitable[list[str]]],
        *,
        interval_seconds: float = 3600.0,
    ) -> None:
        self._source = source
        self._ask = ask
        self._interval = interval_seconds
        self._next_look = 0.0
        self._seen = 0
        self._told: list[str] = []
        self._looking: asyncio.Task[None] | None = None

    def look(self, reopened: int) -> None:
        """Ask the server if it is time to.

        Arguments:
            reopened: calls opened so far that were not the first of their split.
        """
        if reopened == self._seen or time.monotonic() < self._next_look:
            return
        self._seen = reopened
        self._next_look = time.monotonic() + self._interval
        self._looking = asyncio.ensure_future(self._look())

    async def _look(self) -> None:
        try:
            lines = await self._ask()
        except Exception as exc:  # of the server, or of a user's metadata: no reason to stop
            logger.info(
                "%s: whether the server's types changed is not known: %s", self._source, exc
            )
            return
        if lines and lines != self._told:
            more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
            logger.warning(
                "%s: the server's types changed; this worker goes on with those it has until it "
                "restarts: %s%s",
                self._source,
                "; ".join(lines[:_SHOWN]),
                more,
            )
        self._told = lines

    def close(self) -> None:
        """Stop asking."""
        if self._looking is not None:
            self._looking.cancel()
