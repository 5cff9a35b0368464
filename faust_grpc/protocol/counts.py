"""What one split has seen in this process."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Counts"]


@dataclass
class Counts:
    """What one split has seen in this process."""

    dead: int = 0
    #: Messages that the server sent again after a resume: dropped.
    repeated: int = 0
    #: Times a cursor went back within a call: the event was delivered, the cursor not saved.
    cursor_regressions: int = 0
    #: Times an unknown number of messages may be missing: a stream without cursor was called again.
    possible_gaps: int = 0
    #: Times the server could no longer resume and the stream began elsewhere: data is missing.
    lost_cursors: int = 0
    #: Events that an overflow policy dropped, by policy.
    dropped: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    #: Ends of calls by status code; ``SILENT`` and ``RENEWED`` are those that we ended.
    endings: dict[str, int] = field(default_factory=dict)
    #: The same by status code and what it meant.
    verdicts: dict[tuple[str, str], int] = field(default_factory=dict)
