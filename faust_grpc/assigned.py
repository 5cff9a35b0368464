"""What was decided about a split that is to run in this worker."""

from __future__ import annotations

from typing import NamedTuple

from .types import CursorValue

__all__ = ["Assigned"]


class Assigned(NamedTuple):
    """A split that is to run here."""

    partition: int
    resume: CursorValue | None
    #: Why it is not read until somebody resumes it, or empty.
    paused: str = ""
    #: Why nobody knows where to begin, or empty.
    lost: str = ""
    #: It was at work before. Of a feed that saves itself: its splits look for their records.
    known: bool = False
