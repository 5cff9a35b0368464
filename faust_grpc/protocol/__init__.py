"""One split's life as a pure state machine: what happened goes in, what to do comes out."""

from __future__ import annotations

from .base import (
    Action,
    Call,
    Checkpoint,
    Close,
    Dead,
    Finish,
    Protocol,
    Send,
    Stop,
    Synced,
    Wait,
    Warn,
)
from .counts import Counts
from .declared import DeclaredProtocol
from .receiving import ErrorField
from .snapshot import Marker

__all__ = [
    "Action",
    "Call",
    "Checkpoint",
    "Close",
    "Counts",
    "Dead",
    "DeclaredProtocol",
    "ErrorField",
    "Finish",
    "Marker",
    "Protocol",
    "Send",
    "Stop",
    "Synced",
    "Wait",
    "Warn",
]
