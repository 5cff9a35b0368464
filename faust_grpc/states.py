"""What a split is doing, in one word."""

from __future__ import annotations

import time
from enum import Enum

from .hints import Standstill

__all__ = ["AT_REST", "SplitState", "Standing"]


class SplitState(str, Enum):
    """What a split is doing, in one word."""

    IDLE = "idle"
    #: A call was made; the server has not accepted it yet.
    CONNECTING = "connecting"
    #: The server accepted the call; no message yet.
    OPEN = "open"
    RECEIVING = "receiving"
    #: Receiving, and the declared end of the snapshot was seen.
    SYNCED = "synced"
    #: Between two calls.
    WAITING = "waiting"
    #: Events were given to agents that do not finish them.
    STUCK = "stuck"
    #: A person asked for no calls until they ask for them again.
    PAUSED = "paused"
    #: The server ended the stream, and that was declared to be the end.
    FINISHED = "finished"
    #: Ended for a reason that needs a person.
    FATAL = "fatal"
    CLOSED = "closed"


#: Nothing is read until somebody says so.
AT_REST = (SplitState.PAUSED, SplitState.FATAL, SplitState.FINISHED, SplitState.CLOSED)


class Standing:
    """What a split is doing, since when, and why."""

    def __init__(self) -> None:
        self._state = SplitState.IDLE
        self._reason = ""
        #: Agents hold it up: who, and what. Empty while they do not.
        self.stuck = ""
        #: Tells how long they do.
        self.standstill = Standstill()
        #: When the state began, monotonic.
        self.since = time.monotonic()
        #: Until the next call, while there is none.
        self.backoff_seconds = 0.0

    @property
    def state(self) -> SplitState:
        """What it is doing."""
        if self.stuck and self._state not in AT_REST:
            return SplitState.STUCK
        return self._state

    @property
    def reason(self) -> str:
        """Why it is in this state, for people."""
        return self.stuck if self.state is SplitState.STUCK else self._reason

    def _become(self, state: SplitState, reason: str = "") -> None:
        if state is not self._state:
            self.since = time.monotonic()
        self._state = state
        self._reason = reason
        self.backoff_seconds = 0.0
