"""A worker that is halted for longer than its session, and wakes up believing in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from support.cluster import Cluster

from faust_grpc.testing import Broker, broker


@pytest.fixture
def own_broker() -> Iterator[Broker]:
    """A Kafka that may be killed."""
    with broker("kafka") as started:
        yield started


def assert_silent_while_stale(cluster: Cluster, name: str, generation: int, since: float) -> None:
    """The worker processed nothing from its resumption until it joined a new generation."""
    told = [status for status in cluster.history(name) if status["time"] > since]
    stale = [status for status in told if status["generation"] <= generation]
    late = [status for status in stale if status["processed_at"] > since]
    cluster.say(f"{name}: {len(stale)} status lines of generation {generation} after its return")
    assert late == []


@pytest.mark.timeout(300)
def test_zombie_takes_nothing_more(make_cluster: Callable[..., Cluster]) -> None:
    """Another worker took over; the zombie processes and writes nothing before it joined again."""
    cluster = make_cluster()
    cluster.start("w1", "w2")
    cluster.wait_settled()
    for name in ("w1", "w2"):
        generation = cluster.status(name)["generation"]
        cluster.halt(name)
        cluster.wait_settled(seconds=1.0)
        resumed = time.time()
        cluster.resume(name)
        cluster.wait(
            lambda name=name, old=generation: cluster.status(name)["generation"] > old,
            30,
            f"{name} in a new generation",
        )
        cluster.wait_settled(seconds=1.0)
        assert_silent_while_stale(cluster, name, generation, resumed)
    cluster.wait_settled()
    cluster.stop("w1", "w2")

    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.lost == 0
    assert judgement.unsaved == 0
    # The zombie's connections stay open until it is resumed; nobody can close them for it.
    print("with the zombies' connections:")
    cluster.overlaps()
    assert cluster.overlaps(halted=cluster.ever_halted) == []


@pytest.mark.timeout(300)
def test_halted_during_recovery(make_cluster: Callable[..., Cluster]) -> None:
    """The zombie finishes its recovery, but of partitions that another worker has by now."""
    cluster = make_cluster(block=1, rate=400)
    cluster.start("w1")
    cluster.wait_processed(4000)
    cluster.start("w2")
    cluster.members["w2"].wait_for_line("Executing _on_partitions_assigned")
    generation = cluster.status("w2").get("generation", 0)
    cluster.halt("w2")
    assert "Worker ready" not in cluster.members["w2"].output(), "halted too late"
    cluster.wait_settled(timeout=90)
    resumed = time.time()
    cluster.resume("w2")
    cluster.wait_settled(timeout=90)
    assert_silent_while_stale(cluster, "w2", generation, resumed)
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps(halted=["w2.1"]) == []


@pytest.mark.timeout(300)
def test_zombie_with_writes_in_its_producer(
    make_cluster: Callable[..., Cluster], own_broker: Broker
) -> None:
    """Halted while the broker is away, with table records in its producer: they are not sent when
    it returns, over what the new owner wrote since."""
    cluster = make_cluster(broker=own_broker)
    cluster.start("w1", "w2")
    cluster.wait_settled()
    own_broker.kill()
    cluster.say("kill the broker")
    cluster.wait_processed(200)
    cluster.halt("w1")
    own_broker.restart()
    cluster.say("start the broker")
    cluster.wait_settled(timeout=90)
    cluster.wait_processed(600)
    resumed = time.time()
    generation = cluster.status("w1")["generation"]
    cluster.resume("w1")
    cluster.wait_settled(timeout=90)
    assert_silent_while_stale(cluster, "w1", generation, resumed)
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0


def test_short_halt_changes_nothing(make_cluster: Callable[..., Cluster]) -> None:
    """Halted for less than the session: same owner, nothing lost, nothing twice."""
    cluster = make_cluster()
    cluster.start("w1", "w2")
    cluster.wait_settled()
    generation = cluster.status("w1")["generation"]
    cluster.halt("w1")
    cluster.wait_processed(200, regions=cluster.status("w2")["splits"])
    cluster.resume("w1")
    cluster.wait_settled()
    assert cluster.status("w1")["generation"] == generation
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.duplicates == 0
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []
