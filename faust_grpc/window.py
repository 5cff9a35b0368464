"""How much may be with agents at the same time: messages that are not acked are bounded."""

from __future__ import annotations

import asyncio

from .acks import Delivery, LowWaterMark
from .config import Buffer
from .overflow import Drop, backlog_for

__all__ = ["Window"]

#: Messages taken from a reader at once when they need not wait for agents.
_ANY = 1 << 30


class Window:
    """The bound on un-acked messages of one split, and what waits before it.

    Arguments:
        mark: knows what is acked.
        bounds: how many, and what becomes of more.
        drop: told of what is thrown away.
    """

    def __init__(self, mark: LowWaterMark, bounds: Buffer, drop: Drop) -> None:
        self._mark = mark
        self._bound = self._limit = bounds.unacked
        #: What was decoded and waits, unless the policy is to let the stream wait.
        self.backlog = backlog_for(bounds, drop)
        #: Set while agents have nothing that they have not finished.
        self.is_idle = asyncio.Event()
        self.is_idle.set()
        #: Something waits for agents to finish others; looked at again when few are left.
        self.is_starved = False
        self._resume_at = bounds.unacked // 2
        #: More than this is not held by the mark for events that were dropped.
        self._most_held = 4 * (bounds.messages + bounds.unacked)

    @property
    def unacked(self) -> int:
        """Messages that agents were given and have not finished."""
        unacked = self._mark.unacked
        return unacked if self.backlog is None else unacked - len(self.backlog)

    @property
    def waiting(self) -> int:
        """Messages that were decoded and wait."""
        return len(self.backlog) if self.backlog is not None else 0

    def room(self) -> int:
        """How many more messages may be given to agents.

        Bounded is also what a slow one holds up behind it.
        """
        held, most = self._mark.held, 4 * self._bound
        if self.backlog is None and held >= most and self._mark.position() >= 0:
            return most - self._mark.held
        return self._limit - self.unacked

    def intake(self) -> int:
        """How many more messages may be taken from the reader."""
        if self.backlog is None:
            return self.room()
        return 0 if self.backlog.is_full else _ANY

    def admit(self) -> list[Delivery]:
        """Return what waits and may be given to agents now."""
        backlog = self.backlog
        if backlog is None:
            return []
        room = self.room()
        admitted = backlog.take(room) if room > 0 else []
        self.is_starved = bool(len(backlog))
        return admitted

    def finished(self) -> bool:
        """A message was acked; return whether what waits may go on."""
        unacked = self._mark.unacked if self.backlog is None else self.unacked
        if not unacked:
            self.is_idle.set()
        if self.is_starved and unacked <= self._resume_at:
            self.is_starved = False
            return True
        return False

    def adapt(self, seconds: float, wanted_seconds: float) -> None:
        """Learn from a barrier how many messages agents finish in good time.

        Slow agents are given fewer at a time: a checkpoint waits for all that they have.

        Arguments:
            seconds: how long the barrier took.
            wanted_seconds: how long it may take.
        """
        if seconds > wanted_seconds:
            self._limit = max(1, self._limit // 2)
        elif seconds < wanted_seconds / 4:
            self._limit = min(self._bound, self._limit * 2)
        self._resume_at = self._limit // 2

    def dropped(self) -> None:
        """Something was thrown away: behind an event that is never finished it would pile up."""
        if self._mark.held > self._most_held:
            self._mark.compact()
        if not self.unacked:
            self.is_idle.set()
