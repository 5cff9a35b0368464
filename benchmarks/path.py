"""From the socket to an agent, against what people write without this package.

Every measurement is a process of its own that reads one stream of the Go order server as fast as
it can and reports its own CPU time between the first and the last event. Rounds are interleaved,
so that a machine whose speed drifts drifts for all.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from faust_grpc.testing import broker, free_port, wait_until

__all__ = ["run"]

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "examples" / "orders" / "server"

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
    with tempfile.TemporaryDirectory() as folder, broker("mock") as kafka:
        port = free_port()
        server = subprocess.Popen([_built(Path(folder)), "-port", str(port), "-log", os.devnull])
        try:
            _wait_for(port)
            for number in range(rounds):
                for name, events in EVENTS.items():
                    row = _measure(name, events, port, kafka.faust_settings(), folder)
                    rows[name].append(row)
                    print(f"round {number + 1} {name}: {row}", file=sys.stderr)
        finally:
            server.terminate()
            server.wait()
    return {
        name: {
            figure: round(statistics.median(row[figure] for row in of_name), 2)
            for figure in ("events_per_s", "cpu_us")
        }
        for name, of_name in rows.items()
    }


def _built(folder: Path) -> Path:
    binary = folder / "orders"
    subprocess.run(["go", "build", "-o", binary, "."], cwd=SERVER, check=True)
    return binary


def _wait_for(port: int) -> None:
    import socket

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, timeout=10)


def _measure(
    name: str, events: int, port: int, settings: dict[str, object], folder: str
) -> dict[str, float]:
    environment = {
        **os.environ,
        "VARIANT": name,
        "EVENTS": str(events),
        "TARGET": f"127.0.0.1:{port}",
        "SETTINGS": json.dumps(settings),
        "DATADIR": folder,
    }
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.path_child"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"{name} gave no result:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
