"""Was every order processed? Read from the tables' changelogs, not from what workers say."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from ..exceptions import HostError

__all__ = ["Verdict", "judge", "read_table"]

_READ_SECONDS = 30.0


@dataclass(frozen=True)
class Verdict:
    """What became of the orders.

    Arguments:
        sent: orders that the service sent.
        processed: those that every agent processed at least once.
        lost: those that some agent did not process, as ``"region:sequence"``.
        duplicates: how often an order was processed again, by the agent that did so most.
        unknown: orders that were processed and never sent.
    """

    sent: int
    processed: int
    lost: tuple[str, ...]
    duplicates: int
    unknown: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Nothing was lost, nothing invented, and something was sent at all."""
        return bool(self.sent) and not self.lost and not self.unknown


def judge(sent: Mapping[str, int], tables: Iterable[Mapping[str, int]]) -> Verdict:
    """Compare what was sent with what was processed.

    Arguments:
        sent: per region, the last sequence number sent; they begin at 1 and have no gaps.
        tables: per agent, ``"region:sequence"`` → times processed.
    """
    agents = list(tables)
    expected = {
        f"{region}:{sequence}" for region, last in sent.items() for sequence in range(1, last + 1)
    }
    processed = expected.intersection(*(table.keys() for table in agents)) if agents else set()
    seen: set[str] = set().union(*(table.keys() for table in agents))
    most: Counter[str] = Counter()
    for table in agents:
        most |= Counter(table)
    return Verdict(
        sent=len(expected),
        processed=len(processed),
        lost=_in_order(expected - processed),
        duplicates=sum(most[order] - 1 for order in processed),
        unknown=_in_order(seen - expected),
    )


def _in_order(orders: Iterable[str]) -> tuple[str, ...]:
    def key(order: str) -> tuple[str, int]:
        region, _, sequence = order.rpartition(":")
        return region, int(sequence)

    return tuple(sorted(orders, key=key))


def read_table(bootstrap: str, topic: str) -> dict[str, int]:
    """Return a table's contents from its changelog: the last value of every key.

    Arguments:
        bootstrap: the broker.
        topic: the changelog.

    Raises:
        HostError: the topic does not exist, or its end was not reached in time.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "demo-check",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=_READ_SECONDS).topics[topic].partitions
        if not partitions:
            raise HostError(f"demo: the broker has no topic {topic}")
        consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
        return _last_values(consumer, topic, set(partitions))
    except KafkaException as error:
        raise HostError(f"demo: reading {topic}: {error}") from error
    finally:
        consumer.close()


def _last_values(consumer: Consumer, topic: str, unfinished: set[int]) -> dict[str, int]:
    values: dict[str, int] = {}
    deadline = time.monotonic() + _READ_SECONDS
    while unfinished:
        if time.monotonic() > deadline:
            raise HostError(f"demo: no end of {topic} within {_READ_SECONDS:g} s")
        message = consumer.poll(1.0)
        if message is None:
            continue
        error, key, value = message.error(), message.key(), message.value()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise HostError(f"demo: reading {topic}: {error}")
            unfinished.discard(message.partition() or 0)
        elif key is not None and value is not None:  # these tables delete nothing
            values[json.loads(key)] = json.loads(value)
    return values
