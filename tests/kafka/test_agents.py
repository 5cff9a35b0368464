"""Agents that hang or are slow: nothing is lost, and no rebalance waits for them for long.

(One that raises is in ``test_faults.py``.)
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.cluster import Cluster

#: How long agents are waited for at a rebalance; and what a rebalance and a start take beside it.
DRAIN_SECONDS = 1.5
OTHER_SECONDS = 25.0


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_agent_slower_than_the_barrier(make_cluster: Callable[..., Cluster], delivery: str) -> None:
    """It needs seconds for what the others finish at once. A rebalance and a stop wait for it as
    long as they should, and then its orders are processed again elsewhere."""
    unacked = 128
    cluster = make_cluster(
        unacked=unacked,
        delivery=delivery,
        drain_seconds=DRAIN_SECONDS,
        options={"slow_seconds": 0.005},
    )
    cluster.start("w1", program="troubled.py")
    cluster.wait_settled(timeout=120)
    cluster.wait_processed(200, timeout=120)
    rebalances = 0
    for act in (lambda: cluster.start("w2", program="troubled.py"), lambda: cluster.stop("w1")):
        began = time.monotonic()
        act()
        cluster.wait_settled(seconds=0.0, timeout=120)
        assert time.monotonic() - began < DRAIN_SECONDS + OTHER_SECONDS
        rebalances += 1
    cluster.stop("w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.lost == 0
    if delivery == "at_least_once":  # else it is given less at a time, and may finish
        assert "agents did not finish in time" in cluster.members["w1"].output()
    assert all(split.checkpoint > unacked for split in judgement.splits.values())
    if delivery == "exactly_once":
        assert (judgement.duplicates, judgement.unsaved) == (0, 0)
    # What was given up is what the slow agent held.
    assert all(
        split.highest - split.checkpoint <= unacked and split.duplicates <= rebalances * unacked
        for split in judgement.splits.values()
    )


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_F08_agent_that_hangs(
    make_cluster: Callable[..., Cluster], tmp_path: Path, delivery: str
) -> None:
    """One order is never finished: its worker's splits stand still, the others go on; it holds up
    neither a rebalance nor the stop; and who takes over processes everything."""
    cluster = make_cluster(
        unacked=128,
        delivery=delivery,
        drain_seconds=DRAIN_SECONDS,
        stuck_seconds=2.0,
        options={"hang": ["r0", 1000, str(tmp_path / "met")]},
    )
    cluster.start("w1", "w2", program="troubled.py")
    cluster.wait_settled()
    cluster.wait(lambda: (tmp_path / "met").exists(), 60, "an agent hangs")
    (hung,) = (name for name in cluster.running if "r0" in cluster.status(name)["splits"])
    (other,) = {"w1", "w2"} - {hung}
    cluster.wait_processed(400, regions=cluster.status(other)["splits"])
    cursor = cluster.status(hung)["splits"]["r0"][1]
    assert cursor == 999, "finished up to the one before"
    if delivery == "at_least_once":  # the same code tells it in both
        cluster.wait(
            lambda: cluster.status(hung)["splits"]["r0"][0] == "stuck", 60, "its state says so"
        )
        reason = cluster.status(hung)["splits"]["r0"][4]
        cluster.say(f"stuck: {reason}")
        assert "trouble" in reason
        assert "1000" in reason

    began = time.monotonic()
    cluster.start("w3", program="troubled.py")
    cluster.wait(
        lambda: any(span.reader == "w3.1" for span in cluster.calls()), 60, "w3 has splits"
    )
    assert time.monotonic() - began < DRAIN_SECONDS + OTHER_SECONDS
    began = time.monotonic()
    cluster.stop(hung)
    assert time.monotonic() - began < DRAIN_SECONDS + OTHER_SECONDS
    cluster.wait_settled()
    cluster.stop(*cluster.running)
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0
    if delivery == "exactly_once":
        assert judgement.duplicates == 0
