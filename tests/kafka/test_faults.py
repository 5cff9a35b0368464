"""Ten random faults on two and three workers: ``kill -9``, SIGTERM, SIGSTOP past the session, the
server killed; eight splits on four partitions. What happened is read from the broker afterwards.

The same seed plans the same faults: ``SEED=7 pytest tests/kafka/test_faults.py``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.cluster import Cluster
from support.faults import DECK, Faults, plan


@dataclass(frozen=True)
class Run:
    """One run.

    Arguments:
        workers: how many.
        options: of :class:`support.members.Shop`.
        pure: Faust without its compiled parts.
        program: of the workers.
    """

    workers: int
    options: dict[str, Any] = field(default_factory=dict)
    pure: bool = False
    program: str = "shop.py"

    def on(self, make_cluster: Callable[..., Cluster], seed: int, delivery: str = "") -> Cluster:
        """Make the cluster, and do it."""
        names = [f"w{number}" for number in range(1, self.workers + 1)]
        chosen = random.Random(seed)
        steps = list(plan(chosen, names, chosen.sample(DECK, len(DECK))))
        print(f"seed {seed}: {' '.join(map(str, steps))}")
        cluster = make_cluster(
            env={"NO_CYTHON": "1" if self.pure else ""},
            session_seconds=4.0,
            delivery=delivery,
            **self.options,
        )
        cluster.start(*names, program=self.program)
        cluster.wait_settled(timeout=120)
        Faults(cluster).run(steps)
        return cluster


ROCKSDB = "rocksdb://"
#: An agent raises behind every so many orders of a split.
RAISING = {"raise_every": 300}
AT_LEAST_ONCE = {
    "two workers": Run(2, {"standby": 1, "options": RAISING}, program="troubled.py"),
    "three workers": Run(3, {"totals": False, "store": ROCKSDB}, pure=True),
}


#: Each pair of table count, store, standby replicas and build of Faust is in one of them.
EXACTLY_ONCE = {
    "one table": Run(3, {"totals": False, "refunds_topic": "refunds-1"}),
    "two tables, RocksDB, standby": Run(
        2, {"store": ROCKSDB, "standby": 1, "options": RAISING}, program="troubled.py"
    ),
    "two tables, RocksDB, pure": Run(
        3, {"store": ROCKSDB, "refunds_topic": "refunds-3"}, pure=True
    ),
    "two tables, standby, pure": Run(3, {"standby": 1}, pure=True),
    "one table, RocksDB, standby, pure": Run(
        2,
        {"totals": False, "store": ROCKSDB, "standby": 1, "refunds_topic": "refunds-5"},
        pure=True,
    ),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", EXACTLY_ONCE.values(), ids=EXACTLY_ONCE)
def test_exactly_once_under_random_faults(
    make_cluster: Callable[..., Cluster], seed: int, run: Run
) -> None:
    """Nothing is lost and nothing is in a table twice, at no moment."""
    cluster = run.on(make_cluster, seed, delivery="exactly_once")
    judgement = cluster.finish()
    overlaps = cluster.overlaps(halted=cluster.ever_halted)
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.duplicates == 0
    assert judgement.unsaved == 0, "stopped in order: every processed order is below a checkpoint"
    assert all(split.highest > 1000 for split in judgement.splits.values())
    assert overlaps == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", AT_LEAST_ONCE.values(), ids=AT_LEAST_ONCE)
def test_at_least_once_under_random_faults(
    make_cluster: Callable[..., Cluster], seed: int, run: Run
) -> None:
    """Nothing is lost; what comes twice was not below a checkpoint; every split has one reader."""
    cluster = run.on(make_cluster, seed)
    judgement = cluster.finish()
    overlaps = cluster.overlaps(halted=cluster.ever_halted)
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0, "stopped in order: every processed order is below a checkpoint"
    assert all(split.highest > 1000 for split in judgement.splits.values())
    assert overlaps == []
