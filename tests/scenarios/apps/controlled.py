"""An application that people look at and control while it runs."""

from __future__ import annotations

import os
from pathlib import Path

import faust

from faust_grpc import Cursor, GrpcSource
from faust_grpc.metrics import setup_prometheus

SCHEMA = Path(__file__).parents[3] / "examples" / "orders" / "orders.binpb"

app = faust.App(
    os.environ["APP_ID"],
    topic_partitions=4,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    table_standby_replicas=0,
    PartitionAssignor=os.environ.get("ASSIGNOR", "faust.assignor:PartitionAssignor"),
)
orders = GrpcSource(
    app,
    os.environ["ORDERS_TARGET"],
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    schema=SCHEMA,
    request={"rate": 50},
    splits={region: {"region": region} for region in os.environ["REGIONS"].split(",")},
    key="order_id",
    cursor=Cursor(
        "sequence",
        into="after_sequence",
        on_lost=os.environ.get("ON_LOST", "fail"),  # type: ignore[arg-type]
    ),
    delivery=os.environ.get("DELIVERY", "at_least_once"),  # type: ignore[arg-type]
    reader=os.environ.get("READER", "auto"),  # type: ignore[arg-type]
    sink=app.topic(os.environ["SINK"]) if "SINK" in os.environ else None,
)
setup_prometheus(app)

if "SINK" not in os.environ:
    seen = app.Table("seen", default=int)

    @app.agent(orders)
    async def count(stream: faust.StreamT[object]) -> None:
        async for event in stream.events():
            seen[event.key] += 1
