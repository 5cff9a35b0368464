"""Into topics by asyncio readers, each source on a loop of its own; and what metrics tell of it."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from support import Etcd, OrderServer, Worker
from support.durable import sequences
from support.judge import read_topic
from support.reading import read_records, wait_for_markers

from faust_grpc.testing import Broker, free_port, wait_until

APPS = Path(__file__).parent / "apps"
SINKS = ("first", "second")
AGE = "faust_grpc_checkpoint_age_seconds"
#: What a loop that meets another one's calls would say.
NOISE = ("Traceback", "Exception in callback", "BlockingIOError", "never retrieved")


class Reading:
    """A worker of ``apps/readers.py``.

    Arguments:
        broker: a real one.
        server: of the orders.
        directory: for its log and data.
        env: more variables.
    """

    def __init__(self, broker: Broker, server: OrderServer, directory: Path, **env: str) -> None:
        port = free_port()
        self.broker = broker
        self.app_id = f"readers-{port}"
        self.url = f"http://127.0.0.1:{port}"
        self.worker = Worker(
            "faust",
            *("-A", "readers", "--datadir", str(directory / "data")),
            *("worker", "-l", "info", "--web-host", "127.0.0.1", "--web-port", str(port)),
            log=directory / "worker.log",
            env={
                "APP_ID": self.app_id,
                "BROKER_URL": broker.url,
                "ORDERS_TARGET": server.target,
                **env,
            },
            cwd=APPS,
            name="worker",
        )

    def text(self, path: str) -> str:
        """Return a page; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def cursors(self) -> dict[str, int]:
        """Return how far every split is saved, by source and split."""
        text = self.text("/grpc/status")
        return {
            f"{source['name']}/{split['name']}": split.get("cursor") or 0
            for source in (json.loads(text)["sources"] if text else ())
            for split in source["splits"]
        }

    def wait_for_more(self, count: int, splits: int) -> None:
        """Wait until every split is saved so much further."""
        wait_until(lambda: len(self.cursors()) == splits, 90, f"{splits} splits")
        before = self.cursors()
        self.worker.wait_until(
            lambda: all(
                self.cursors().get(name, 0) >= cursor + count
                for name, cursor in before.items()
                if not name.startswith("changes/")
            ),
            90,
            f"save {count} more of each split",
        )

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's values that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.text("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def topic(self, name: str) -> str:
        return f"{self.app_id}-{name}"

    def saved(self, source: str) -> dict[str, int]:
        """Return the last cursors in a source's topic."""
        records = read_topic(self.broker.bootstrap, self.topic(f"{source}-checkpoint-changelog"))
        return {record.key: record.value["cursor"] for record in records}


@contextmanager
def running(reading: Reading) -> Iterator[Reading]:
    try:
        reading.worker.start()
        yield reading
    finally:
        reading.worker.close()


def assert_quiet(reading: Reading) -> None:
    found = [word for word in NOISE if word in reading.worker.output()]
    assert not found, reading.worker.log_tail()


@pytest.mark.timeout(300)
def test_asyncio_readers_on_several_loops(
    kafka_broker: Broker, order_server: OrderServer, etcd: Etcd, tmp_path: Path
) -> None:
    """Two sources with a sink, a bidirectional one with a sink, and a direct one: over kills of the
    worker and of the servers, every message is in its topic once, and nothing is said."""
    reading = Reading(kafka_broker, order_server, tmp_path, ETCD_TARGET=etcd.target)
    with running(reading):
        reading.wait_for_more(100, splits=7)
        revisions = [etcd.put(**{f"config/{number}": "before"}) for number in range(20)]
        wait_until(
            lambda: reading.cursors().get("changes/main") == revisions[-1], 60, "etcd's changes"
        )
        assert_quiet(reading)
        reading.worker.kill()
        reading.worker.start()
        revisions += [etcd.put(**{f"config/{number}": "killed"}) for number in range(20)]
        reading.wait_for_more(100, splits=7)
        order_server.kill()
        etcd.kill()
        order_server.start()
        etcd.start()
        revisions += [etcd.put(**{f"config/{number}": "again"}) for number in range(20)]
        reading.wait_for_more(100, splits=7)
        wait_until(
            lambda: reading.cursors().get("changes/main") == revisions[-1], 60, "etcd's changes"
        )
        reading.worker.terminate()
        assert reading.worker.wait(60) == 0, reading.worker.log_tail()
        assert_quiet(reading)

    written = [*SINKS, "changes", *(f"{source}-checkpoint-changelog" for source in SINKS)]
    wait_for_markers(kafka_broker.bootstrap, *map(reading.topic, written))
    for source in SINKS:
        found = sequences(read_records(kafka_broker.bootstrap, reading.topic(source)))
        saved = reading.saved(source)
        for region, numbers in found.items():
            assert numbers == list(range(1, len(numbers) + 1)), region
            assert numbers[-1] == saved[region], region
    changes = read_records(kafka_broker.bootstrap, reading.topic("changes"))
    assert [_revision(record.value) for record in changes] == revisions
    assert {base64.b64decode(json.loads(c.value or b"")["kv"]["key"]) for c in changes} == {
        f"config/{number}".encode() for number in range(20)
    }


def _revision(value: bytes | None) -> int:
    return int(json.loads(value or b"")["kv"]["mod_revision"])


@contextmanager
def holding_up(reading: Reading) -> Iterator[None]:
    """Have one split take over, and wait for what another producer has not ended."""
    options = {"bootstrap.servers": reading.broker.bootstrap}
    other = Producer({**options, "transactional.id": f"{reading.app_id}-other"})
    other.init_transactions(30)
    other.begin_transaction()
    other.produce(reading.topic("first-checkpoint-changelog"), b"{}", b'"other"', 0)
    assert other.flush(30) == 0
    fencing = Producer({**options, "transactional.id": f"{reading.app_id}-first-first-1"})
    fencing.init_transactions(30)
    try:
        yield
    finally:
        other.abort_transaction(30)


@pytest.mark.timeout(180)
def test_metrics_tell_of_what_is_written_into_topics(
    kafka_broker: Broker, order_server: OrderServer, tmp_path: Path
) -> None:
    """Commits are timed, and calls traced, in the threads of two sources at once. One split that
    cannot commit shows in the age of the checkpoint."""
    reading = Reading(kafka_broker, order_server, tmp_path, TRACES="1")
    with running(reading):
        reading.wait_for_more(100, splits=6)
        count = "faust_grpc_checkpoint_duration_seconds_count"
        before = reading.metric(count, app=reading.app_id)
        reading.wait_for_more(100, splits=6)
        # Of each of four splits at least one, beside those of the tables.
        assert reading.metric(count, app=reading.app_id) >= before + 4
        total = reading.metric("faust_grpc_checkpoint_duration_seconds_sum", app=reading.app_id)
        assert total > 0
        for source in SINKS:
            events = reading.metric("faust_grpc_events_total", source=source)
            assert reading.metric("faust_grpc_messages_total", source=source) >= events >= 400
        with holding_up(reading):
            wait_until(lambda: reading.metric(AGE) > 5, 60, "the age of the checkpoint")
        wait_until(lambda: reading.metric(AGE) < 5, 60, "everything to be committed again")
        reading.wait_for_more(100, splits=6)
        reading.worker.terminate()
        assert reading.worker.wait(60) == 0, reading.worker.log_tail()
        assert_quiet(reading)
