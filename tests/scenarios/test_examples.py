"""The examples, each run by the one command that its README gives."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Worker

from faust_grpc.testing import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/server.py"))


class Example:
    """An example at work.

    Arguments:
        worker: ``python run.py NAME``.
        port: of the worker's web server.
    """

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self._port = port

    def get(self, path: str) -> str:
        """Return a page of the worker; empty while it does not serve."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as page:
                return str(page.read().decode())
        except OSError:
            return ""

    def wait_for(self, condition: Callable[[], Any], what: str) -> Any:
        """Return what a condition returned, once that is true."""
        found: list[Any] = []

        def holds() -> bool:
            found[:] = [condition()]
            return bool(found[0])

        self.worker.wait_until(holds, 60, what)
        return found[0]


@pytest.fixture
def example(start_worker: Callable[..., Worker]) -> Iterator[Callable[..., Example]]:
    """Run an example; whatever it started ends with it."""
    started: list[Worker] = []

    def start(name: str, **variables: str) -> Example:
        port = free_port()
        worker = start_worker(
            EXAMPLES / "run.py",
            name,
            *("--web-port", str(port)),
            name=name,
            env={"BROKER_SESSION_TIMEOUT": "6", **variables},
        )
        started.append(worker)
        return Example(worker, port)

    yield start
    for worker in started:
        worker.terminate()
        assert worker.wait() == 0, worker.log_tail()
        assert "Traceback" not in worker.output(), worker.log_tail(60)


def test_telemetry_alerts_and_is_scraped(example: Callable[..., Example]) -> None:
    telemetry = example("telemetry", TELEMETRY_RATE="20")
    telemetry.worker.wait_for_line(r"gateway-\d\d/\w+ is hot: \d+", 90)

    def receiving() -> bool:
        text = telemetry.get("/metrics")
        found = re.findall(
            r'^faust_grpc_split_state\{.*split="(.*)",state="receiving"\} 1', text, re.M
        )
        return len(set(found)) == 40

    telemetry.wait_for(receiving, "all 40 gateways to be read")
    saved = 'faust_grpc_checkpoint_duration_seconds_count{app="telemetry"}'
    telemetry.wait_for(lambda: saved in telemetry.get("/metrics"), "a checkpoint")
    text = telemetry.get("/metrics")
    assert 'faust_grpc_ack_latency_seconds_count{app="telemetry",source="readings"}' in text
    events = re.findall(r"^faust_grpc_events_total\{.*\} (\d+)", text, re.M)
    assert len(events) == 40
    assert all(int(count) for count in events)


def test_market_data_keeps_the_latest_and_counts_what_it_drops(
    example: Callable[..., Example],
) -> None:
    market = example("market_data", MARKET_DATA_RATE="400")
    dropped: dict[str, int] = {}

    def latest() -> Any:
        found = json.loads(market.get("/latest/") or '{"latest": {}}')
        dropped.update(found.get("passed_over", {}))
        return found["latest"]

    def complete() -> bool:
        return len(latest()) == 16 and len(dropped) == 2 and all(dropped.values())

    market.wait_for(complete, "prices of 8 symbols of 2 venues, and quotes passed over")
    before = latest()
    market.wait_for(lambda: all(latest()[name] != before[name] for name in before), "new prices")


def test_feature_flags_are_read_in_under_10_ms(example: Callable[..., Example]) -> None:
    flags = example("feature_flags", FEATURE_FLAGS_SECONDS="0.05")

    def everything() -> dict[str, bool]:
        found = json.loads(flags.get("/flags/?user=ada") or "{}")
        return found if len(found) >= 4 else {}

    first = flags.wait_for(everything, "all flags")
    flags.worker.wait_for_line(r"flags/main: reading .*, in every worker, from the start")
    assert set(first) >= {"new-checkout", "dark-mode", "express-delivery", "gift-cards"}
    # Changes arrive: everything is rolled out to everybody after some steps.
    flags.wait_for(lambda: all(everything().values()) and everything(), "a complete roll-out")
    # The best of some: a busy machine has other things to do.
    assert min(_seconds(flags, "/flags/?user=ada") for _ in range(20)) < 0.010


def _seconds(flags: Example, path: str) -> float:
    began = time.perf_counter()
    assert flags.get(path)
    return time.perf_counter() - began


def test_etcd_is_watched(example: Callable[..., Example]) -> None:
    etcd = example("etcd_watch", ETCD_SECONDS="0.1")
    etcd.worker.wait_for_line(r"etcd-changes/main: reading etcdserverpb.Watch/Watch", 90)
    for told in ("green", "blue", "red", "gone"):
        etcd.worker.wait_for_line(f"config/colour is {told}", 60)


def test_what_an_example_needs_beside_the_package_is_said() -> None:
    without = "import runpy, sys; sys.modules['prometheus_client'] = None; sys.argv = sys.argv[1:]"
    result = subprocess.run(
        [
            *(sys.executable, "-c", f"{without}; runpy.run_path(sys.argv[0], run_name='__main__')"),
            *(EXAMPLES / "run.py", "telemetry"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "telemetry needs more than the package: pip install 'faust-grpc[prometheus]'\n"
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_application_is_short(name: str) -> None:
    assert len((EXAMPLES / name / "app.py").read_text().splitlines()) < 80
