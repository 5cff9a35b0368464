"""How much may be with agents at the same time."""

from __future__ import annotations

import pytest

from faust_grpc.acks import Delivery, LowWaterMark
from faust_grpc.config import Buffer
from faust_grpc.window import Window


def nothing_is_dropped(delivery: Delivery, events: int) -> None:
    raise AssertionError(delivery)


@pytest.fixture
def window() -> Window:
    return Window(LowWaterMark(), Buffer(unacked=256), nothing_is_dropped)


def test_slow_agents_are_given_less_until_a_barrier_is_short(window: Window) -> None:
    """With 50 ms for a message a full window of 256 takes 13 s."""
    rooms = []
    for _ in range(8):
        rooms.append(window.room())
        window.adapt(0.05 * window.room(), 1.0)
    assert rooms == [256, 128, 64, 32, 16, 16, 16, 16]


def test_agents_that_became_fast_are_given_more_again(window: Window) -> None:
    for _ in range(20):
        window.adapt(60.0, 1.0)
    assert window.room() == 1, "never nothing"
    for _ in range(20):
        window.adapt(0.01, 1.0)
    assert window.room() == 256, "never more than declared"


def test_what_is_with_agents_already_counts(window: Window) -> None:
    mark = window._mark
    for position in range(1, 101):
        mark.add(Delivery(position, position, ((None, None, None),)))  # type: ignore[arg-type]
    window.adapt(60.0, 1.0)
    window.adapt(60.0, 1.0)
    assert window.room() == 64 - 100, "nothing more until enough is finished"
