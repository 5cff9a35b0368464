"""The broker fails: killed, away for a minute, its coordinators moved, a transaction ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from support.away import Away
from support.cluster import Cluster
from support.judge import Judgement

from faust_grpc.testing import Broker, broker
from faust_grpc.testing.kafka_cluster import KafkaCluster

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


@pytest.fixture(scope="module", autouse=True)
def begin_away(request: pytest.FixtureRequest) -> None:
    """The broker of K04 goes away while the other tests of this module run, if K04 is wanted."""
    if any("K04" in item.name and item.path == request.path for item in request.session.items):
        request.getfixturevalue("away")


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
    longer than its session: the broker aborts it, the worker recovers its partitions, and all of it
    is done again."""
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

    def fenced_off() -> bool:
        return "partitions are recovered" in worker.output()

    while not fenced_off():
        halts += 1
        assert halts < HALTS, "no halt met an open transaction"
        cluster.halt("w1")
        until = time.monotonic() + 1.5
        cluster.wait(lambda until=until: time.monotonic() > until, 10, "the time-out")
        cluster.resume("w1")
        goal = sum(cluster.reached().values()) + 100
        cluster.wait(
            lambda goal=goal: fenced_off() or sum(cluster.reached().values()) > goal,
            60,
            "more orders, or a recovery",
        )
    cluster.say(f"halt {halts} met a transaction")
    assert_exact("exactly_once", cluster.finish())
    assert worker.reader == "w1.1", "it went on by itself"


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
    found = away.found()
    assert set(found.judgements) == {"at_least_once", "exactly_once"}
    for delivery, judgement in found.judgements.items():
        assert found.grown[delivery] < MEMORY_BYTES
        assert_exact(delivery, judgement)
