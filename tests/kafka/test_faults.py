"""Ten random faults on two and three workers: ``kill -9``, SIGTERM, SIGSTOP past the session, the
server killed; eight splits on four partitions. What happened is read from the broker afterwards.

The same seed plans the same faults: ``SEED=7 pytest tests/kafka/test_faults.py``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.cluster import Cluster
from support.faults import DECK, Faults, plan
from support.judge import Judgement
from support.members import Shop
from support.orders import OrderServer

from faust_grpc.testing import Broker

#: Clusters at once: each waits most of the time, for sessions that run out.
AT_ONCE = 2
REGIONS = {"orders": [f"r{number}" for number in range(8)]}
TWO_SOURCES = {"orders": ["r0", "r1", "r2", "r3"], "returns": ["x0", "x1", "x2", "x3"]}
ROCKSDB = "rocksdb://"
#: An agent raises behind every so many orders of a split.
RAISING = {"raise_every": 300}


@dataclass(frozen=True)
class Run:
    """What one cluster is like.

    Arguments:
        workers: how many.
        delivery: of its sources.
        options: more, of :class:`support.members.Shop`.
        pure: Faust without its compiled parts.
        program: of the workers.
    """

    workers: int
    delivery: str
    options: dict[str, Any] = field(default_factory=dict)
    pure: bool = False
    program: str = "shop.py"


#: Each pair of table count, store, standby replicas and build of Faust is in one of the exactly
#: once.
RUNS = {
    "at least once, two workers": Run(
        2, "at_least_once", {"standby": 1, "options": RAISING}, program="troubled.py"
    ),
    "at least once, three workers": Run(
        3, "at_least_once", {"store": ROCKSDB, "sources": TWO_SOURCES}, pure=True
    ),
    "one table": Run(3, "exactly_once", {"totals": False, "refunds_topic": "refunds-1"}),
    "RocksDB, standby": Run(
        2,
        "exactly_once",
        {"store": ROCKSDB, "standby": 1, "options": RAISING},
        program="troubled.py",
    ),
    "RocksDB, pure": Run(
        3, "exactly_once", {"store": ROCKSDB, "refunds_topic": "refunds-2"}, pure=True
    ),
    "standby, pure": Run(3, "exactly_once", {"standby": 1, "sources": TWO_SOURCES}, pure=True),
    "one table, RocksDB, standby, pure": Run(
        2,
        "exactly_once",
        {"totals": False, "store": ROCKSDB, "standby": 1, "refunds_topic": "refunds-3"},
        pure=True,
    ),
}


class Outcome(NamedTuple):
    """What was found after a run."""

    judgement: Judgement
    overlaps: list[str]
    refunds_lost: int
    output: str


class Runs:
    """All runs that are wanted, some at once.

    Arguments:
        names: the runs.
        broker: for all of them.
        go_server: the order server's program; each run has one of its own.
        directory: for logs and data.
        seed: of all chance.
    """

    def __init__(
        self, names: list[str], broker: Broker, go_server: Path, directory: Path, seed: int
    ) -> None:
        self._broker = broker
        self._go_server = go_server
        self._directory = directory
        self._seed = seed
        self.told: dict[str, list[str]] = {name: [] for name in names}
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cluster")
        self._outcomes: dict[str, Future[Outcome]] = {
            name: self._pool.submit(self._outcome, name) for name in names
        }

    def __getitem__(self, name: str) -> Outcome:
        try:
            return self._outcomes[name].result()
        finally:
            print("\n".join(self.told[name]))

    def close(self) -> None:
        """End; those that have not begun never will."""
        self._pool.shutdown(cancel_futures=True)

    def _outcome(self, name: str) -> Outcome:
        run, number = RUNS[name], list(RUNS).index(name)
        directory = self._directory / f"run-{number}"
        directory.mkdir()
        shop = Shop(
            app_id=f"faults-{number}",
            delivery=run.delivery,
            session_seconds=6.0,
            **{"sources": REGIONS, **run.options},
        )
        env = {"NO_CYTHON": "1" if run.pure else ""}
        with (
            OrderServer([self._go_server], directory) as server,
            Cluster(
                self._broker, server, directory, shop, env, tell=self.told[name].append
            ) as cluster,
        ):
            return self._run(cluster, run)

    def _run(self, cluster: Cluster, run: Run) -> Outcome:
        names = [f"w{number}" for number in range(1, run.workers + 1)]
        chosen = random.Random(f"{self._seed} {cluster.shop.app_id}")
        steps = list(plan(chosen, names, chosen.sample(DECK, len(DECK))))
        cluster.tell(f"logs in {cluster.directory}")
        cluster.tell(f"seed {self._seed}: {' '.join(map(str, steps))}")
        cluster.start(*names, program=run.program)
        cluster.wait_settled(timeout=120)
        faults = Faults(cluster)
        faults.run(steps)
        judgement = cluster.finish()
        return Outcome(
            judgement,
            cluster.overlaps(halted=cluster.ever_halted),
            faults.refunds_lost(),
            "\n".join(member.log.read_text() for member in cluster.members.values()),
        )


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    kafka_broker: Broker,
    go_server: Path,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> Iterator[Runs]:
    """Begun together at the first test, those that are selected."""
    wanted = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
    ]
    begun = Runs(wanted, kafka_broker, go_server, tmp_path_factory.mktemp("faults"), seed)
    yield begun
    begun.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", RUNS)
def test_ten_random_faults(runs: Runs, name: str) -> None:
    """Nothing is lost; nothing at or below a checkpoint comes again, and exactly once nothing at
    all, in no table and at no moment; every split has one reader."""
    outcome = runs[name]
    judgement = outcome.judgement
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0, "stopped in order: every processed order is below a checkpoint"
    if RUNS[name].delivery == "exactly_once":
        assert judgement.duplicates == 0
    assert all(split.highest > 1000 for split in judgement.splits.values())
    assert outcome.overlaps == []
    # The topic beside it is Faust's: its flush may return early, before its own offsets are saved.
    print(f"records of the topic that its agent's table lacks: {outcome.refunds_lost}")
    if RUNS[name].program == "troubled.py":
        assert outcome.output.count("as planned") > 20, "its agent raised again and again"
