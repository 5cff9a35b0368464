"""Workers that write into a topic, and what is in the topic afterwards."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from .members import Shop

__all__ = ["DurableShop", "Written", "read_written", "sequences"]

_READ_SECONDS = 30.0


@dataclass(kw_only=True)
class DurableShop(Shop):
    """How the workers are configured; see ``tests/kafka/apps/durable.py``.

    Arguments:
        topic: the sink.
        delivery: of the source.
        partition_by: of the sink.
        interval_seconds: between two commits.
        limit: last sequence number of each split; 0: none.
        agent: an agent reads the source.
    """

    topic: str
    delivery: str = "exactly_once"
    partition_by: str | None = None
    interval_seconds: float = 0.1
    limit: int = 0
    agent: bool = False


class Written(NamedTuple):
    """One record of the topic; the timestamp is in ms."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


def read_written(bootstrap: str, topic: str, *, committed: bool = True) -> list[Written]:
    """Return the records of a topic up to its end, in order by partition.

    Raises:
        AssertionError: the end was not reached in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "judge",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    try:
        partitions = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        assert partitions, f"topic {topic} does not exist"
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
        return sorted(_read_to_end(consumer, topic, partitions), key=lambda record: record[:2])
    finally:
        consumer.close()


def _read_to_end(consumer: Consumer, topic: str, partitions: set[int]) -> list[Written]:
    records: list[Written] = []
    unfinished, deadline = set(partitions), time.monotonic() + _READ_SECONDS
    while unfinished:
        assert time.monotonic() < deadline, f"topic {topic}: no end of {unfinished}"
        for message in consumer.consume(1000, 0.2):
            error: Any = message.error()
            if error is None:
                records.append(
                    Written(
                        message.partition() or 0,
                        message.offset() or 0,
                        message.timestamp()[1],
                        message.key(),
                        message.value(),
                        dict(message.headers() or ()),
                    )
                )
            else:
                assert error.code() == KafkaError._PARTITION_EOF, f"topic {topic}: {error}"
                unfinished.discard(message.partition())
    return records


def sequences(records: Iterable[Written]) -> dict[str, list[int]]:
    """Return the sequence numbers of each region, as they are in the topic."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        order = json.loads(record.value or b"{}")
        found[order["region"]].append(order["sequence"])
    return found
