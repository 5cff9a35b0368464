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
        self.attempts = 0

    def next(self) -> float:
        """Return the delay in seconds before the next attempt, and count that attempt.

        Full jitter (a draw from the whole range) spreads the clients of a restarted server best:
        see "Exponential Backoff And Jitter" in the AWS Architecture Blog.
        """
        backoff = self._backoff
        try:
            ceiling = backoff.initial_seconds * backoff.multiplier**self.attempts
        except OverflowError:
            ceiling = backoff.maximum_seconds
        self.attempts += 1
        return self._rng.uniform(0, min(ceiling, backoff.maximum_seconds))

    def reset(self) -> None:
        """Start over: the last call brought a message."""
        self.attempts = 0
