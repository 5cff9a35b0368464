"""The orders example, run as its README says."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support import OrderServer, Worker

from faust_grpc.testing import Broker, free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "orders"

#: What its README says about the mock broker.
MOCK = {"TOPIC_ALLOW_DECLARE": "no", "TOPIC_DISABLE_LEADER": "yes"}
REGIONS = {"north", "south", "east", "west"}


@pytest.fixture
def worker(
    mock_broker: Broker,
    order_server: OrderServer,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
) -> Worker:
    return start_worker(
        "faust",
        *("-A", "app", "--datadir", str(tmp_path / "data")),
        *("worker", "-l", "info", "--web-port", str(free_port())),
        name="orders",
        cwd=EXAMPLE,
        env={
            **MOCK,
            # So long does the mock broker wait for a worker that left.
            "BROKER_SESSION_TIMEOUT": "6",
            "BROKER_URL": mock_broker.url,
            "ORDERS_TARGET": order_server.target,
            "ORDERS_RATE": "100",
            "ORDERS_DATABASE": str(tmp_path / "orders.sqlite3"),
        },
    )


def sold(database: Path) -> set[str]:
    """Return the regions that analysts know of."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
            rows = opened.execute("SELECT DISTINCT region FROM orders WHERE pieces > 0").fetchall()
    except sqlite3.OperationalError:
        return set()
    return {region for (region,) in rows}


def test_it_runs_stops_and_goes_on_where_it_stopped(
    worker: Worker, order_server: OrderServer, tmp_path: Path
) -> None:
    for region in REGIONS:
        worker.wait_for_line(rf"{region}/\S+ is sold out: ordering 5 more")
        worker.wait_for_line(rf"dear customer-\d+: {region}-\d+ is STATUS_PAID")
    database = tmp_path / "orders.sqlite3"
    worker.wait_until(lambda: sold(database) == REGIONS, 30, "orders of all regions for analysts")
    worker.terminate()
    assert worker.wait() == 0, worker.log_tail()

    worker.start()
    calls = []

    def all_read_on() -> bool:
        calls[:] = [call for call in order_server.calls() if call["event"] == "open"]
        return {call["region"] for call in calls if call["after_sequence"]} == REGIONS

    worker.wait_until(all_read_on, 30, "calls that go on where they stopped")
    assert len(calls) == 2 * len(REGIONS), calls
