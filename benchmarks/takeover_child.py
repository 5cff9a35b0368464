"""A worker of :mod:`benchmarks.takeover`: says when partitions move, and when splits go on."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import faust
from faust.sensors.base import Sensor

import faust_grpc

OUT = os.dup(1)

app = faust.App(
    os.environ["APP"],
    datadir=os.environ["DATADIR"],
    store="memory://",
    topic_replication_factor=1,
    table_standby_replicas=0,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    **json.loads(os.environ["SETTINGS"]),
)
stock = app.Table("stock", default=int)
told: set[str] = set()


def tell(what: str) -> None:
    """Write a line with the time; straight to the descriptor, which no logging shares."""
    os.write(OUT, f"AT {what} {time.monotonic()}\n".encode())


class Rebalances(Sensor):
    """Says when the group shares out its partitions."""

    def asdict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def on_rebalance_start(self, app: Any) -> dict[str, Any]:
        """It begins."""
        told.clear()
        tell("rebalance")
        return {}

    def on_rebalance_end(self, app: Any, state: dict[str, Any]) -> None:
        """Tables are recovered."""
        told.clear()
        tell("ready")


app.sensors.add(Rebalances())
orders = faust_grpc.GrpcSource(
    app,
    os.environ["TARGET"],
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    request={"rate": 200},
    splits={region: {"region": region} for region in ("r0", "r1", "r2", "r3")},
    cursor=faust_grpc.Cursor("sequence", into="after_sequence"),
    schema="examples/orders/orders.binpb",
    delivery="exactly_once",
)


@app.agent(orders)
async def count(stream: Any) -> None:
    """Count orders of customers, and say when a split goes on."""
    async for order in stream:
        stock[f"{order.region}/{order.customer_id}"] += 1
        if order.region not in told:
            told.add(order.region)
            tell(order.region)


if __name__ == "__main__":
    sys.argv = ["worker", "worker", "--without-web", "-l", "error"]
    app.main()
