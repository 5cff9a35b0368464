"""One split's life as a pure state machine: what happened goes in, what to do comes out."""

from __future__ import annotations

from .base import Action, Call, Checkpoint, Dead, Deliver, Protocol, Stop, Wait

__all__ = ["Action", "Call", "Checkpoint", "Dead", "Deliver", "Protocol", "Stop", "Wait"]
