"""One stream into a topic, exactly once in transactions of 100 ms, on a real Kafka."""

from __future__ import annotations

import json
import sys
import tempfile
import uuid
from collections.abc import Mapping
from typing import Any

from faust_grpc.testing import broker

from .running import medians, order_server, result_of

__all__ = ["VARIANTS", "measure", "run"]

#: Variant → records per run. ``durable`` writes protobuf bytes as they are, the other JSON.
VARIANTS = {"durable": 150_000, "durable_json": 100_000}


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Run all variants, interleaved; return medians."""
    rows: dict[str, list[dict[str, float]]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        broker("kafka") as kafka,
        order_server() as target,
    ):
        for number in range(rounds):
            for variant in VARIANTS:
                row = measure(variant, target, kafka.faust_settings(), folder)
                rows.setdefault(variant, []).append(row)
                print(f"round {number + 1} {variant}: {row}", file=sys.stderr)
    return medians(rows, ("events_per_s", "cpu_us"))


def measure(
    variant: str, target: str, settings: Mapping[str, Any], folder: str
) -> dict[str, float]:
    """Measure once, in a process of its own.

    Arguments:
        variant: of ``VARIANTS``.
        target: of the order server.
        settings: of the Faust app: its broker.
        folder: for its data.

    Returns:
        ``events_per_s``: records committed per second; ``cpu_us``: CPU time of the whole worker
        (librdkafka's threads too) per record.
    """
    return result_of(
        "benchmarks.durable_child",
        {
            "VARIANT": variant,
            "EVENTS": str(VARIANTS[variant]),
            "TARGET": target,
            "APP": f"bench-{uuid.uuid4().hex[:8]}",
            "SETTINGS": json.dumps(settings),
            "DATADIR": folder,
        },
    )
