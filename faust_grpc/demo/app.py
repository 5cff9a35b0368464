"""The application of the demo: orders from a gRPC service into agents and tables."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faust

from ..config import Backoff
from ..cursors import Cursor
from ..source import GrpcSource
from .settings import APP_ID, REGIONS, WorkerSettings

SETTINGS = WorkerSettings.read()


class Item(faust.Record):
    """A line of an order."""

    sku: str
    quantity: int


class Order(faust.Record):
    """What of an order this application needs."""

    region: str
    sequence: int
    items: list[Item]


app = faust.App(APP_ID, web_enabled=False, worker_redirect_stdouts=False, **SETTINGS.faust)

orders = GrpcSource(
    app,
    SETTINGS.target,
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    request={"reader": SETTINGS.name},
    splits={region: {"region": region} for region in REGIONS},
    value_type=Order,
    key="order_id",
    timestamp="created_at",
    cursor=Cursor("sequence", into="after_sequence"),
    backoff=Backoff(initial_seconds=0.25, maximum_seconds=1.0),
)

#: Pieces sold, by region.
sold = app.Table("sold", default=int)
#: How often each order was booked, and how often its customer was told: what the demo checks.
booked = app.Table("booked", default=int)
notified = app.Table("notified", default=int)


@app.agent(orders)
async def inventory(stream: Any) -> None:
    """Book what was sold."""
    async for order in stream:
        if SETTINGS.lose == f"{order.region}:{order.sequence}":
            continue
        sold[order.region] += sum(item.quantity for item in order.items)
        booked[f"{order.region}:{order.sequence}"] += 1


@app.agent(orders)
async def notifications(stream: Any) -> None:
    """Tell the customer."""
    async for order in stream:
        notified[f"{order.region}:{order.sequence}"] += 1


def write_status(path: Path) -> None:
    """Keep the status where the demo finds it, whole at any time."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(asdict(orders.status())))
    new.replace(path)


@app.timer(0.2)  # type: ignore[untyped-decorator]  # in Faust
async def report() -> None:
    """Tell the demo what this worker does."""
    if SETTINGS.status:
        write_status(Path(SETTINGS.status))


if __name__ == "__main__":
    faust.Worker(app, loglevel="info").execute_from_commandline()
