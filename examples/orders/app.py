"""Orders of a shop, streamed by a gRPC service: stock, notifications, analytics. See README.md."""

from __future__ import annotations

import logging
import os

import analytics
import faust
from faust.types import StreamT
from models import Order

from faust_grpc import Cursor, GrpcSource

TARGET = os.environ.get("ORDERS_TARGET", "localhost:50051")
RATE = int(os.environ.get("ORDERS_RATE", "5"))
REGIONS = ("north", "south", "east", "west")
FULL = 5

logger = logging.getLogger(__name__)

# Faust reads its other settings from the environment: BROKER_URL, TABLE_STANDBY_REPLICAS, …
app = faust.App("orders", topic_partitions=len(REGIONS))

orders = GrpcSource(
    app,
    TARGET,
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    # One stream per region, each read by one worker of the cluster.
    splits={region: {"region": region} for region in REGIONS},
    request={"rate": RATE},
    value_type=Order,
    key="order_id",
    timestamp="created_at",
    # The number of the last order that all agents finished goes into the next request.
    cursor=Cursor("sequence", into="after_sequence"),
)

#: Pieces left, by region and article: every region has a store of its own.
stock = app.Table("stock", default=lambda: FULL)


@app.agent(orders)
async def inventory(orders: StreamT[Order]) -> None:
    """Take what was paid from the stock, and fill it up when it is empty."""
    async for order in orders:
        for item in order.items if order.status == "STATUS_PAID" else ():
            store = f"{order.region}/{item.sku}"
            left = stock[store] - item.quantity
            if left < 0:
                logger.info("%s is sold out: ordering %d more", store, FULL)
                left += FULL
            stock[store] = left


@app.agent(orders)
async def notifications(orders: StreamT[Order]) -> None:
    """Tell the customer."""
    async for order in orders:
        logger.info("dear %s: %s is %s", order.customer_id, order.order_id, order.status)


@app.agent(orders)
async def analyse(orders: StreamT[Order]) -> None:
    """Keep every order where analysts look, some hundred at a time."""
    async for batch in orders.take(500, within=1.0):
        await analytics.keep(
            (
                order.order_id,
                order.region,
                order.status,
                sum(item.quantity for item in order.items),
                str(order.created_at or ""),
            )
            for order in batch
        )
