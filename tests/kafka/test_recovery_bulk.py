"""Recovery in bulk on a real broker: whole workers, against Faust's own recovery."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from confluent_kafka.admin._listoffsets import OffsetSpec
from faust.types.tuples import TP
from support import Worker

from faust_grpc.loading import Load
from faust_grpc.recovery import BulkRecovery
from faust_grpc.stores import store_loader
from faust_grpc.testing import Broker, eventually, wait_until

APP = str(Path(__file__).parent / "apps" / "tables.py")

_numbers = itertools.count(1)


class Tables:
    """Workers of one application with every kind of table."""

    def __init__(
        self,
        broker: Broker,
        start_worker: Callable[..., Worker],
        directory: Path,
        settings: dict[str, Any],
    ) -> None:
        self.id = f"tables{next(_numbers)}"
        self.broker = broker
        self.settings = settings
        self._start = start_worker
        self._directory = directory

    def start(self, name: str, **config: Any) -> Worker:
        """Start a worker; its data is its own, by name."""
        full = {
            "id": self.id,
            "datadir": str(self._directory / f"data-{config.pop('data', name)}"),
            "settings": {**self.broker.faust_settings(), **self.settings},
            "tagged": "store" not in self.settings,
            **config,
        }
        return self._start(APP, json.dumps(full), name=name)

    def make_changelog(self, table: str = "plain", **config: str) -> str:
        """Make the topic of a table before there is a worker."""
        topic = f"{self.id}-{table}-changelog"
        make_topic(self.broker, topic, **config)
        return topic

    def write(self, numbers: range) -> None:
        """Have numbers written, by whoever runs."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        for number in numbers:
            key = f"k{number % 100}"
            producer.produce(
                f"{self.id}-in", str(number).encode(), key.encode(), partition=number % 4
            )
        assert producer.flush(30) == 0


def make_topic(broker: Broker, topic: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    new = NewTopic(topic, 4, 1, config={"cleanup.policy": "compact", **config})
    admin.create_topics([new])[topic].result(30)


class Writer:
    """Writes changelog records in transactions, and without.

    Arguments:
        broker: where.
        topic: the changelog.
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self._topic = topic
        options = {"bootstrap.servers": broker.bootstrap}
        self._admin = AdminClient(options)
        self._plain = Producer(options)
        self.transactional = Producer({**options, "transactional.id": topic})
        self.transactional.init_transactions(30)

    def begin(self, rows: dict[Any, Any], partition: int = 0) -> None:
        """Write in a transaction that stays open."""
        self.transactional.begin_transaction()
        self._produce(self.transactional, rows, partition)

    def commit(self, rows: dict[Any, Any], partition: int = 0) -> None:
        """Write a transaction."""
        self.begin(rows, partition)
        self.transactional.commit_transaction(30)
        self._wait_for_marker(partition)

    def abort(self, rows: dict[Any, Any], partition: int = 0) -> None:
        """Write a transaction that is aborted."""
        self.begin(rows, partition)
        self.transactional.abort_transaction(30)
        self._wait_for_marker(partition)

    def plainly(self, rows: dict[Any, Any], partition: int = 0) -> None:
        """Write without a transaction."""
        self._produce(self._plain, rows, partition)

    def _wait_for_marker(self, partition: int) -> None:
        """The end of a transaction is answered before it is in the topic."""
        at = TopicPartition(self._topic, partition)

        def end(level: IsolationLevel) -> int:
            latest: Any = OffsetSpec
            asked = self._admin.list_offsets({at: latest.latest()}, isolation_level=level)
            return int(asked[at].result(30).offset)

        levels = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        wait_until(lambda: len({end(level) for level in levels}) == 1)

    def _produce(self, producer: Producer, rows: dict[Any, Any], partition: int) -> None:
        for key, value in rows.items():
            raw = None if value is None else json.dumps(value).encode()
            while True:
                try:
                    producer.produce(self._topic, raw, json.dumps(key).encode(), partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0


@pytest.fixture
def make_tables(
    kafka_broker: Broker, start_worker: Callable[..., Worker], tmp_path: Path
) -> Callable[..., Tables]:
    return lambda **settings: Tables(kafka_broker, start_worker, tmp_path, settings)


def found(worker: Worker) -> dict[str, Any]:
    """Return what it found in its tables after its recovery, and stop it."""
    line = worker.wait_for_line(r'^\{"tables": .*$', timeout=120)
    worker.terminate()
    assert worker.wait(120) == 0
    return dict(json.loads(line[0])["tables"])


@pytest.mark.parametrize("store", ["memory://", "rocksdb://?driver=rocksdict"])
def test_it_finds_what_faust_finds(make_tables: Callable[..., Tables], store: str) -> None:
    """Every kind of table, with tombstones; and again from what is on disk."""
    settings = {} if store.startswith("memory") else {"store": store}
    tables = make_tables(**settings)
    writer = tables.start("writer")
    writer.wait_for_line(r'^\{"tables": .*$', timeout=120)
    tables.write(range(1000))
    writer.wait_for_line(r'^\{"had": 1000\}$', timeout=120)
    writer.terminate()
    assert writer.wait(120) == 0

    plain = found(tables.start("plain"))
    bulk = tables.start("bulk", bulk=True)
    ours = found(bulk)
    assert {name: len(of_table) for name, of_table in ours.items()} == {
        name: len(of_table) for name, of_table in plain.items()
    }
    assert ours == plain
    assert all(ours.values())
    loaded = bulk.log.read_text().split("Tables loaded: ")[1].split(" records")[0]
    assert int(loaded) > 1000

    if settings:
        again = tables.start("again", bulk=True, data="bulk")
        assert found(again) == plain
        assert "Tables loaded: 0 records" in again.log.read_text()


def test_an_interrupted_load_leaves_no_half_behind(make_tables: Callable[..., Tables]) -> None:
    """A second worker comes while the first one loads; each has its own half, complete."""
    tables = make_tables()
    topic = tables.make_changelog()
    total = 200_000
    producer = Writer(tables.broker, topic)
    for partition in range(4):
        producer.plainly({n: n for n in range(partition, total, 4)}, partition)

    one = tables.start("one", bulk=True, slow=0.1, summary=True)
    one.wait_for_line(r'^\{"loading": .*$', timeout=120)
    two = tables.start("two", bulk=True, summary=True)

    def found() -> tuple[int, int]:
        last = [
            json.loads([line for line in text.splitlines() if line.startswith('{"keys"')][-1])
            for worker in (one, two)
            if '{"keys"' in (text := worker.log.read_text())
        ]
        return sum(row["keys"] for row in last), sum(row["sum"] for row in last)

    wait_until(lambda: found() == (total, sum(range(total))), timeout=120)
    # The first load did not end: else it would have told.
    first = one.log.read_text().split("Tables loaded: ")[1].split(" records")[0]
    assert int(first) == total / 2


# The end of a log, and holes in it


class Changelog:
    """A table of an application that does not run, and its changelog."""

    def __init__(self, broker: Broker, directory: Path, **config: str) -> None:
        app = faust.App(f"log-{uuid.uuid4().hex[:8]}", broker=broker.url, datadir=str(directory))
        self.app = app
        self.table: Any = app.Table("counts", store="memory://")
        self.topic = self.table.changelog_topic_name
        self.broker = broker
        make_topic(broker, self.topic, **config)
        self.writer = Writer(broker, self.topic)

    @property
    def tps(self) -> dict[TP, Any]:
        """Its partitions."""
        return {TP(self.topic, partition): self.table for partition in range(4)}

    def load(self) -> Load:
        loader = store_loader(self.table)
        assert loader is not None
        return Load({"bootstrap.servers": self.broker.bootstrap}, dict.fromkeys(self.tps, loader))

    async def recover(self) -> tuple[dict[TP, int], BulkRecovery]:
        async def prepare(tps: frozenset[TP]) -> frozenset[int]:
            return frozenset()

        bulk = BulkRecovery(self.app, prepare, {})
        return dict(await asyncio.wait_for(bulk(self.tps), 30)), bulk


@pytest.fixture
def make_changelog(kafka_broker: Broker, tmp_path: Path) -> Callable[..., Changelog]:
    return lambda **config: Changelog(kafka_broker, tmp_path, **config)


async def test_a_log_may_end_in_a_marker_or_in_an_aborted_transaction(
    make_changelog: Callable[..., Changelog],
) -> None:
    log = make_changelog()
    log.writer.commit({"a": 1, "b": 1})
    log.writer.commit({"c": 1}, partition=1)
    log.writer.abort({"c": 2, "d": 2}, partition=1)
    log.writer.plainly({"e": 1}, partition=2)
    log.writer.abort({"f": 1}, partition=3)

    ends, bulk = await log.recover()

    assert dict(log.table.data) == {"a": 1, "b": 1, "c": 1, "e": 1}
    assert [ends[tp] for tp in sorted(log.tps)] == [3, 5, 1, 2]
    unsealed = {
        tp.partition: (*one.last.items[0][:2], one.end) for tp, one in bulk.unsealed.items()
    }
    assert unsealed == {0: (b'"b"', b"1", 3), 1: (b'"c"', b"1", 5)}


async def test_aborted_transactions_and_deleted_records_are_holes(
    make_changelog: Callable[..., Changelog],
) -> None:
    log = make_changelog(**{"cleanup.policy": "compact,delete"})
    log.writer.plainly({"gone": 1, "deleted": 1})
    log.writer.commit({"a": 1})
    log.writer.abort({"a": 2})
    log.writer.plainly({"b": 1, "deleted": None})
    admin = AdminClient({"bootstrap.servers": log.broker.bootstrap})
    for answer in admin.delete_records([TopicPartition(log.topic, 0, 1)]).values():
        answer.result(30)

    _, bulk = await log.recover()

    assert dict(log.table.data) == {"a": 1, "b": 1}
    assert bulk.status().loaded == 4
    assert bulk.unsealed == {}


def test_compacted_logs_are_loaded(make_changelog: Callable[..., Changelog]) -> None:
    log = make_changelog(
        **{"segment.ms": "100", "min.cleanable.dirty.ratio": "0.001", "delete.retention.ms": "0"}
    )
    admin = AdminClient({"bootstrap.servers": log.broker.bootstrap})
    often = ConfigEntry(
        "log.cleaner.backoff.ms", "100", incremental_operation=AlterConfigOpType.SET
    )
    broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[often])
    admin.incremental_alter_configs([broker])[broker].result(30)
    for number in range(50):
        log.writer.plainly({"a": number, f"k{number}": number, f"k{number - 5}": None})

    def is_compacted() -> bool:
        log.writer.plainly({"tick": 0})  # a segment ends when the next record is written
        load = log.load()
        end, _ = load.run()
        return load.records < end[TP(log.topic, 0)] - 50

    wait_until(is_compacted, timeout=120)
    assert dict(log.table.data) == {"a": 49, "tick": 0} | {f"k{n}": n for n in range(45, 50)}


async def test_an_open_transaction_is_waited_for(make_changelog: Callable[..., Changelog]) -> None:
    log = make_changelog()
    log.writer.plainly({"a": 1})
    log.writer.begin({"b": 1})
    load = log.load()
    loading = asyncio.ensure_future(asyncio.to_thread(load.run))
    await eventually(lambda: load.records)
    done, _ = await asyncio.wait([loading], timeout=1.0)
    assert not done
    assert load.progress().left == 1
    log.writer.transactional.commit_transaction(30)
    await asyncio.wait_for(loading, 30)
    assert dict(log.table.data) == {"a": 1, "b": 1}


# Standbys are Faust's


def test_standbys_read_committed_records_and_are_ready(make_tables: Callable[..., Tables]) -> None:
    tables = make_tables(store="rocksdb://?driver=rocksdict", table_standby_replicas=1)
    log = Writer(tables.broker, tables.make_changelog())
    for partition in range(4):
        log.commit({f"{partition}-committed": 1}, partition)
        log.abort({f"{partition}-aborted": 1, f"{partition}-committed": 2}, partition)

    one, two = (tables.start(name, bulk=True, read_committed=True) for name in ("one", "two"))
    standbys: dict[str, Any] = {}
    for worker in (one, two):
        line = worker.wait_for_line(r'^\{"standbys": .*$', timeout=120)
        standbys |= json.loads(line[0])["standbys"]
    assert standbys
    for partition, rows in standbys.items():
        assert rows == {f'"{partition}-committed"': "1"}
