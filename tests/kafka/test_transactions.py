"""The transactional writer on a real Kafka: all or nothing, fencing, and the seal."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from faust.types.tuples import TP

from faust_grpc.changelog import Records
from faust_grpc.exceptions import Fenced, HostError, WriteFailed
from faust_grpc.testing import Broker
from faust_grpc.writers import PlainWriter, TransactionalWriter

_numbers = itertools.count(1)


def held() -> bool:
    return True


@pytest.fixture
def topic(kafka_broker: Broker) -> str:
    name = f"transactions-{next(_numbers)}"
    admin = AdminClient({"bootstrap.servers": kafka_broker.bootstrap})
    for made in admin.create_topics([NewTopic(name, 2)]).values():
        made.result(30)
    return name


@pytest.fixture
def new_writer(kafka_broker: Broker, topic: str) -> Iterator[Callable[[], TransactionalWriter]]:
    """Writers of the same application: the same transactional ids."""
    writers = []

    def make(transactional_id: str) -> Producer:
        return Producer(
            {
                "bootstrap.servers": kafka_broker.bootstrap,
                "transactional.id": transactional_id,
                "transaction.timeout.ms": 10_000,
                "message.max.bytes": 2_000_000,
            }
        )

    def new() -> TransactionalWriter:
        writers.append(TransactionalWriter(make, topic))
        return writers[-1]

    yield new
    for writer in writers:
        writer.close()


def records(topic: str, partition: int, *values: str) -> list[Records]:
    return [Records(topic, partition, [(b"k", value.encode(), None) for value in values])]


def committed(broker: Broker, topic: str, partition: int) -> tuple[list[str], int]:
    """Return the committed values, and how far the log is beyond the last of them."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "looking",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        at = TopicPartition(topic, partition, 0)
        _, high = consumer.get_watermark_offsets(at, timeout=30)
        consumer.assign([at])
        values: list[str] = []
        last = -1
        while True:
            message = consumer.poll(30)
            assert message is not None, f"{topic}: its end does not come"
            error = message.error()
            if error is None:
                values.append((message.value() or b"").decode())
                last = int(message.offset() or 0)
            elif error.code() == KafkaError._PARTITION_EOF:
                if int(message.offset() or 0) >= high:
                    return values, high - last - 1
            else:
                raise AssertionError(error)
    finally:
        consumer.close()


def test_a_transaction_is_written_whole(
    kafka_broker: Broker, topic: str, new_writer: Callable[[], TransactionalWriter]
) -> None:
    writer = new_writer()
    writer.fence([0, 1], held)
    assert writer.commit(0, records(topic, 0, "a", "b"), held) == {TP(topic, 0): 1}
    writer.commit(1, records(topic, 1, "c"), held)
    assert committed(kafka_broker, topic, 0) == (["a", "b"], 1)
    assert committed(kafka_broker, topic, 1) == (["c"], 1)
    assert {
        tp: ([value for _, value, _ in last.last.items], last.end)
        for tp, last in writer.last.items()
    } == {
        TP(topic, 0): ([b"b"], 3),
        TP(topic, 1): ([b"c"], 2),
    }


def test_the_next_owner_fences_the_last_one_off(
    kafka_broker: Broker, topic: str, new_writer: Callable[[], TransactionalWriter]
) -> None:
    """The zombie's records are never seen, and it is told so, again and again."""
    zombie, heir = new_writer(), new_writer()
    zombie.fence([0], held)
    zombie.commit(0, records(topic, 0, "a"), held)
    heir.fence([0], held)
    with pytest.raises(Fenced, match="partition 0: this worker was fenced off"):
        zombie.commit(0, records(topic, 0, "stale"), held)
    with pytest.raises(Fenced, match="partition 0: this worker may not write it any more"):
        zombie.commit(0, records(topic, 0, "stale"), held)
    heir.commit(0, records(topic, 0, "b"), held)
    values, _ = committed(kafka_broker, topic, 0)
    assert values == ["a", "b"]


def test_a_transaction_that_its_owner_left_open_is_aborted_by_the_next(
    kafka_broker: Broker, topic: str, new_writer: Callable[[], TransactionalWriter]
) -> None:
    writer = new_writer()
    writer.fence([0], held)
    answers = iter([True, False])
    with pytest.raises(WriteFailed, match="no heartbeat was answered"):
        writer.commit(0, records(topic, 0, "a", *"x" * 10), lambda: next(answers))
    heir = new_writer()
    heir.fence([0], held)
    heir.commit(0, records(topic, 0, "b"), held)
    values, _ = committed(kafka_broker, topic, 0)
    assert values == ["b"]


def test_a_record_that_the_broker_never_takes_is_an_error_not_a_loop(
    topic: str, new_writer: Callable[[], TransactionalWriter]
) -> None:
    writer = new_writer()
    writer.fence([0], held)
    with pytest.raises(HostError, match="partition 0: its transaction cannot be written"):
        writer.commit(0, records(topic, 0, "x" * 3_000_000), held)


def test_producers_of_partitions_that_went_away_are_let_go(
    topic: str, new_writer: Callable[[], TransactionalWriter]
) -> None:
    writer = new_writer()
    writer.fence([0, 1], held)
    writer.commit(0, records(topic, 0, "a"), held)
    writer.commit(1, records(topic, 1, "a"), held)
    writer.keep([1])
    assert set(writer.last) == {TP(topic, 1)}


def test_a_seal_ends_the_log_with_a_record(
    kafka_broker: Broker, topic: str, new_writer: Callable[[], TransactionalWriter]
) -> None:
    """A plain Faust worker waits for the record before the end; a marker is none."""
    writer = new_writer()
    writer.fence([0], held)
    writer.commit(0, records(topic, 0, "a"), held)
    assert committed(kafka_broker, topic, 0) == (["a"], 1)
    plain = PlainWriter(lambda: Producer({"bootstrap.servers": kafka_broker.bootstrap}))
    plain.write([last.last for last in writer.last.values()])
    assert committed(kafka_broker, topic, 0) == (["a", "a"], 0)
