"""A worker whose topic and tables carry protobuf; it prints what it finds in them."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import faust
from google.protobuf.message import Message

from faust_grpc import Cursor, GrpcSource, ProtobufCodec

SCHEMA = Path(__file__).parents[3] / "examples" / "orders" / "orders.binpb"
TARGET = os.environ["ORDERS_TARGET"]

logger = logging.getLogger("codec_app")


class Item(faust.Record):
    sku: str
    quantity: int


orders_codec = ProtobufCodec(SCHEMA, "shop.v1.Order")
items_codec = ProtobufCodec(SCHEMA, "shop.v1.Item", value_type=Item)

app = faust.App("codec", topic_partitions=4)
orders = GrpcSource(
    app,
    TARGET,
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    schema=SCHEMA,
    request={"region": "north", "limit": 20},
    key="order_id",
    cursor=Cursor("sequence", into="after_sequence"),
)
latest: Any = app.Table("latest", value_type=orders_codec.type)
items: Any = app.Table("items", value_type=items_codec.type)
shipments = app.topic("shipments", value_type=orders_codec.type)
regrouped = app.topic("by-customer", key_type=str, value_serializer=orders_codec)


@app.agent(orders)
async def keep(stream: Any) -> None:
    async for order in stream:
        latest[order.order_id] = order
        items[order.order_id] = Item(order.items[0].sku, order.items[0].quantity)
        await shipments.send(key=order.order_id, value=order)


@app.agent(orders)
async def regroup(stream: Any) -> None:
    by_customer = stream.group_by(lambda order: order.customer_id, name="customer", topic=regrouped)
    async for customer, order in by_customer.items():
        assert customer == order.customer_id
        logger.warning("regrouped %s %s", type(order).__name__, order.order_id)


@app.agent(shipments)
async def ship(stream: Any) -> None:
    async for order in stream:
        assert isinstance(order, Message)
        logger.warning("shipped %s %s", type(order).__name__, order.order_id)


@app.on_rebalance_complete.connect
async def show(*_arguments: Any, **_options: Any) -> None:
    kinds = {type(value).__name__ for table in (latest, items) for value in table.values()}
    last = max((order.sequence for order in latest.values()), default=0)
    logger.warning("tables: %d %d %s last=%d", len(latest), len(items), sorted(kinds), last)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "--datadir", os.environ["DATADIR"], "worker", "--without-web"]
    app.main()
