"""What a split is doing, in one word."""

from __future__ import annotations

from enum import Enum

__all__ = ["SplitState"]


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
