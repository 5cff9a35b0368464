"""One split's life as a pure state machine: what happened goes in, what to do comes out."""

from __future__ import annotations

from .base import Action, Call, Checkpoint, Dead, Protocol, Send, Stop, Wait
from .declared import Counts, DeclaredProtocol, ErrorField

__all__ = [
    "Action",
    "Call",
    "Checkpoint",
    "Counts",
    "Dead",
    "DeclaredProtocol",
    "ErrorField",
    "Protocol",
    "Send",
    "Stop",
    "Wait",
]
