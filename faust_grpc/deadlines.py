"""How long a call may be silent, and how old it may get: a pure decision that is told the time."""

from __future__ import annotations

import random
from enum import Enum
from typing import NamedTuple

from .config import Timeouts

__all__ = ["Deadlines", "Due", "Passed"]

#: Silence that is worth a word, once, when nothing would ever end it; and that ends a call which
#: had heartbeats.
QUIET_SECONDS = 300.0
#: So many heartbeats may be missing, where they are rarer than that.
MISSED_BEATS = 3
#: The part of the greatest age that is drawn at random.
AGE_JITTER = 0.25


class Passed(Enum):
    """Which deadline it was."""

    #: No message since the call was opened.
    FIRST_MESSAGE = "first message"
    #: Nothing for long, and no idle time-out that would do something about it.
    QUIET = "quiet"
    #: Nothing for longer than the stream is ever quiet.
    IDLE = "idle"
    #: The snapshot does not come to its end.
    SYNC = "sync"
    #: The call is old enough, or its token is.
    AGE = "age"


class Due(NamedTuple):
    """A deadline that has passed.

    Arguments:
        what: which.
        text: what happened, for people.
    """

    what: Passed
    text: str


class Deadlines:
    """The deadlines of a split's calls, one call after another.

    All times are monotonic seconds.

    Arguments:
        timeouts: what was declared.
        rng: draws the age at which a call is renewed; a seeded one makes a test repeatable.
    """

    def __init__(self, timeouts: Timeouts, rng: random.Random | None = None) -> None:
        self._timeouts = timeouts
        self._rng = rng or random.Random()
        self._renew_at: float | None = None
        self._renew_text = ""
        #: When the call was made, accepted, and when it last brought anything.
        self._called_at = 0.0
        self._opened_at: float | None = None
        self._heard_at: float | None = None
        #: When the snapshot last moved on; ``None`` when there is none or it is complete.
        self._synced_at: float | None = None
        self._told_first = False
        self._told_quiet = False
        #: When the call brought its last heartbeat, and the longest time between two of a call.
        self._beat_at: float | None = None
        self._beats_apart: float | None = None

    def called(self, now: float, *, syncing: bool = False) -> None:
        """Begin anew: a call is made.

        Arguments:
            now: the time.
            syncing: it begins with a snapshot that has a declared end.
        """
        self._called_at = now
        self._opened_at = self._heard_at = self._beat_at = None
        self._synced_at = now if syncing else None
        self._told_first = False
        self._renew_at = None
        age = self._timeouts.max_call_age_seconds
        if age is not None:
            self._renew_at = now + age * self._rng.uniform(1 - AGE_JITTER, 1)
            self._renew_text = f"Timeouts(max_call_age_seconds={age:g})"

    def expires(self, at: float) -> None:
        """The call's credentials are good until then: the next call must be made before."""
        if self._renew_at is None or at < self._renew_at:
            self._renew_at = at
            self._renew_text = "its credentials expire"

    def opened(self, now: float) -> None:
        """The server accepted the call."""
        self._opened_at = now

    def heard(self, now: float) -> None:
        """Messages arrived, or wait to be taken."""
        self._heard_at = now

    def beat(self, now: float) -> None:
        """A message of a kind that only tells of life arrived.

        Two of them in one call are heartbeats: from then on silence is a fault, also where no
        time-out was declared.
        """
        if self._beat_at is not None:
            self._beats_apart = max(self._beats_apart or 0.0, now - self._beat_at)
        self._beat_at = now

    def progress(self, now: float) -> None:
        """Events of the snapshot arrived."""
        if self._synced_at is not None:
            self._synced_at = now

    def synced(self) -> None:
        """The snapshot is complete."""
        self._synced_at = None

    def next(self) -> float | None:
        """Return when :meth:`due` has to be asked; ``None``: never."""
        times = [
            time
            for time in (
                self._renew_at,
                self._first_at(),
                self._quiet_at(),
                self._idle_at(),
                self._sync_at(),
            )
            if time is not None
        ]
        return min(times) if times else None

    def due(self, now: float) -> Due | None:
        """Return the deadline that has passed, the most severe first; warnings are given once."""
        timeouts = self._timeouts
        if _passed(self._idle_at(), now):
            seconds = f"{self._idle_seconds():g} s (Timeouts(idle_seconds=...))"
            told = f"peer silent: nothing arrived for {seconds}"
            if timeouts.idle_seconds is None:
                told += ", though there were heartbeats"
            return Due(Passed.IDLE, told)
        if _passed(self._sync_at(), now):
            seconds = f"{timeouts.sync_seconds:g} s (Timeouts(sync_seconds=...))"
            return Due(Passed.SYNC, f"not synced: no event of the snapshot arrived for {seconds}")
        if _passed(self._renew_at, now):
            self._renew_at = None
            return Due(Passed.AGE, f"renewed: {self._renew_text}")
        if _passed(self._first_at(), now):
            self._told_first = True
            return Due(Passed.FIRST_MESSAGE, self._no_message())
        if _passed(self._quiet_at(), now):
            self._told_quiet = True
            return Due(
                Passed.QUIET,
                f"nothing arrived for {QUIET_SECONDS:g} s, and nothing would notice a dead peer "
                "behind a proxy: if this stream is never so quiet, set Timeouts(idle_seconds=...)",
            )
        return None

    @property
    def _last_sign(self) -> float:
        if self._heard_at is not None:
            return self._heard_at
        return self._called_at if self._opened_at is None else self._opened_at

    def _first_at(self) -> float | None:
        seconds = self._timeouts.first_message_seconds
        if seconds is None or self._told_first or self._heard_at is not None:
            return None
        return self._last_sign + seconds

    def _quiet_at(self) -> float | None:
        # Before the first message there is a word of its own for it.
        if self._told_quiet or self._heard_at is None or self._idle_seconds() is not None:
            return None
        return self._heard_at + QUIET_SECONDS

    def _idle_seconds(self) -> float | None:
        if self._timeouts.idle_seconds is not None or self._beats_apart is None:
            return self._timeouts.idle_seconds
        return max(QUIET_SECONDS, MISSED_BEATS * self._beats_apart)

    def _idle_at(self) -> float | None:
        seconds = self._idle_seconds()
        return None if seconds is None else self._last_sign + seconds

    def _sync_at(self) -> float | None:
        seconds = self._timeouts.sync_seconds
        if seconds is None or self._synced_at is None:
            return None
        return self._synced_at + seconds

    def _no_message(self) -> str:
        seconds = f"{self._timeouts.first_message_seconds:g} s"
        if self._opened_at is not None:
            return f"no message since the call was accepted {seconds} ago: does anything match"
        return (
            f"no headers and no message for {seconds}: the server sends both only with its first "
            "message, or it takes no more calls on this connection (MAX_CONCURRENT_STREAMS)"
        )


def _passed(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline
