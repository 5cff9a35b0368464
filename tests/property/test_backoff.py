"""Delays: full jitter, bounded, growing, and starting over."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from faust_grpc.backoff import Delays
from faust_grpc.config import Backoff


@given(
    initial=st.floats(0.001, 10),
    factor=st.floats(1, 100),
    multiplier=st.floats(1.1, 10),
    attempts=st.integers(1, 2000),
    seed=st.integers(),
)
def test_delays_stay_below_their_ceiling(
    initial: float, factor: float, multiplier: float, attempts: int, seed: int
) -> None:
    backoff = Backoff(
        initial_seconds=initial, maximum_seconds=initial * factor, multiplier=multiplier
    )
    delays = Delays(backoff, random.Random(seed))
    ceiling = initial
    for attempt in range(1, attempts + 1):
        assert 0 <= delays.next() <= min(ceiling, backoff.maximum_seconds)
        assert delays.attempts == attempt
        ceiling = min(ceiling * multiplier * 1.000001, backoff.maximum_seconds)
    delays.reset()
    assert delays.next() <= initial


def test_jitter_is_full() -> None:
    delays = Delays(Backoff(initial_seconds=1, maximum_seconds=1), random.Random(1))
    drawn = [delays.next() for _ in range(1000)]
    assert min(drawn) < 0.05
    assert max(drawn) > 0.95
