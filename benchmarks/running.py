"""What measurements run on: the order server, and a process for each measurement."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from faust_grpc.testing import free_port, wait_until

__all__ = ["medians", "order_server", "result_of"]

ROOT = Path(__file__).resolve().parents[1]
SERVER = ROOT / "examples" / "orders" / "server"


@contextmanager
def order_server() -> Iterator[str]:
    """Run the Go order server; yield its target."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "orders"
        subprocess.run(["go", "build", "-o", binary, "."], cwd=SERVER, check=True)
        port = free_port()
        server = subprocess.Popen([binary, "-port", str(port), "-log", os.devnull])
        try:
            wait_until(lambda: _answers(port), timeout=10)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def result_of(
    module: str, environment: Mapping[str, str], *, timeout: float = 120.0
) -> dict[str, float]:
    """Run a measurement in a process of its own; return what it printed behind ``RESULT``."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(
        f"{environment} gave no result:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    )


def medians(
    rows: Mapping[str, list[dict[str, float]]], figures: Iterable[str]
) -> dict[str, dict[str, float]]:
    """Return the median of each figure, by name."""
    figures = list(figures)
    return {
        name: {figure: round(statistics.median(row[figure] for row in of), 2) for figure in figures}
        for name, of in rows.items()
    }
