"""The agents of this example, tested in milliseconds: a scripted server, no worker, no Kafka.

python -m pytest examples/orders
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import analytics
import app
import pytest

from faust_grpc.testing import Poison, Replay, Reset, ScriptedServer, Send, Stall
from faust_grpc.testing.orders import order_message

METHOD = "shop.v1.OrderService/StreamOrders"
# Where the service is your own: its generated classes.
Order, Request = order_message("Order"), order_message("StreamOrdersRequest")


def order(sequence: int, quantity: int) -> Any:
    """Return a paid order of one article."""
    items = [{"sku": "tea", "quantity": quantity}]
    return Order(
        sequence=sequence,
        order_id=f"n-{sequence}",
        region="north",
        status="STATUS_PAID",
        items=items,
    )


def after(request: bytes) -> int:
    """Return the cursor of a request."""
    return int(Request.FromString(request).after_sequence)


@pytest.fixture
def server(grpc_server: ScriptedServer) -> ScriptedServer:
    """A server that has the types of the order service."""
    grpc_server.describe(Path(__file__).with_name("orders.binpb"))
    return grpc_server


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of this test."""
    monkeypatch.setattr(analytics, "DATABASE", str(tmp_path / "orders.sqlite3"))
    return tmp_path / "orders.sqlite3"


async def test_orders_are_taken_from_the_stock(server: ScriptedServer) -> None:
    server.script(METHOD, [Send(order(1, 2), order(2, 2), order(3, 3)), Stall()])
    async with app.orders.test_context(server.target, splits=["north"]) as context:
        await context.processed(3)
        assert app.stock["north/tea"] == 5 - 2 - 2 - 3 + 5


async def test_a_stream_that_breaks_goes_on_behind_the_last_order(
    server: ScriptedServer, database: Path
) -> None:
    history = [order(sequence, 1) for sequence in (1, 2, 3, 4)]
    server.script(METHOD, [Send(*history[:2]), Reset()], [Replay(history, after), Stall()])
    async with app.orders.test_context(server.target, splits=["north"]) as context:
        events = await context.processed(4)
        assert [event.key for event in events] == ["n-1", "n-2", "n-3", "n-4"]
        assert context.cursors == {"north": 4}
    assert after(server.calls[1].request) == 2
    with closing(sqlite3.connect(database)) as orders:
        assert orders.execute("SELECT count(*) FROM orders").fetchone() == (4,)


async def test_a_bad_message_is_passed_over(server: ScriptedServer) -> None:
    server.script(METHOD, [Send(order(1, 1)), Poison(), Send(order(2, 1)), Stall()])
    async with app.orders.test_context(server.target, splits=["north"]) as context:
        await context.processed(2)
        assert len(context.dead_letters) == 1
