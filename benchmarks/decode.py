"""From raw bytes to a value, against what people write without this package.

All variants decode the same orders of the order server, in one process, interleaved, so that a
machine whose speed drifts drifts for all. Before anything is measured, ``dict`` and
``hand_written`` must give equal values.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import faust
from google.protobuf.json_format import MessageToDict

from faust_grpc import ProtoJson
from faust_grpc.decoding import build_decoder
from faust_grpc.schema import schema_from
from faust_grpc.testing.orders.history import FILES, OrderHistory

__all__ = ["run"]

METHOD = schema_from(FILES).method("shop.v1.OrderService/StreamOrders")
Order: Any = METHOD.response_class
#: Per round and variant: a tenth of a second of the slowest.
MESSAGES = 2_000

Decode = Callable[[bytes], Any]


class Item(faust.Record):
    """A line of an order."""

    sku: str
    quantity: int
    price: float


class OrderRecord(faust.Record):
    """An order with all its fields."""

    sequence: int
    order_id: str
    customer_id: str
    status: str
    items: list[Item]
    total: float
    created_at: datetime | None
    attributes: dict[str, str]
    region: str


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Measure all variants, interleaved; return the median CPU time per message of each."""
    history = OrderHistory("north")
    raws = [history.wire(number) for number in range(1, MESSAGES + 1)]
    variants: dict[str, Decode] = {
        "message": _ours(None),
        "dict": _ours(dict),
        "record": _ours(OrderRecord),
        "json": _ours(ProtoJson),
        "message_to_dict": _message_to_dict,
        "hand_written": _hand_written,
    }
    assert [variants["dict"](raw) for raw in raws] == [_hand_written(raw) for raw in raws]
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, decode in variants.items():
            seconds[name].append(_cpu_seconds(decode, raws))
    return {
        name: {"cpu_us": round(statistics.median(of_name) / len(raws) * 1e6, 3)}
        for name, of_name in seconds.items()
    }


def _cpu_seconds(decode: Decode, raws: list[bytes]) -> float:
    start = time.process_time()
    for raw in raws:
        decode(raw)
    return time.process_time() - start


def _ours(value_type: Any) -> Decode:
    """As a split does it: parse, then the records of the message; no key, as the others."""
    decoder = build_decoder(METHOD, value_type=value_type)
    parse, records = decoder.parse, decoder.records
    return lambda raw: records(parse(raw))[0].value


def _message_to_dict(raw: bytes) -> Any:
    return MessageToDict(
        Order.FromString(raw),
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )


_VALUES: Any = METHOD.output.fields_by_name["status"].enum_type
_STATUS = {value.number: value.name for value in _VALUES.values}


def _hand_written(raw: bytes) -> Any:
    """What one writes for this message type, and for no other."""
    order = Order.FromString(raw)
    created_at = None
    if order.HasField("created_at"):
        created_at = order.created_at.ToDatetime(timezone.utc)
    return {
        "sequence": order.sequence,
        "order_id": order.order_id,
        "customer_id": order.customer_id,
        "status": _STATUS.get(order.status, order.status),
        "items": [
            {"sku": item.sku, "quantity": item.quantity, "price": item.price}
            for item in order.items
        ],
        "total": order.total,
        "created_at": created_at,
        "attributes": dict(order.attributes),
        "region": order.region,
    }
