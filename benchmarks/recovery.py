"""Recovery of a table in memory from its changelog, on a real Kafka: Faust's own, and in bulk.

Every measurement is a worker in a process of its own. The time is from the moment at which it has
its partitions to the moment at which it is ready to process. Rounds are interleaved.
"""

from __future__ import annotations

import json
import sys
import tempfile

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from faust_grpc.testing import Broker, broker

from .running import medians, result_of

__all__ = ["KEYS", "fill", "run"]

#: Keys of the table, each written once: some seconds of each.
KEYS = {"faust_recovery": 100_000, "source_recovery": 1_000_000}
FIGURES = ("records_per_s", "seconds", "cpu_us", "peak_mb", "longest_pause_ms")
PARTITIONS = 4


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Run both, interleaved; return the median of each figure."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in KEYS}
    with tempfile.TemporaryDirectory() as folder, broker("kafka") as kafka:
        for variant, keys in KEYS.items():
            fill(kafka, f"{variant}-stock-changelog", keys)
        for number in range(rounds):
            for variant, keys in KEYS.items():
                row = result_of(
                    "benchmarks.recovery_child",
                    {
                        "VARIANT": variant,
                        "KEYS": str(keys),
                        "SETTINGS": json.dumps(kafka.faust_settings()),
                        "DATADIR": folder,
                    },
                    timeout=300,
                )
                rows[variant].append(row)
                print(f"round {number + 1} {variant}: {row}", file=sys.stderr)
    return medians(rows, FIGURES)


def fill(kafka: Broker, topic: str, keys: int) -> None:
    """Make a changelog of a table of whole numbers, with so many keys.

    Arguments:
        kafka: the broker.
        topic: its name.
        keys: how many.
    """
    options = {"bootstrap.servers": kafka.bootstrap}
    admin = AdminClient(options)
    new = NewTopic(topic, PARTITIONS, 1, config={"cleanup.policy": "compact"})
    admin.create_topics([new])[topic].result(30)
    producer = Producer({**options, "linger.ms": 50})
    for number in range(keys):
        key = json.dumps(f"customer-{number:08d}").encode()
        while True:
            try:
                producer.produce(topic, b"%d" % number, key, number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0
