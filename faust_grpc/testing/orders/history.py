"""Orders computed from their sequence numbers: the same at every start, and as those in Go."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

__all__ = ["FILES", "OrderHistory", "order_message"]

#: Descriptor set of ``orders.proto`` with its imports.
FILES = Path(__file__).with_name("orders.binpb")

#: When order 0 of every region was placed: 2026-01-01T00:00:00Z.
_FIRST_ORDER_UNIX = 1_767_225_600
#: How fast orders follow each other, in the history's own time.
_ORDERS_PER_SECOND = 10
#: How many different carts a region's customers fill, over and over.
_CARTS = 1024
_CHANNELS = ("web", "app", "store")
_64_BITS = (1 << 64) - 1


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(FILES.read_bytes()).file:
        pool.Add(file)
    return pool


@cache
def order_message(name: str = "Order") -> type[Any]:
    """Return the class of a message of ``orders.proto``."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"shop.v1.{name}"))


def _fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & _64_BITS
    return value


def _mix(value: int) -> int:
    """The output function of the SplitMix64 generator (Steele, Lea, Flood 2014)."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _64_BITS
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _64_BITS
    return value ^ value >> 31


class OrderHistory:
    """A region's orders, computed.

    Arguments:
        region: its name.
    """

    def __init__(self, region: str) -> None:
        self.region = region
        self._seed = _fnv1a(region)
        self._carts: dict[int, bytes] = {}

    def order(self, sequence: int) -> Any:
        """Return the order with a sequence number, from 1."""
        return order_message().FromString(self.wire(sequence))

    def wire(self, sequence: int) -> bytes:
        """Return the same, serialized: a head of its own and a cart that recurs."""
        number = sequence % _CARTS
        cart = self._carts.get(number)
        if cart is None:
            cart = self._carts[number] = self._cart(number).SerializeToString()
        head = order_message()(sequence=sequence, order_id=f"{self.region}-{sequence:09d}")
        seconds, tenths = divmod(sequence, _ORDERS_PER_SECOND)
        head.created_at.seconds = _FIRST_ORDER_UNIX + seconds
        head.created_at.nanos = tenths * (1_000_000_000 // _ORDERS_PER_SECOND)
        wire: bytes = head.SerializeToString() + cart
        return wire

    def _random(self, cart: int, draw: int) -> int:
        return _mix(self._seed + cart * 0x9E3779B97F4A7C15 + draw & _64_BITS)

    def _cart(self, number: int) -> Message:
        order = order_message()(
            customer_id=f"customer-{self._random(number, 0) % 10000:04d}",
            status=1 + self._random(number, 1) % 4,
            attributes={"channel": _CHANNELS[self._random(number, 2) % 3]},
            region=self.region,
        )
        cents = 0
        for item in range(1 + self._random(number, 3) % 3):
            quantity = 1 + self._random(number, 4 + 3 * item) % 5
            price = 100 + self._random(number, 5 + 3 * item) % 9900
            sku = f"SKU-{self._random(number, 6 + 3 * item) % 1000:03d}"
            cents += quantity * price
            order.items.add(sku=sku, quantity=quantity, price=price / 100)
        order.total = cents / 100
        built: Message = order
        return built
