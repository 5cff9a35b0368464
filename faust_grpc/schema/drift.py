"""A server whose types change while a worker reads it: noticed now and then, and told once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .base import Method

__all__ = ["Drift", "DriftWatch"]

logger = logging.getLogger(__name__)

#: Until the next look after one that told nothing: the server may just be starting.
_RETRY_SECONDS = 60.0
#: Differences named in one warning.
_SHOWN = 10


@dataclass(frozen=True)
class Drift:
    """How the types that a server tells now differ from those in use.

    Arguments:
        lines: the differences, one line each; none when nothing changed.
        method: with the types that the server tells now; ``None`` when it has no such method.
        outcome: what becomes of it, for people.
    """

    lines: list[str]
    method: Method | None = None
    outcome: str = "this worker goes on with those it has until it restarts"


class DriftWatch:
    """Asks a server again after calls were opened anew: that is when it may be another version.

    Arguments:
        source: name of the source, for logs.
        ask: returns how the server's types differ from those in use.
        interval_seconds: between two looks, at least.
    """

    def __init__(
        self,
        source: str,
        ask: Callable[[], Awaitable[Drift]],
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
            drift = await self._ask()
        except Exception as exc:  # of the server, or of a user's metadata: no reason to stop
            logger.info(
                "%s: whether the server's types changed is not known: %s", self._source, exc
            )
            self._seen, self._next_look = -1, time.monotonic() + min(self._interval, _RETRY_SECONDS)
            return
        lines = drift.lines
        if lines and lines != self._told:
            more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
            logger.warning(
                "%s: the server's types changed; %s: %s%s",
                self._source,
                drift.outcome,
                "; ".join(lines[:_SHOWN]),
                more,
            )
        self._told = lines

    def close(self) -> None:
        """Stop asking."""
        if self._looking is not None:
            self._looking.cancel()
