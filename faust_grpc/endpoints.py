"""Which of several servers the next call goes to. A pure decision."""

from __future__ import annotations

import time
from collections.abc import Callable

from .config import Balance

__all__ = ["SET_ASIDE_SECONDS", "Endpoints"]

#: So long a server that could not be reached is passed over, while another one is there.
SET_ASIDE_SECONDS = 10.0


class Endpoints:
    """Several servers that serve the same, by number.

    Arguments:
        count: how many.
        balance: ``"failover"`` takes the first that can be reached; ``"round_robin"`` the next.
        clock: seconds, monotonic.
    """

    def __init__(
        self, count: int, balance: Balance, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._balance = balance
        self._clock = clock
        self._next = 0
        #: Until when each is passed over.
        self._aside = [float("-inf")] * count

    def pick(self) -> int:
        """Return the number of the server for the next call."""
        count, now = len(self._aside), self._clock()
        first = self._next if self._balance == "round_robin" else 0
        order = [(first + step) % count for step in range(count)]
        reachable = [number for number in order if self._aside[number] <= now]
        # None of them: the one that had the longest time to come back.
        picked = reachable[0] if reachable else min(order, key=self._aside.__getitem__)
        self._next = (picked + 1) % count
        return picked

    def report(self, number: int, *, reached: bool) -> None:
        """Remember whether a call got through to the server."""
        self._aside[number] = float("-inf") if reached else self._clock() + SET_ASIDE_SECONDS
