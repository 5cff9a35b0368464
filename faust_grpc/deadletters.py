"""What becomes of bad messages: kept by a topic or a callback, or only logged; never lost."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from faust.types import ChannelT

from .backoff import Delays
from .config import Backoff
from .types import DeadLetter

__all__ = ["DeadLetters", "tell"]

logger = logging.getLogger(__name__)


def tell(letter: DeadLetter) -> None:
    """Log a dead letter, without its bytes."""
    logger.warning(
        "%s/%s: dead letter: message %d (%d bytes): %s",
        letter.source,
        letter.split,
        letter.position,
        len(letter.raw),
        letter.reason,
    )


class DeadLetters:
    """Hands dead letters on, one after another.

    A letter counts as kept when the callback returned or the topic's broker confirmed it. One
    that cannot be kept is tried again for ever, and the checkpoint waits for it: what is behind
    it is processed, but read again after a restart.

    Arguments:
        keep: a callable that takes a :class:`DeadLetter` (plain or async), a Faust topic, or
            ``None`` to log only.
    """

    def __init__(self, keep: Callable[[DeadLetter], Any] | ChannelT[Any] | None) -> None:
        self._keep = keep
        #: Letters that were kept.
        self.kept = 0
        #: Letters that were not kept yet.
        self.waiting = 0
        self._queue: asyncio.Queue[tuple[DeadLetter, Callable[[], None]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    def add(self, letter: DeadLetter, kept: Callable[[], None]) -> None:
        """Keep a letter, then call ``kept``."""
        tell(letter)
        if self._keep is None:
            kept()
            return
        self._queue.put_nowait((letter, kept))
        self.waiting += 1
        if self._task is None:
            self._task = asyncio.ensure_future(self._run())

    def close(self) -> None:
        """Stop trying; what was not kept is read again by the next owner."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        delays = Delays(Backoff())
        while True:
            letter, kept = await self._queue.get()
            while True:
                if await self._kept(letter, delays.attempts):
                    break
                await asyncio.sleep(delays.next())
            delays.reset()
            self.waiting -= 1
            self.kept += 1
            kept()

    async def _kept(self, letter: DeadLetter, failures: int) -> bool:
        try:
            if isinstance(self._keep, ChannelT):
                sent = await self._keep.send(value=letter.raw, headers=letter.headers())
                await sent
            elif self._keep is not None:
                result = self._keep(letter)
                if inspect.isawaitable(result):
                    await result
        except Exception as exc:  # a user's callable or the broker: any failure means "not kept"
            if failures & (failures + 1) == 0:  # the 1st, 2nd, 4th, 8th, … time
                logger.error(
                    "%s/%s: dead letter %d could not be kept, trying again: %r",
                    letter.source,
                    letter.split,
                    letter.position,
                    exc,
                )
            return False
        return True
