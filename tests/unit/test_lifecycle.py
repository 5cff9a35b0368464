"""What a worker says of its own phases."""

from __future__ import annotations

import logging

import faust
import pytest
from faust.types.tuples import TP

from faust_grpc.lifecycle import REPEAT_SECONDS, Lifecycle, Phase


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lifecycle(clock: Clock) -> Lifecycle:
    app = faust.App("phases", broker="kafka://127.0.0.1:9", store="memory://")
    app.finalize()
    return Lifecycle(app, clock)


def test_a_phase_lasts_until_the_next(lifecycle: Lifecycle, clock: Clock) -> None:
    assert lifecycle.phase is Phase.STARTING
    clock.now += 5
    assert lifecycle.waiting_for == "its consumer group (5 s)"
    lifecycle.enter(Phase.REBALANCING)
    lifecycle.enter(Phase.REBALANCING)
    clock.now += 2
    assert lifecycle.waiting_for == "its consumer group (2 s)"
    lifecycle.enter(Phase.RUNNING)
    assert lifecycle.waiting_for == ""


def test_a_worker_that_stops_does_nothing_else_any_more(lifecycle: Lifecycle) -> None:
    lifecycle.enter(Phase.STOPPING)
    lifecycle.enter(Phase.RUNNING)

    assert lifecycle.phase is Phase.STOPPING


def test_F05_recovery_says_what_it_waits_for_and_warns_every_30_seconds(
    lifecycle: Lifecycle, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """A changelog partition never reaches its high watermark: a broker that is halted, say."""
    recovery = lifecycle._app.tables.recovery
    stock = TP("shop-stock-changelog", 3)
    recovery.active_highwaters[stock] = 700
    recovery.active_offsets[stock] = 199
    lifecycle.enter(Phase.RECOVERING)
    clock.now += 29
    expected = "table recovery (29 s): 501 records of shop-stock-changelog partition 3"
    assert lifecycle.waiting_for == expected

    with caplog.at_level(logging.WARNING, logger="faust_grpc"):
        for _ in range(int(2.5 * REPEAT_SECONDS)):
            clock.now += 1
            lifecycle.complain()
    assert len(caplog.messages) == 3
    assert caplog.messages[0] == (
        "No split runs here yet: waiting for table recovery (30 s): "
        "501 records of shop-stock-changelog partition 3"
    )


def test_many_partitions_are_not_all_named(lifecycle: Lifecycle) -> None:
    recovery = lifecycle._app.tables.recovery
    for number in range(5):
        recovery.active_highwaters[TP("t", number)] = 10 + number
        recovery.active_offsets[TP("t", number)] = -1
    lifecycle.enter(Phase.RECOVERING)

    assert lifecycle.waiting_for.endswith(
        "15 records of t partition 4, 14 records of t partition 3, 13 records of t partition 2, "
        "2 more partitions"
    )
