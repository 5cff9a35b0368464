"""Into a topic on the mock broker: whole workers, at least once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support import OrderServer
from support.cluster import Cluster
from support.durable import DurableShop, sequences
from support.reading import read_records

from faust_grpc.testing import Broker

REGIONS = ("r0", "r1")


@pytest.fixture
def shop() -> DurableShop:
    return DurableShop(
        app_id="durable",
        topic="orders",
        delivery="at_least_once",
        sources={"orders": REGIONS},
        rate=200,
    )


def test_a_killed_worker_loses_nothing(
    mock_broker: Broker,
    start_order_server: Callable[..., OrderServer],
    tmp_path: Path,
    shop: DurableShop,
) -> None:
    with Cluster(mock_broker, start_order_server(), tmp_path, shop) as cluster:
        cluster.start("w1", program="durable.py")
        cluster.wait_processed(200)
        cluster.kill("w1")
        cluster.start("w1", program="durable.py")
        cluster.wait_processed(100)
        cluster.stop("w1")
        saved = {name: state[1] for name, state in cluster.status("w1")["splits"].items()}
        assert "behind cursor" in cluster.members["w1"].output()
    records = read_records(mock_broker.bootstrap, shop.topic)
    for region, numbers in sequences(records).items():
        assert set(range(1, saved[region] + 1)) <= set(numbers), region
        first = dict.fromkeys(numbers)
        assert list(first) == sorted(first), region

    record = records[0]
    order = json.loads(record.value or b"")
    assert record.key == order["region"].encode()
    assert record.headers == {
        "grpc-target": cluster.server.target.encode(),
        "grpc-method": b"shop.v1.OrderService/StreamOrders",
        "grpc-schema": b"shop.v1.Order",
        "grpc-split": order["region"].encode(),
        "grpc-cursor": str(order["sequence"]).encode(),
    }
    # Orders have a time of their own, in tenths of a second since the year began.
    assert record.timestamp == 1_767_225_600_000 + 100 * order["sequence"]


def test_exactly_once_is_refused(
    mock_broker: Broker, order_server: OrderServer, tmp_path: Path, shop: DurableShop
) -> None:
    shop.delivery = "exactly_once"
    with Cluster(mock_broker, order_server, tmp_path, shop) as cluster:
        cluster.start("w1", program="durable.py")
        worker = cluster.members["w1"]
        assert worker.wait(60) == 1, worker.log_tail()
        last = worker.output().strip().splitlines()[-1]
    assert last.startswith("orders: delivery='exactly_once' on a mock broker")
