"""Cases that authors of Faust applications met, on whole workers."""

from __future__ import annotations

import itertools
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.cluster import Cluster

from faust_grpc.testing import Broker, free_port, wait_until

#: The container's patience at a stop.
GRACE_SECONDS = 10.0
#: What a source may add to Faust's own part of a restart; a busy machine is given more.
SOURCE_SECONDS = 3.0


@contextmanager
def unfinished_transaction(broker: Broker, topic: str, partitions: int = 4) -> Iterator[None]:
    """Somebody else's transaction is open in a changelog: what comes behind it cannot be read."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    for partition in range(partitions):
        producer.produce(topic, b"null", b'"open"', partition)
    producer.flush(30)
    yield
    producer.abort_transaction(30)


def answer(port: int, page: str) -> tuple[int, str]:
    """Return status and text of a worker's page; 0 while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/grpc/{page}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return 0, ""


def make_topic(broker: Broker, name: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for made in admin.create_topics([NewTopic(name, partitions)]).values():
        made.result(30)


def test_F02_alive_and_ready(make_cluster: Callable[..., Cluster], kafka_broker: Broker) -> None:
    """A worker that recovers is alive and not ready; afterwards it is both, also when its server is
    down, unless the probe asks for more."""
    port = free_port()
    cluster = make_cluster(delivery="exactly_once", web_ports={"w1": port})
    seen = f"{cluster.shop.app_id}-seen-changelog"
    make_topic(kafka_broker, seen, 4)
    with unfinished_transaction(kafka_broker, seen):
        cluster.start("w1")
        cluster.wait(lambda: answer(port, "health/live")[0] == 200, 60, "it lives")
        cluster.wait(
            lambda: "table recovery" in answer(port, "health/ready")[1], 60, "it says that it waits"
        )
        assert answer(port, "health/ready")[0] == 503
    cluster.wait(lambda: answer(port, "health/ready")[0] == 200, 60, "it is ready")
    cluster.wait_settled()
    assert answer(port, "health/ready?require=receiving")[0] == 200
    cluster.server.kill()
    cluster.server_kills.append(time.time())
    cluster.wait(
        lambda: answer(port, "health/ready?require=receiving")[0] == 503, 60, "it misses its server"
    )
    assert [answer(port, f"health/{page}")[0] for page in ("live", "ready")] == [200, 200]
    cluster.server.start()
    cluster.wait(lambda: answer(port, "health/ready?require=receiving")[0] == 200, 60, "it is back")
    cluster.stop("w1")


def test_F03_partitions_do_not_match(
    make_cluster: Callable[..., Cluster], kafka_broker: Broker
) -> None:
    """One line names the topic, both numbers and the setting, before anything is read."""
    cluster = make_cluster()
    topic = f"{cluster.shop.app_id}-seen-changelog"
    make_topic(kafka_broker, topic, 3)
    cluster.start("w1")
    worker = cluster.members["w1"]
    assert worker.wait(60) == 1
    assert worker.log_tail(1) == (
        f"topic {topic!r} has 3 partitions, but the app has topic_partitions=4: set "
        "topic_partitions=3, or begin anew with another app id (or without the topic)"
    )
    assert cluster.calls() == []


def test_F04_more_workers_than_splits(make_cluster: Callable[..., Cluster]) -> None:
    """A worker says once which ones have nothing to read."""
    names = ("w1", "w2", "w3")
    ports = {name: free_port() for name in names}
    cluster = make_cluster(sources={"orders": ["r0"]}, web_ports=ports)
    cluster.start(*names)
    told = r"2 of 3 workers have no split to read \(a split is read by one worker\): .+"
    cluster.wait(
        lambda: any(re.search(told, cluster.members[name].output()) for name in names),
        60,
        "somebody says it",
    )
    cluster.wait_processed(100)
    cluster.stop(*names)
    lines = [line for name in names for line in re.findall(told, cluster.members[name].output())]
    cluster.say(lines[0])
    assert all(lines.count(line) <= len(names) for line in lines)


def test_F05_recovery_that_does_not_end(
    make_cluster: Callable[..., Cluster], kafka_broker: Broker
) -> None:
    """The source says what it waits for, and for how long; no call is opened meanwhile; and it goes
    on by itself."""
    port = free_port()
    cluster = make_cluster(delivery="exactly_once", web_ports={"w1": port})
    cluster.start("w1")
    cluster.wait_settled()
    cluster.stop("w1")
    calls = len(cluster.calls())
    with unfinished_transaction(kafka_broker, f"{cluster.shop.app_id}-seen-changelog"):
        cluster.start("w1")

        def waits() -> bool:
            text = answer(port, "health/ready")[1]
            seconds = re.search(r"table recovery \((\d+) s\)", text)
            return seconds is not None and int(seconds[1]) >= 5

        cluster.wait(waits, 60, "it says that it waits")
        cluster.say(answer(port, "health/ready")[1].strip())
        assert len(cluster.calls()) == calls
    cluster.wait_settled()
    cluster.stop("w1")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.duplicates == 0


def test_F06_stopped_in_the_middle_of_transactions(
    make_cluster: Callable[..., Cluster], kafka_broker: Broker
) -> None:
    """SIGTERM while one transaction follows the other: every restart recovers soon. Then the topic
    of the cursors is deleted: that is said aloud, and nothing is read until a person decides."""
    cluster = make_cluster(delivery="exactly_once", interval_seconds=0.05, block=10)
    for _ in range(3):
        cluster.start("w1")
        cluster.wait_settled(seconds=0.0, timeout=30)
        cluster.stop("w1")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert (judgement.lost, judgement.duplicates, judgement.unsaved) == (0, 0, 0)

    topic = f"{cluster.shop.app_id}-orders-checkpoint-changelog"
    admin = AdminClient({"bootstrap.servers": kafka_broker.bootstrap})
    admin.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 30, "it is gone")
    calls = len(cluster.calls())
    cluster.start("w1")

    def stopped() -> bool:
        splits = cluster.status("w1").get("splits", {})
        return len(splits) == 8 and {split[0] for split in splits.values()} == {"fatal"}

    cluster.wait(stopped, 60, "its splits stop")
    assert "its checkpoint is lost" in cluster.status("w1")["splits"]["r0"][4]
    assert len(cluster.calls()) == calls
    cluster.stop("w1")


def test_F10_a_source_that_nobody_reads(make_cluster: Callable[..., Cluster]) -> None:
    """Worker and source say so; nothing is read only to be thrown away."""
    cluster = make_cluster()
    cluster.start("w1", program="agentless.py")
    worker = cluster.members["w1"]
    worker.wait_for_line(r"WARNING.*orders: no agent reads this source, so nothing is read", 60)
    worker.wait_for_line("waiting for: an agent that reads it", 60)
    cluster.stop("w1")
    assert cluster.calls() == []


def test_F12_rolling_restart(make_cluster: Callable[..., Cluster]) -> None:
    """Every split's gap is measured; from the moment that Faust is ready a source takes less than a
    second to read again."""
    cluster = make_cluster()
    cluster.start("w1", "w2")
    cluster.wait_settled()
    for name in ("w1", "w2"):
        cluster.stop(name)
        cluster.start(name)
        cluster.wait_settled()
    gaps = sorted(
        after.opened - before.closed
        for region in cluster.shop.regions
        for before, after in itertools.pairwise(
            span for span in cluster.calls() if span.region == region
        )
    )
    added = [
        span.opened - ready
        for span in cluster.calls()
        if (ready := _ready_before(cluster, span.reader, span.opened)) is not None
    ]
    cluster.say(
        f"{len(gaps)} gaps, median {gaps[len(gaps) // 2]:.2f} s, longest {gaps[-1]:.2f} s; from "
        f"Faust's ready to the first call at most {max(added):.2f} s"
    )
    assert max(added) < SOURCE_SECONDS
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.duplicates == 0


def _ready_before(cluster: Cluster, reader: str, moment: float) -> float | None:
    """When Faust was last ready in a worker, before a moment; with that reader's name only."""
    member = cluster.members[reader.partition(".")[0]]
    if member.reader != reader:
        return None  # an earlier life
    lines = re.findall(r"^\[([^\]]+)\].*Worker ready", member.output(), re.MULTILINE)
    times = [datetime.strptime(line, "%Y-%m-%d %H:%M:%S,%f").timestamp() for line in lines]
    return max((ready for ready in times if ready <= moment), default=None)


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_F13_a_container_is_stopped(make_cluster: Callable[..., Cluster], delivery: str) -> None:
    """Under load, within the grace: what was delivered is finished, the checkpoint is saved, calls
    are cancelled; nothing is lost and nothing comes twice."""
    cluster = make_cluster(delivery=delivery, rate=1000, unacked=64)
    for _ in range(2):
        cluster.start("w1")
        cluster.wait_processed(1000)
        began = time.monotonic()
        cluster.stop("w1")
        assert time.monotonic() - began < GRACE_SECONDS
    judgement = cluster.judge()
    assert judgement.problems == []
    assert (judgement.lost, judgement.duplicates, judgement.unsaved) == (0, 0, 0)
    assert all(span.closed < float("inf") for span in cluster.calls())
