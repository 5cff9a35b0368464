"""What `from-connect` prints, as a worker: it fills the topic that the connector filled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from click.testing import CliRunner
from confluent_kafka import Consumer
from support import OrderServer, Worker

from faust_grpc.cli.base import commands
from faust_grpc.testing import Broker, free_port
from faust_grpc.testing.orders.history import FILES

ORDERS = 40


def test_it_writes_what_the_connector_wrote(
    mock_broker: Broker,
    order_server: OrderServer,
    start_worker: Callable[..., Worker],
    tmp_path: Path,
) -> None:
    host, _, port = order_server.target.rpartition(":")
    config = {
        "grpc.server.host": host,
        "grpc.server.port": int(port),
        "grpc.service.name": "shop.v1.OrderService",
        "grpc.method.name": "StreamOrders",
        "grpc.request.message": json.dumps({"region": "north", "limit": ORDERS}),
        "grpc.proto.descriptor": str(FILES),
        "grpc.reconnect.interval.ms": 200,
        "kafka.topic": "orders",
    }
    given = json.dumps({"name": "shop", "config": config})
    arguments = ["from-connect", "-", "--broker", mock_broker.url]
    printed = CliRunner().invoke(commands, arguments, input=given)
    (tmp_path / "app.py").write_text(printed.stdout)
    web_port = free_port()
    worker = start_worker(
        "faust",
        *("-A", "app", "--datadir", str(tmp_path / "data")),
        *("worker", "-l", "info", "--web-port", str(web_port)),
        name="from-connect",
        cwd=tmp_path,
        # What the mock broker needs; see the README of examples/orders.
        env={"TOPIC_ALLOW_DECLARE": "no", "TOPIC_DISABLE_LEADER": "yes", "TOPIC_PARTITIONS": "4"},
    )
    written: list[dict[str, Any]] = []
    options = {"bootstrap.servers": mock_broker.bootstrap, "group.id": "test"}
    consumer = Consumer({**options, "auto.offset.reset": "earliest"})
    consumer.subscribe(["orders"])

    def complete() -> bool:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            written.append(json.loads(message.value() or b""))
        return len({value["sequence"] for value in written}) == ORDERS

    worker.wait_until(complete, 60, "all orders in the topic")
    consumer.close()
    # As protobuf's JSON has it: names in lowerCamelCase, 64-bit integers as text.
    assert {value["sequence"] for value in written} == {str(n) for n in range(1, ORDERS + 1)}
    assert {"orderId", "customerId", "createdAt", "items"} <= set(written[0])
    with urlopen(f"http://127.0.0.1:{web_port}/grpc/status", timeout=10) as page:
        ((split,),) = [source["splits"] for source in json.load(page)["sources"]]
    assert split["events"] >= ORDERS
    assert split["received_bytes"] > ORDERS * 20
    assert split["event_lag_seconds"] is not None
