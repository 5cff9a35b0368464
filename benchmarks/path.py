"""From the socket to an agent, against what people write without this package.

Every measurement is a process of its own that reads one stream of the Go order server as fast as
it can and reports its own CPU time between the first and the last event. Rounds are interleaved,
so that a machine whose speed drifts drifts for all.
"""

from __future__ import annotations

import json
import sys
import tempfile

from faust_grpc.testing import broker

from .running import medians, order_server, result_of

__all__ = ["run"]

#: Events per run: some seconds of each.
EVENTS = {
    "raw_sync": 300_000,
    "raw_aio": 80_000,
    "naive": 40_000,
    "source_message": 200_000,
    "source_dict": 150_000,
}


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Run all variants, interleaved; return the median of each figure."""
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in EVENTS}
    with tempfile.TemporaryDirectory() as folder, broker("mock") as kafka, order_server() as target:
        for number in range(rounds):
            for name, events in EVENTS.items():
                row = result_of(
                    "benchmarks.path_child",
                    {
                        "VARIANT": name,
                        "EVENTS": str(events),
                        "TARGET": target,
                        "SETTINGS": json.dumps(kafka.faust_settings()),
                        "DATADIR": folder,
                    },
                )
                rows[name].append(row)
                print(f"round {number + 1} {name}: {row}", file=sys.stderr)
    return medians(rows, ("events_per_s", "cpu_us"))
