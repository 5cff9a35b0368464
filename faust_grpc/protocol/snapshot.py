"""Streams that begin with all there is: how far the snapshot of a call has come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..config import AfterSnapshot

__all__ = ["Marker", "Snapshot"]

#: Tells of a message whether the snapshot is complete with it.
Marker: TypeAlias = Callable[[Any], Any]


class Snapshot:
    """The snapshot of one call after another.

    Arguments:
        after: whether the stream is over with it.
        complete: a position is known that stands for all of it.
    """

    def __init__(self, after: AfterSnapshot, *, complete: bool) -> None:
        self.is_end = after == "stop"
        self.marker: Marker | None = None
        #: A call's snapshot was complete once: positions behind it can be resumed from.
        self.complete = complete
        #: A snapshot is being received.
        self.is_open = False
        #: This call's snapshot is complete, or it resumed behind one.
        self.synced = False
        #: Events of it, since somebody looked.
        self.events = 0

    def called(self, *, resumed: bool) -> None:
        """A call is made, behind a position or not."""
        self.synced = False
        self.is_open = self.marker is not None and not (resumed and self.complete)

    def ends_with(self, message: Any) -> bool:
        """Return whether the call is synced with this message."""
        if self.marker is None or (self.is_open and not self.marker(message)):
            return False
        self.synced = self.complete = True
        self.is_open = False
        return True

    def counted(self, records: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], Any]:
        """Return the same function, which counts events."""

        def counting(message: Any) -> tuple[Any, ...]:
            found = records(message)
            self.events += len(found)
            return found

        return counting

    def moved_on(self) -> bool:
        """Return whether events came since this was asked last."""
        events, self.events = self.events, 0
        return events > 0
