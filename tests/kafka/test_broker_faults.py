"""The broker fails: killed, away for a minute, its coordinators moved, a transaction ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.cluster import Cluster
from support.judge import Judgement
from support.members import Shop
from support.orders import OrderServer

from faust_grpc.testing import Broker, broker
from faust_grpc.testing.kafka_cluster import KafkaCluster

AWAY_SECONDS = 60.0
#: For so long nothing more must be sent while the broker is away.
SILENT_SECONDS = 20.0
#: What may be read ahead is far less; the rest is Python's own.
MEMORY_BYTES = 64 * 1024 * 1024
#: How often a worker is halted until that meets an open transaction.
HALTS = 100


@pytest.fixture(scope="module")
def own_broker() -> Iterator[Broker]:
    """A Kafka that may be killed. It looks often for transactions that took too long."""
    settings = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "100"}
    with broker("kafka", settings=settings) as started:
        yield started


class Away:
    """A broker that is away for a minute: most of that is waiting, while other tests run.

    Arguments:
        go_server: the order server's program.
        directory: for logs and data.
    """

    def __init__(self, go_server: Path, directory: Path) -> None:
        self._go_server = go_server
        self._directory = directory
        self.told: list[str] = []
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="away")
        #: By how much each worker grew, and what was found in the end, by guarantee.
        self.outcome: Future[tuple[list[int], dict[str, Judgement]]] = self._pool.submit(self._run)

    def close(self) -> None:
        """Wait for the end."""
        self._pool.shutdown()

    def _run(self) -> tuple[list[int], dict[str, Judgement]]:
        with ExitStack() as ending:
            kafka = ending.enter_context(broker("kafka"))
            clusters = [
                ending.enter_context(self._cluster(kafka, delivery, ending))
                for delivery in ("at_least_once", "exactly_once")
            ]
            for cluster in clusters:
                cluster.start("w1")
            for cluster in clusters:
                cluster.wait_settled(timeout=120)
                cluster.wait_processed(2000, timeout=120)
            before = [cluster.memory("w1") for cluster in clusters]
            kafka.kill()
            clusters[0].say("kill the broker")
            self._wait_away_and_silent(clusters)
            after = [cluster.memory("w1") for cluster in clusters]
            grown = [then - now for now, then in zip(before, after, strict=True)]
            for cluster, size in zip(clusters, grown, strict=True):
                cluster.say(f"{size / 2**20:.1f} MiB more than before, sent {cluster.sent()}")
            kafka.restart()
            clusters[0].say("the broker is back")
            for cluster in clusters:
                cluster.wait_processed(2000, timeout=180)
                cluster.say("2000 more orders of every split")
            return grown, {cluster.shop.delivery: cluster.finish() for cluster in clusters}

    def _cluster(self, kafka: Broker, delivery: str, ending: ExitStack) -> Cluster:
        directory = self._directory / delivery
        directory.mkdir()
        shop = Shop(
            app_id=delivery,
            delivery=delivery,
            rate=500,
            buffered=512,
            unacked=128,
            sources={"orders": ["r0", "r1", "r2", "r3"]},
        )
        server = ending.enter_context(OrderServer([self._go_server], directory))
        return Cluster(kafka, server, directory, shop, tell=self.told.append)

    def _wait_away_and_silent(self, clusters: list[Cluster]) -> None:
        until = time.monotonic() + AWAY_SECONDS
        sent, since = [cluster.sent() for cluster in clusters], time.monotonic()

        def away_and_silent() -> bool:
            nonlocal sent, since
            now = [cluster.sent() for cluster in clusters]
            if now != sent:
                sent, since = now, time.monotonic()
            return time.monotonic() > until and time.monotonic() - since > SILENT_SECONDS

        clusters[0].wait(away_and_silent, AWAY_SECONDS + 60, "the servers are held back")


@pytest.fixture(scope="module", autouse=True)
def away(
    request: pytest.FixtureRequest, go_server: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Away | None]:
    """Begun with the first test of this module, if it is wanted at all."""
    mine = [item.name for item in request.session.items if item.path == request.path]
    if not any("K04" in name for name in mine):
        yield None
        return
    begun = Away(go_server, tmp_path_factory.mktemp("away"))
    yield begun
    begun.close()


def assert_exact(delivery: str, judgement: Judgement) -> None:
    """Nothing is lost; and exactly once nothing twice."""
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0
    if delivery == "exactly_once":
        assert judgement.duplicates == 0


@pytest.mark.timeout(600)
def test_broker_killed_and_restarted(
    make_cluster: Callable[..., Cluster], own_broker: Broker
) -> None:
    """Three times, with two workers at work: they go on by themselves."""
    cluster = make_cluster(broker=own_broker, delivery="exactly_once")
    cluster.start("w1", "w2")
    cluster.wait_settled(timeout=120)
    for _ in range(3):
        own_broker.kill()
        cluster.say("kill the broker")
        own_broker.restart()
        cluster.say("the broker is back")
        cluster.wait_processed(400, timeout=180)
        cluster.say("400 more orders of every split")
    assert_exact("exactly_once", cluster.finish())


@pytest.mark.timeout(600)
def test_transaction_timed_out(make_cluster: Callable[..., Cluster], own_broker: Broker) -> None:
    """A worker is halted in the middle of a transaction for longer than that may take, but not for
    longer than its session: the broker aborts it, and all of it is done again."""
    cluster = make_cluster(
        broker=own_broker,
        delivery="exactly_once",
        block=10,
        interval_seconds=0.05,
        kafka_options={"transaction.timeout.ms": 1000},
        session_seconds=10.0,
    )
    cluster.start("w1")
    cluster.wait_settled(timeout=120)
    worker, halts = cluster.members["w1"], 0
    while worker.alive:
        halts += 1
        assert halts < HALTS, "no halt met an open transaction"
        cluster.halt("w1")
        until = time.monotonic() + 1.5
        cluster.wait(lambda until=until: time.monotonic() > until, 10, "the time-out")
        cluster.resume("w1")
        goal = sum(cluster.reached().values()) + 100
        cluster.wait(
            lambda goal=goal: not worker.alive or sum(cluster.reached().values()) > goal,
            60,
            "more orders, or the end of the worker",
        )
    cluster.say(f"halt {halts} met a transaction: {worker.log_tail(1)}")
    assert_exact("exactly_once", cluster.finish())


@pytest.mark.timeout(900)
def test_coordinators_move(make_cluster: Callable[..., Cluster]) -> None:
    """Each of three brokers is killed once, with what it leads and coordinates: groups,
    transactions, changelogs."""
    with KafkaCluster() as three:
        cluster = make_cluster(broker=three, delivery="exactly_once")
        cluster.start("w1", "w2")
        cluster.wait_settled(timeout=180)
        for node in three.nodes:
            three.wait_in_sync()
            coordinated = [
                partition
                for partition in range(4)
                if three.leader("__transaction_state", partition) is node
            ]
            node.kill()
            cluster.say(f"kill broker {node.node}, coordinator of {coordinated}")
            cluster.wait_processed(400, timeout=180)
            cluster.say("400 more orders of every split")
            node.restart()
        assert_exact("exactly_once", cluster.finish())


@pytest.mark.timeout(900)
def test_K04_broker_away(away: Away) -> None:
    """For a minute, with both guarantees: buffers are bounded, HTTP/2 holds the server back, no
    checkpoint is beyond what was written, and nothing is dropped."""
    try:
        grown, judgements = away.outcome.result()
    finally:
        print("\n".join(away.told))
    assert all(size < MEMORY_BYTES for size in grown)
    for delivery, judgement in judgements.items():
        assert_exact(delivery, judgement)
