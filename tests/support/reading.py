"""What is in a topic, read by a client that has nothing to do with the package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from faust_grpc.testing import wait_until

__all__ = ["Record", "read_records", "wait_for_markers"]

_READ_SECONDS = 30.0


class Record(NamedTuple):
    """One record as it is on the broker; the timestamp is in ms."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def read_records(bootstrap: str, topic: str, *, committed: bool = True) -> list[Record]:
    """Return the records of a topic up to its end, in order by partition.

    Raises:
        AssertionError: it has no partitions, or its end was not reached in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            # The end of a partition is answered after this time: nothing more is to come.
            "fetch.wait.max.ms": 20,
        }
    )
    try:
        partitions = _partitions(consumer, topic)
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
        return sorted(_read_to_end(consumer, topic, partitions), key=lambda r: r[:2])
    finally:
        consumer.close()


def wait_for_markers(bootstrap: str, *topics: str, timeout: float = 30.0) -> None:
    """Wait until every transaction in these topics has its end written, now that nobody writes.

    A commit is answered when the coordinator has noted it. The marker that shows its records comes
    after that, to each partition by itself: until then a reader of committed records sees the one
    topic's part of a transaction, but not the other's.

    Raises:
        NotReady: one is still open.
    """
    admin: Any = AdminClient({"bootstrap.servers": bootstrap})
    places = [TopicPartition(topic, p) for topic in topics for p in _partitions(admin, topic)]

    def ends(isolation: IsolationLevel) -> list[int]:
        wanted = {place: OffsetSpec.latest() for place in places}
        found = admin.list_offsets(wanted, isolation_level=isolation, request_timeout=10)
        return [found[place].result().offset for place in places]

    def all_ended() -> bool:
        stable = ends(IsolationLevel.READ_COMMITTED)
        return stable == ends(IsolationLevel.READ_UNCOMMITTED)

    wait_until(all_ended, timeout, f"the end of every transaction in {', '.join(topics)}")


def _partitions(client: Any, topic: str) -> set[int]:
    partitions = set(client.list_topics(topic, timeout=10).topics[topic].partitions)
    assert partitions, f"topic {topic} does not exist"
    return partitions


def _read_to_end(consumer: Consumer, topic: str, partitions: set[int]) -> Iterator[Record]:
    unfinished, deadline = set(partitions), time.monotonic() + _READ_SECONDS
    while unfinished:
        assert time.monotonic() < deadline, f"topic {topic}: no end of {unfinished}"
        for message in consumer.consume(1000, 0.2):
            error: Any = message.error()
            if error is None:
                yield Record(
                    message.partition() or 0,
                    message.offset() or 0,
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    dict(message.headers() or ()),
                )
            else:
                assert error.code() == KafkaError._PARTITION_EOF, f"topic {topic}: {error}"
                unfinished.discard(message.partition())
