"""What a worker waits for before its splits run, in words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from faust.types import AppT

__all__ = ["Lifecycle", "Phase"]

logger = logging.getLogger(__name__)

#: A worker that still waits says so this often.
REPEAT_SECONDS = 30.0

#: Changelog partitions that are named, at most.
_NAMED = 3


class Phase(str, Enum):
    """Where a worker is between its start and its end."""

    STARTING = "starting"
    #: The group shares out the partitions.
    REBALANCING = "rebalancing"
    #: Tables are read from their changelogs.
    RECOVERING = "recovering"
    RUNNING = "running"
    STOPPING = "stopping"


_WAITING = {
    Phase.STARTING: "its consumer group",
    Phase.REBALANCING: "its consumer group",
    Phase.RECOVERING: "table recovery",
    Phase.STOPPING: "the end of the worker",
}


class Lifecycle:
    """The phase of one worker, and for how long it lasts.

    Arguments:
        app: the application.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, app: AppT, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock = clock
        self.phase = Phase.STARTING
        self._since = clock()
        self._said_at = self._since

    def enter(self, phase: Phase) -> None:
        """A phase began; :attr:`Phase.STOPPING` is the last one."""
        if phase is not self.phase and self.phase is not Phase.STOPPING:
            self.phase = phase
            self._since = self._said_at = self._clock()

    @property
    def seconds(self) -> float:
        """How long the phase lasts."""
        return self._clock() - self._since

    @property
    def waiting_for(self) -> str:
        """Why no split can run; empty when the worker runs."""
        if self.phase is Phase.RUNNING:
            return ""
        text = f"{_WAITING[self.phase]} ({self.seconds:.0f} s)"
        left = self._left_to_read() if self.phase is Phase.RECOVERING else ""
        return f"{text}: {left}" if left else text

    def complain(self) -> None:
        """Warn now and then of a phase that does not end; called about every second."""
        now = self._clock()
        if self.waiting_for and now - self._said_at >= REPEAT_SECONDS:
            self._said_at = now
            logger.warning("No split runs here yet: waiting for %s", self.waiting_for)

    def _left_to_read(self) -> str:
        tables: Any = self._app.tables  # its interface lacks the recovery
        remaining = tables.recovery.active_remaining()
        left = {tp: count for tp, count in remaining.items() if count > 0}
        named = sorted(left, key=lambda tp: -left[tp])[:_NAMED]
        texts = [f"{left[tp]} records of {tp.topic} partition {tp.partition}" for tp in named]
        more = len(left) - len(named)
        return ", ".join([*texts, *([f"{more} more partitions"] if more else [])])
