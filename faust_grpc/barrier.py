"""The barrier: a moment when nothing that was delivered is un-acked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from .splits import RunningSplit

__all__ = ["barrier"]

#: How often to look whether agents still get on, and whether somebody cannot wait.
_LOOK_SECONDS = 0.1


async def barrier(
    splits: Iterable[RunningSplit],
    patience_seconds: float,
    give_way: Callable[[], bool] = lambda: False,
) -> frozenset[int]:
    """Wait until agents finished what splits gave them; return the partitions where they did not.

    A slow agent is waited for as long as it gets on: it is busy all that time. One that does not
    is given up on, and only its partitions are: nothing is lost by waiting for the next barrier.

    Arguments:
        splits: held: they deliver nothing more meanwhile.
        patience_seconds: how long nothing at all may be finished.
        give_way: a rebalance waits: whether to stop waiting at once.
    """
    splits = list(splits)
    waits = {asyncio.ensure_future(split.drained()) for split in splits if split.unacked}
    left, since = _unacked(splits), time.monotonic()
    while waits and not give_way():
        _, waits = await asyncio.wait(waits, timeout=_LOOK_SECONDS)
        now = _unacked(splits)
        if now < left:
            left, since = now, time.monotonic()
        elif time.monotonic() - since > patience_seconds:
            break
    for wait in waits:
        wait.cancel()
    return frozenset(split.partition for split in splits if split.unacked)


def _unacked(splits: Iterable[RunningSplit]) -> int:
    return sum(split.unacked for split in splits)
