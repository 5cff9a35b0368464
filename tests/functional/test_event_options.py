"""Key, time, headers and explode, from a real stream to an agent and back to the cursor."""

from __future__ import annotations

import time
from typing import Any

import faust
from support_app import Order, in_process, orders, until


class Line(faust.Record):
    sku: str


class Attribute(faust.Record):
    key: str
    value: str


def with_attributes(count: int) -> list[Any]:
    """Orders with an item and two attributes each."""
    made = orders(count, items=1)
    for order in made:
        order.attributes.update({"b": f"b{order.sequence}", "a": f"a{order.sequence}"})
    return made


async def test_elements_of_two_kinds_are_acked_together() -> None:
    options = {
        "explode": ["items", "attributes"],
        "key": {"items": "sku", "attributes": "key"},
        "value_type": {"items": Line, "attributes": Attribute},
        "headers": {"order": "/order_id", "sequence": "/sequence"},
    }
    async with in_process(with_attributes(3), **options) as rig:
        held = []

        @rig.app.agent(rig.source)
        async def by_hand(stream: Any) -> None:
            async for event in stream.noack().events():
                held.append(event)

        await rig.start()
        await until(lambda: len(held) == 9)
        assert [event.key for event in held[:3]] == ["1.0", "a", "b"]
        assert [event.value for event in held[:3]] == [
            Line(sku="1.0"),
            Attribute(key="a", value="a1"),
            Attribute(key="b", value="b1"),
        ]
        assert {event.message.offset for event in held[:3]} == {1}
        assert held[8].headers == {"order": b"o3", "sequence": b"3"}
        assert held[8].message.headers == held[8].headers
        for event in held[:2]:
            event.ack()
        assert rig.split.cursor is None
        held[2].ack()
        assert rig.split.cursor == 1
        for event in held[3:]:
            event.ack()
        await rig.finished(3)


async def test_a_time_that_cannot_be_used_is_the_time_of_receipt_and_counted() -> None:
    good, epoch, unset, bad = orders(4)
    epoch.created_at.seconds = 0
    good.created_at.seconds = 1_700_000_000
    bad.created_at.seconds = 1_700_000_000_000  # milliseconds, where seconds belong
    async with in_process([good, epoch, unset, bad], timestamp="created_at") as rig:
        times = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for event in stream.events():
                times.append(event.message.timestamp)

        before = time.time()
        await rig.start()
        await rig.finished(4)
        assert times[:2] == [1_700_000_000, 0]
        assert all(before <= at <= time.time() for at in times[2:])
        assert rig.source.status().bad_timestamps == 1
        assert rig.split.dead_letters == 0


async def test_skipped_messages_move_the_cursor_behind_what_came_before() -> None:
    history = [*orders(2), Order(sequence=3, region="ping"), Order(sequence=4, customer_id="x")]
    skip = ["customer_id", lambda order: order.region == "ping"]
    async with in_process(history, skip=skip) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        await rig.start()
        await rig.finished(4)
        assert seen == [1, 2]
        assert rig.split.messages == 4
