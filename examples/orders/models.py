"""What the application needs of an order; the message has more fields."""

from __future__ import annotations

from datetime import datetime

import faust


class Item(faust.Record):
    """A line of an order."""

    sku: str
    quantity: int


class Order(faust.Record):
    """An order as it is now."""

    order_id: str
    customer_id: str
    region: str
    status: str
    items: list[Item]
    created_at: datetime | None
