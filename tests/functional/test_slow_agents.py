"""Agents that are slower than the stream, hang, or were never there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support_app import InProcess, Order, in_process, orders, until

from faust_grpc import Buffer, Checkpoint
from faust_grpc.exceptions import ConfigurationError

SOON = Checkpoint(stuck_seconds=0.05)
SMALL = {"messages": 8, "unacked": 4}


class Gate:
    """An agent that passes events only while it is open."""

    def __init__(self, rig: InProcess, name: str = "gated", *, is_open: bool = False) -> None:
        self.seen: list[Any] = []
        self.open = asyncio.Event()
        if is_open:
            self.open.set()

        async def pass_on(stream: Any) -> None:
            async for order in stream:
                await self.open.wait()
                self.seen.append(order)

        rig.app.agent(rig.source, name=name)(pass_on)

    @property
    def numbers(self) -> list[int]:
        """What passed."""
        return [order.sequence for order in self.seen]


async def looked_at(rig: InProcess, state: str) -> None:
    """Look after agents as the worker does, until the split is in a state."""

    def there() -> bool:
        rig.feed.look_after(60.0)
        return bool(rig.split.state == state)

    await until(there, lambda: f"{state}: {rig.source.status()}")


async def test_F08_an_agent_that_hangs_is_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "faust_grpc")
    async with in_process(orders(3), checkpoint=SOON) as rig:
        hangs, quick = Gate(rig, "hangs"), Gate(rig, "quick", is_open=True)
        await rig.start()
        await until(lambda: quick.numbers == [1, 2, 3])
        await looked_at(rig, "stuck")
        assert "message 1 at cursor 1 is not finished for" in rig.split.reason
        assert rig.split.reason.endswith("agent hangs took it and has not finished it")
        rig.feed.look_after(60.0)
        said = [line for line in caplog.messages if "orders/main: stuck: " in line]
        assert len(said) == 1
        hangs.open.set()
        await rig.finished(3)
        await looked_at(rig, "receiving")
        await asyncio.sleep(0.06)  # idle for longer than the bound
        await looked_at(rig, "receiving")


async def test_F08_a_stream_that_nobody_iterates_is_told() -> None:
    async with in_process(orders(3), checkpoint=SOON) as rig:
        Gate(rig, "quick", is_open=True)
        forgotten = rig.app.stream(rig.source)
        await rig.start()
        await looked_at(rig, "stuck")
        assert "a stream that is no agent's: does anything iterate it?" in rig.split.reason
        del forgotten


async def test_F08_events_that_are_never_acked_by_hand_are_told() -> None:
    async with in_process(orders(3), checkpoint=SOON) as rig:
        kept: list[Any] = []

        @rig.app.agent(rig.source, name="holds")
        async def holds(stream: Any) -> None:
            async for event in stream.noack().events():
                kept.append(event)

        await rig.start()
        await until(lambda: len(kept) == 3)
        await looked_at(rig, "stuck")
        assert "noack() without event.ack()" in rig.split.reason
        for event in kept:
            event.ack()
        await rig.finished(3)


async def test_a_dead_letter_that_cannot_be_kept_holds_the_checkpoint_and_is_told() -> None:
    bad: list[Any] = [Order(sequence=1), b"\xff\xff", *orders(5)[2:]]
    letters: list[Any] = []
    works = False

    def keep(letter: Any) -> None:
        if not works:
            raise OSError("disk full")
        letters.append(letter)

    async with in_process(bad, checkpoint=SOON, dead_letter=keep) as rig:
        agent = Gate(rig, is_open=True)
        await rig.start()
        await until(lambda: agent.numbers == [1, 3, 4, 5])
        await looked_at(rig, "stuck")
        assert rig.split.reason.endswith("its dead letter cannot be kept: see dead_letter=")
        assert rig.split.cursor == 1
        works = True
        await rig.finished(5)
        assert [letter.raw for letter in letters] == [b"\xff\xff"]


async def test_dead_letters_that_cannot_be_kept_fill_the_window_and_block() -> None:
    def keep(_: Any) -> None:
        raise OSError("disk full")

    bad = [b"\xff\xff"] * 500
    async with in_process(bad, buffer=Buffer(**SMALL), dead_letter=keep) as rig:
        Gate(rig, is_open=True)
        await rig.start()
        await until(lambda: rig.split.unacked == 4)
        await rig.feed.drained(0.05)
        assert rig.split.unacked == 4
        assert rig.split.dead_letters == 4, "the others wait in the server"


# Overflow


def last_of_each(history: list[Any]) -> dict[str, int]:
    return {order.order_id: order.sequence for order in history}


async def sent_all(rig: InProcess, count: int) -> None:
    """Wait until the split has taken in so many messages."""
    await until(lambda: rig.split.messages == count, lambda: str(rig.source.status()))


async def test_block_lets_the_server_wait() -> None:
    async with in_process(orders(5000), buffer=Buffer(**SMALL)) as rig:
        agent = Gate(rig)
        await rig.start()
        await until(lambda: rig.split.buffered >= 4 and rig.split.unacked == 4)
        assert rig.split.messages == 4
        agent.open.set()
        await rig.finished(5000)
        assert agent.numbers == list(range(1, 5001))
        assert rig.split.dropped == {}


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("drop_oldest", [1, 2, 3, 4, *range(493, 501)]),
        ("drop_newest", list(range(1, 13))),
    ],
)
async def test_dropping_reads_on_and_counts(policy: Any, kept: list[int]) -> None:
    buffer = Buffer(**SMALL, overflow=policy)
    async with in_process(orders(500), buffer=buffer) as rig:
        agent = Gate(rig)
        await rig.start()
        await sent_all(rig, 500)
        assert (rig.split.unacked, rig.split.buffered) == (4, 8)
        assert rig.split.dropped == {policy: 488}
        agent.open.set()
        await rig.finished(500)
        assert agent.numbers == kept
        await rig.more(*orders(501)[500:])
        await rig.finished(501)
        assert agent.numbers == [*kept, 501], "later ones are not dropped"


async def test_dropping_goes_by_bytes_too() -> None:
    history = [Order(sequence=number, order_id="x" * 1000) for number in range(1, 101)]
    buffer = Buffer(unacked=4, size_bytes=5_000, overflow="drop_oldest")
    async with in_process(history, buffer=buffer) as rig:
        agent = Gate(rig)
        await rig.start()
        await sent_all(rig, 100)
        assert rig.split.buffered == 4
        agent.open.set()
        await rig.finished(100)
        assert agent.numbers == [1, 2, 3, 4, 97, 98, 99, 100]


async def test_latest_keeps_the_newest_of_each_key() -> None:
    history = orders(1000)
    for order in history:
        order.order_id = f"k{order.sequence % 5}"
    async with in_process(history, buffer=Buffer(**SMALL, overflow="latest")) as rig:
        agent = Gate(rig)
        await rig.start()
        await sent_all(rig, 1000)
        assert rig.split.unacked == 4
        assert rig.split.dropped == {"latest": 991}
        agent.open.set()
        await rig.finished(1000)
        assert agent.numbers[:4] == [1, 2, 3, 4]
        assert sorted(agent.numbers[4:]) == [996, 997, 998, 999, 1000]
        assert last_of_each(agent.seen) == last_of_each(history)


async def test_latest_waits_when_there_are_more_keys_than_room() -> None:
    async with in_process(orders(3000), buffer=Buffer(**SMALL, overflow="latest")) as rig:
        agent = Gate(rig)
        await rig.start()
        await until(lambda: rig.split.unacked == 4 and rig.split.buffered >= 8)
        agent.open.set()
        await rig.finished(3000)
        assert sorted(agent.numbers) == list(range(1, 3001))
        assert rig.split.dropped == {}


async def test_what_waits_is_not_waited_for_when_a_split_is_given_up() -> None:
    """A barrier is over what agents have, not over what they may get."""
    async with in_process(orders(100), buffer=Buffer(**SMALL, overflow="drop_oldest")) as rig:
        agent = Gate(rig)
        await rig.start()
        await sent_all(rig, 100)
        rig.feed.hold()
        agent.open.set()
        assert await rig.feed.drained(10.0)
        assert agent.numbers == [1, 2, 3, 4]
        assert rig.split.cursor == 92, "what was dropped is finished, what waits is read again"
        rig.feed.release()
        await rig.finished(100)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"buffer": Buffer(overflow="latest"), "key": None},
            r"Buffer\(overflow='latest'\) keeps the newest event of each key: declare key=",
        ),
        (
            {"buffer": Buffer(overflow="drop_oldest"), "delivery": "exactly_once"},
            r"delivery='exactly_once' with Buffer\(overflow='drop_oldest'\), which drops events",
        ),
    ],
)
async def test_policies_that_cannot_work(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        InProcess([], **options)


def test_a_policy_has_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"overflow='newest'\): must be one of 'block'"):
        Buffer(overflow="newest")  # type: ignore[arg-type]  # that is the point
