"""Several agents on one source: each sees everything once, in order; the slowest decides."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import faust
import pytest
from support_app import in_process, orders, until

from faust_grpc import Buffer, DeadLetter

SEED = 20261125


async def test_each_agent_sees_every_event_once_in_order() -> None:
    chance = random.Random(SEED)
    async with in_process(orders(600), buffer=Buffer(unacked=32)) as rig:
        seen: dict[str, list[int]] = {"quick": [], "slow": [], "raising": []}
        ahead, unacked = [], []

        @rig.app.agent(rig.source)
        async def quick(stream: Any) -> None:
            async for order in stream:
                seen["quick"].append(order.sequence)

        @rig.app.agent(rig.source)
        async def slow(stream: Any) -> None:
            async for order in stream:
                await asyncio.sleep(0)
                # Looked at before this order is finished.
                ahead.append((rig.split.cursor or 0) - order.sequence)
                unacked.append(rig.split.unacked)
                seen["slow"].append(order.sequence)

        @rig.app.agent(rig.source)
        async def raising(stream: Any) -> None:
            async for order in stream:
                seen["raising"].append(order.sequence)
                if chance.random() < 0.03:
                    raise ValueError(f"as the test wants it, seed {SEED}")

        await rig.start()
        await rig.finished(600)
        for name, numbers in seen.items():
            assert numbers == list(range(1, 601)), name
        assert max(ahead) < 0, "the checkpoint went past the slowest agent"
        assert max(unacked) <= 32
        assert rig.counting.taken == rig.counting.finished == 3 * 600
        assert rig.split.calls == 1


async def test_an_agent_that_stands_still_holds_the_checkpoint_and_the_stream() -> None:
    async with in_process(orders(500), buffer=Buffer(unacked=16, messages=32)) as rig:
        seen, go_on = [], asyncio.Event()

        @rig.app.agent(rig.source)
        async def quick(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        @rig.app.agent(rig.source)
        async def standing(stream: Any) -> None:
            async for order in stream:
                if order.sequence == 5:
                    await go_on.wait()

        await rig.start()
        await until(lambda: rig.split.unacked == 16)
        await until(lambda: rig.split.buffered > 0)
        await until(lambda: seen[-1] == 4 + 16)
        assert rig.split.cursor == 4
        assert rig.split.buffered <= 32
        go_on.set()
        await rig.finished(500)
        assert seen == list(range(1, 501))


async def test_events_of_one_message_are_acked_together() -> None:
    async with in_process(orders(4, items=3), explode="items", key="sku") as rig:
        held = []

        @rig.app.agent(rig.source)
        async def by_hand(stream: Any) -> None:
            async for event in stream.noack().events():
                held.append(event)

        seen = []

        @rig.app.agent(rig.source)
        async def plain(stream: Any) -> None:
            async for key, _ in stream.items():
                seen.append(key)

        await rig.start()
        await until(lambda: len(held) == 12)
        assert [event.key for event in held] == [f"{n}.{i}" for n in range(1, 5) for i in range(3)]
        assert seen == [event.key for event in held]
        for event in held[:2]:
            event.ack()
        assert (rig.split.cursor, rig.split.unacked) == (None, 4)
        held[2].ack()
        assert (rig.split.cursor, rig.split.unacked) == (1, 3)
        for event in reversed(held[3:]):
            event.ack()
        await rig.finished(4)


async def test_a_message_without_elements_moves_the_cursor_behind_those_before_it() -> None:
    history = [*orders(2, items=1), *orders(3)[2:]]
    async with in_process(history, explode="items", key="sku") as rig:
        go_on = asyncio.Event()

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for _ in stream:
                await go_on.wait()

        await rig.start()
        await until(lambda: rig.split.messages == 3)
        assert rig.split.cursor is None
        go_on.set()
        await rig.finished(3)


def with_a_bad_one() -> list[Any]:
    """Orders 1, 2, no order, and 3 for the cursor after it."""
    return [*orders(2), b"\xff\xff\xff", *orders(3)[2:]]


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_dead_letter_goes_to_a_callback(is_async: bool) -> None:
    letters: list[DeadLetter] = []

    async def keep(letter: DeadLetter) -> None:
        letters.append(letter)

    dead_letter = keep if is_async else letters.append
    async with in_process(with_a_bad_one(), dead_letter=dead_letter) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        await rig.start()
        await rig.finished(3)
        assert seen == [1, 2, 3]
        (letter,) = letters
        assert (letter.source, letter.split, letter.position) == ("orders", "main", 3)
        assert letter.raw == b"\xff\xff\xff"
        assert rig.split.dead_letters == 1


async def test_a_dead_letter_that_cannot_be_kept_holds_the_checkpoint_only() -> None:
    letters: list[DeadLetter] = []
    failures = ["no", "not yet"]

    async def keep(letter: DeadLetter) -> None:
        if failures:
            raise ConnectionError(failures[-1])
        letters.append(letter)

    async with in_process(with_a_bad_one(), dead_letter=keep) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        await rig.start()
        await until(lambda: seen == [1, 2, 3])
        await until(lambda: rig.split.unacked == 1)
        assert rig.split.cursor == 2
        failures.clear()
        await rig.finished(3)
        assert [letter.raw for letter in letters] == [b"\xff\xff\xff"]


async def test_a_dead_letter_channel_gets_the_raw_bytes_and_why() -> None:
    letters = faust.App("letters", broker="kafka://127.0.0.1:9")
    letters.flow_control.resume()
    channel = letters.channel()
    reading = channel.clone(is_iterator=True)
    async with in_process(with_a_bad_one(), dead_letter=channel) as rig:

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for _ in stream:
                pass

        await rig.start()
        await rig.finished(3)
        event = await reading.get()
        assert event.value == b"\xff\xff\xff"
        assert event.headers["position"] == b"3"
