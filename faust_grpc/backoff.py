"""How long to wait before the next call: a pure decision."""

from __future__ import annotations

import random

from .config import Backoff

__all__ = ["Delays"]


class Delays:
    """The delays of one split.

    Arguments:
        backoff: bounds and growth.
        rng: source of jitter; a seeded one makes a test repeatable.
    """

    def __init__(self, backoff: Backoff, rng: random.Random | None = None) -> None:
        self._backoff = backoff
        self._rng = rng or random.Random()
        #: Calls in a row that ended without a message.
        self.attempts = 0
        self._slow_attempts = 0
        self._since: float | None = None

    def next(self, now: float | None = None) -> float:
        """Return the delay in seconds before the next attempt, and count that attempt.

        Full jitter (a draw from the whole range) spreads the clients of a restarted server best:
        see "Exponential Backoff And Jitter" in the AWS Architecture Blog.

        Arguments:
            now: monotonic seconds, for :meth:`exhausted`.
        """
        backoff = self._backoff
        ceiling = self._ceiling(backoff.initial_seconds, backoff.maximum_seconds, self.attempts)
        self._count(now)
        return self._rng.uniform(0, ceiling)

    def slow(self, now: float | None = None) -> float:
        """Return the delay before the next attempt at a server that is at a limit, and count it.

        At least half of the ceiling: a server that counts our last call for a while must not be
        asked again at once, which a draw from the whole range could do.
        """
        backoff = self._backoff
        ceiling = self._ceiling(
            backoff.slow_initial_seconds, backoff.slow_maximum_seconds, self._slow_attempts
        )
        self._slow_attempts += 1
        self._count(now)
        return self._rng.uniform(ceiling / 2, ceiling)

    def exhausted(self, now: float) -> str:
        """Return which limit the attempts have reached, or ``""``."""
        attempts, seconds = self._backoff.max_attempts, self._backoff.give_up_after_seconds
        if attempts is not None and self.attempts >= attempts:
            return f"gave up after {self.attempts} attempts (Backoff(max_attempts={attempts}))"
        if seconds is not None and self._since is not None and now - self._since >= seconds:
            return (
                f"gave up after {now - self._since:.0f} s and {self.attempts} attempts "
                f"(Backoff(give_up_after_seconds={seconds:g}))"
            )
        return ""

    def reset(self) -> None:
        """Start over: the last call brought a message, or was healthy for a while."""
        self.attempts = self._slow_attempts = 0
        self._since = None

    def _count(self, now: float | None) -> None:
        self.attempts += 1
        if self._since is None:
            self._since = now

    def _ceiling(self, initial: float, maximum: float, attempts: int) -> float:
        try:
            return min(initial * self._backoff.multiplier**attempts, maximum)
        except OverflowError:
            return maximum
