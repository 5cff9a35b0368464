"""What several calls in a row tell that none of them tells alone. A pure decision."""

from __future__ import annotations

from collections import deque

__all__ = ["Lives", "Standstill"]

#: Calls that must have ended alike before it is called a pattern.
ALIKE = 3
#: How far their times may differ: a part of the longest, and at least what a busy machine adds.
SPREAD = 0.1
SPREAD_SECONDS = 0.3
#: Calls that end sooner do not end for their age.
LEAST_SECONDS = 1.0


class Lives:
    """How long a split's calls lived, and how long they were silent before they ended."""

    def __init__(self) -> None:
        self._ages: deque[float] = deque(maxlen=ALIKE)
        self._silences: deque[float] = deque(maxlen=ALIKE)

    def ended(self, age: float, silence: float) -> str:
        """Return what the last calls have in common, or ``""``.

        Arguments:
            age: seconds from the call's acceptance to its end.
            silence: seconds from its last message (or its acceptance) to its end.
        """
        self._ages.append(age)
        self._silences.append(silence)
        # With the same traffic in each call both are alike: silence is what one can do about.
        if _alike(self._silences):
            return (
                f"calls end after {_mean(self._silences):.0f} s without data: probably the idle "
                "time-out of a proxy; HTTP/2 pings do not count there, heartbeat messages do"
            )
        if _alike(self._ages):
            return (
                f"calls end when they are {_mean(self._ages):.0f} s old: probably a greatest age "
                "set at the server or a proxy"
            )
        return ""


def _alike(seconds: deque[float]) -> bool:
    if len(seconds) < ALIKE or min(seconds) < LEAST_SECONDS:
        return False
    return max(seconds) - min(seconds) <= max(SPREAD * max(seconds), SPREAD_SECONDS)


def _mean(seconds: deque[float]) -> float:
    return sum(seconds) / len(seconds)


class Standstill:
    """How long the oldest event that is not finished has been the same one."""

    def __init__(self) -> None:
        self._position = 0
        self._since = 0.0

    def seconds(self, position: int | None, now: float) -> float:
        """Return how long nothing has moved, as far as was looked.

        Arguments:
            position: of the oldest that is not finished; ``None``: there is none.
            now: monotonic seconds.
        """
        if position is None or position != self._position:
            self._position = position or 0
            self._since = now
        return now - self._since
