"""Events into a table, ``table[key] += 1``, on a real Kafka: against Faust's own ways.

Beside them, in the same rounds, events into a topic instead: ``durable``, as
:mod:`benchmarks.durable` measures it.

Every measurement is a worker in a process of its own that reports its CPU time (all threads)
between the first and the last event. Rounds are interleaved.
"""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from faust_grpc.testing import Broker, broker

from .durable import measure
from .running import medians, order_server, result_of

__all__ = ["KEYS", "run"]

#: Events per run: some seconds of each.
EVENTS = {
    "faust_topic_table": 20_000,
    "faust_topic_table_exactly_once": 15_000,
    "faust_channel_table": 15_000,
    "source_table": 200_000,
    "source_table_exactly_once_100ms": 200_000,
    "source_table_exactly_once": 200_000,
    "source_table_exactly_once_1s": 200_000,
}
KEYS = (1_000, 1_000_000)
PARTITIONS = 4
TOPIC = "orders-as-json"
DURABLE = "durable"


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Run all variants with all numbers of keys, interleaved; return medians."""
    rows: dict[str, list[dict[str, float]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        broker("kafka") as kafka,
        order_server() as target,
    ):
        _fill(kafka)

        def note(number: int, name: str, row: dict[str, float]) -> None:
            rows.setdefault(name, []).append(row)
            print(f"round {number + 1} {name}: {row}", file=sys.stderr)

        for number in range(rounds):
            for keys in KEYS:
                for variant in EVENTS:
                    row = _measure(variant, keys, target, kafka.faust_settings(), folder)
                    note(number, f"{variant}/{keys}", row)
            # Once a round: a topic knows no number of keys.
            note(number, DURABLE, measure(DURABLE, target, kafka.faust_settings(), folder))
    return medians(rows, ("events_per_s", "cpu_us"))


def _measure(
    variant: str, keys: int, target: str, settings: Mapping[str, Any], folder: str
) -> dict[str, float]:
    return result_of(
        "benchmarks.table_child",
        {
            "VARIANT": variant,
            "EVENTS": str(EVENTS[variant]),
            "KEYS": str(keys),
            "TOPIC": TOPIC,
            "TARGET": target,
            "APP": f"bench-{uuid.uuid4().hex[:8]}",
            "SETTINGS": json.dumps(settings),
            "DATADIR": folder,
        },
    )


def _fill(kafka: Broker) -> None:
    """Put the same orders into a topic, for the worker that reads one."""
    options = {"bootstrap.servers": kafka.bootstrap}
    admin = AdminClient(options)  # a name: without one it would end before it made the topic
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result(30)
    producer = Producer(options)
    for sequence in range(1, EVENTS["faust_topic_table"] + 5_001):
        producer.produce(TOPIC, orjson.dumps(_order(sequence)), partition=sequence % PARTITIONS)
        if not sequence % 1_000:
            producer.poll(0)
    if producer.flush(30):
        raise RuntimeError("the topic was not filled in 30 s")


def _order(sequence: int) -> dict[str, Any]:
    """Return an order with the fields and sizes of the order server's."""
    item = {"sku": f"SKU-{sequence % 1000:03d}", "quantity": 1 + sequence % 5, "price": 19.9}
    return {
        "sequence": sequence,
        "order_id": f"r0-{sequence}",
        "customer_id": f"customer-{sequence % 10_000:04d}",
        "status": "STATUS_PAID",
        "items": [item] * (1 + sequence % 3),
        "total": 59.7,
        "created_at": "2026-01-01T00:00:00.123456Z",
        "attributes": {"channel": "web"},
        "region": "r0",
    }
