"""What writes a split's records, and finds its last checkpoint, on a real broker."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import faust
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from support.reading import read_records, wait_for_markers

from faust_grpc.durable.saved import checkpoint_record, last_saved
from faust_grpc.durable.topics import create_topic, partition_count, retention_seconds
from faust_grpc.durable.writers import ExactlyOnceWriter, PlainWriter, SplitWriter, Writing
from faust_grpc.exceptions import Fenced, HostError, WriteFailed
from faust_grpc.saved import Saved
from faust_grpc.seams import CheckpointTable
from faust_grpc.testing import Broker, wait_until

PARTITION = 1
_numbers = itertools.count(1)


class Place:
    """An application's topics on the broker, and writers into them."""

    def __init__(self, broker: Broker) -> None:
        number = next(_numbers)
        self.broker = broker
        self.options = {"bootstrap.servers": broker.bootstrap}
        self.app = faust.App(f"writers{number}", topic_replication_factor=1, broker=broker.url)
        self.table = CheckpointTable(self.app, name="orders-checkpoint", partitions=4)
        self.topic = f"writers{number}-orders"
        admin = AdminClient(self.options)  # a name: without one it would end too early
        made = admin.create_topics(
            [NewTopic(self.topic, 4), NewTopic(self.table.changelog_topic_name, 4)]
        )
        for topic in made.values():
            topic.result(30)
        self.may_write = True

    def producer(self, settings: Mapping[str, Any]) -> Producer:
        return Producer({**settings, **self.options})

    def writing(self, split: str = "main", seconds: float = 15.0) -> Writing:
        return Writing(
            topic=self.topic,
            partition=-1,
            transactional_id=f"{self.topic}-{split}",
            transaction_seconds=seconds,
            new_producer=self.producer,
            may_write=lambda: self.may_write,
        )

    def exact(self, split: str = "main", **options: Any) -> ExactlyOnceWriter:
        writer = ExactlyOnceWriter(self.writing(split, **options))
        writer.open()
        return writer

    def record(self, cursor: int, split: str = "main") -> Any:
        return checkpoint_record(self.table, PARTITION, split, Saved(cursor))

    def saved(self, split: str = "main", may: Callable[[], bool] = lambda: True) -> Saved | None:
        return last_saved(self.table, PARTITION, split, self.options, may)

    def values(self, *, committed: bool = True, ended: bool = False) -> list[bytes | None]:
        if ended:
            wait_for_markers(self.broker.bootstrap, self.topic)
        records = read_records(self.broker.bootstrap, self.topic, committed=committed)
        return sorted(record.value or b"" for record in records)


@pytest.fixture
def place(kafka_broker: Broker) -> Place:
    return Place(kafka_broker)


def add(writer: SplitWriter, *values: bytes) -> None:
    for value in values:
        writer.add(b"key", value, 0, [("grpc-split", b"main")])


def test_records_and_checkpoint_are_seen_together(place: Place) -> None:
    writer = place.exact()
    assert place.saved() is None
    add(writer, b"1", b"2")
    assert place.values() == []
    writer.commit(place.record(2))
    assert not writer.is_dirty
    assert place.values(ended=True) == [b"1", b"2"]
    assert place.saved() == Saved(2)
    writer.commit(place.record(5))
    assert place.saved() == Saved(5)


def test_the_next_owner_fences_the_last_one(place: Place) -> None:
    zombie = place.exact()
    add(zombie, b"1")
    zombie.commit(place.record(1))
    add(zombie, b"2")
    owner = place.exact()
    assert place.saved() == Saved(1)
    with pytest.raises(Fenced, match="another worker took this split over"):
        zombie.commit(place.record(2))
    zombie.abandon()
    add(owner, b"2", b"3")
    owner.commit(place.record(3))
    assert place.values(ended=True) == [b"1", b"2", b"3"]
    assert place.saved() == Saved(3)


def test_what_is_abandoned_was_never_there(place: Place) -> None:
    writer = place.exact()
    add(writer, b"1")
    writer.add_beside(place.topic, b"dead letter", [("reason", b"bad")])
    writer.abandon()
    assert place.values() == []
    again = place.exact()
    add(again, b"1")
    again.commit(place.record(1))
    assert place.values(ended=True) == [b"1"]


def test_a_transaction_that_took_too_long_is_not_called_fenced(place: Place) -> None:
    """The broker says the same of both. Its look for such transactions takes ten seconds."""
    writer = place.exact(seconds=1.0)
    add(writer, b"1")
    failed: list[HostError] = []

    def try_on() -> bool:
        try:
            add(writer, b"more")
            writer.poll()
        except Exception as error:
            failed.append(writer.failure(error.args[0]))
        return bool(failed)

    stop = threading.Event()
    for _ in range(400):
        if try_on():
            break
        stop.wait(0.1)
    assert isinstance(failed[0], WriteFailed)
    assert "was open for longer than 1 s" in str(failed[0])
    writer.abandon()


def test_checkpoints_are_found_from_the_end(place: Place) -> None:
    """Far back behind many records of another split, and behind what was aborted."""
    main, other = place.exact(), place.exact("other")
    main.commit(place.record(7))
    for cursor in range(1, 3_000):
        record = place.record(cursor, "other")
        other.add_beside(record.topic, record.value, None)
        other._producer.produce(record.topic, record.value, record.key, record.partition)
    other.commit(None)
    add(main, b"1")
    main._producer.produce(*_as_arguments(place.record(8)))
    main._producer.flush()
    main.abandon()
    assert place.saved() == Saved(7)
    assert place.saved("other") == Saved(2_999)
    assert place.saved("third") is None


def test_an_open_transaction_of_another_split_is_waited_for(place: Place) -> None:
    main, other = place.exact(), place.exact("other")
    other._producer.begin_transaction()
    other._producer.produce(*_as_arguments(place.record(1, "other")))
    other._producer.flush()
    main.commit(place.record(7))
    asked = threading.Event()
    found: list[Saved | None] = []

    def may() -> bool:
        asked.set()
        return True

    looking = threading.Thread(target=lambda: found.append(place.saved(may=may)))
    looking.start()
    assert asked.wait(20)
    assert found == []
    other._producer.commit_transaction(20)
    looking.join(20)
    assert found == [Saved(7)]


def _as_arguments(record: Any) -> tuple[Any, ...]:
    return record.topic, record.value, record.key, record.partition


def test_at_least_once_saves_behind_the_records(place: Place) -> None:
    writer = PlainWriter(place.writing(), place.producer({}))
    writer.open()
    add(writer, b"1", b"2")
    writer.commit(place.record(2))
    assert place.values() == [b"1", b"2"]
    assert place.saved() == Saved(2)
    place.may_write = False
    add(writer, b"3")
    with pytest.raises(WriteFailed, match="no heartbeat"):
        writer.commit(place.record(3))
    writer.abandon()
    assert place.saved() == Saved(2)


def test_what_the_broker_refuses_for_good_is_no_failure_to_try_again(place: Place) -> None:
    topic: Any = place.app.topic(f"{place.topic}-small", config={"max.message.bytes": 1000})
    assert create_topic(topic, place.options)
    assert not create_topic(topic, place.options)
    writing = place.writing()._replace(topic=topic.get_topic_name())
    for writer in (ExactlyOnceWriter(writing), PlainWriter(writing, place.producer({}))):
        writer.open()
        add(writer, b"x" * 2000)
        with pytest.raises(HostError) as raised:
            writer.commit(place.record(1))
        assert type(raised.value) is HostError
        assert "large" in str(raised.value)
        writer.abandon()


def known_partitions(place: Place, topic: Any) -> int:
    """Return how many partitions a new topic has; a broker knows it a moment after it is made."""

    def known() -> int:
        try:
            return partition_count(topic.get_topic_name(), place.options)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            return 0

    wait_until(known, 30, "the topic")
    return known()


def test_topics_are_made_as_declared(place: Place) -> None:
    topic: Any = place.app.topic(f"{place.topic}-made", partitions=3, retention=3600.0)
    assert create_topic(topic, place.options)
    assert known_partitions(place, topic) == 3
    assert retention_seconds(topic.get_topic_name(), place.options) == 3600
    compacted: Any = place.app.topic(f"{place.topic}-compacted", compacting=True)
    assert create_topic(compacted, place.options)
    assert known_partitions(place, compacted) == place.app.conf.topic_partitions
    assert retention_seconds(compacted.get_topic_name(), place.options) == float("inf")
