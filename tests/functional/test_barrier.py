"""The barrier of an exactly-once checkpoint, with real agents on a real stream."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.exceptions import Skip
from support_app import in_process, orders, until

from faust_grpc.barrier import barrier


async def test_everything_delivered_is_finished_and_nothing_more_is_delivered() -> None:
    async with in_process(orders(50)) as rig:
        seen: list[int] = []

        @rig.app.agent(rig.source)
        async def slow(stream: Any) -> None:
            async for order in stream:
                await asyncio.sleep(0.001)
                seen.append(order.sequence)

        await rig.start()
        await until(lambda: len(seen) > 3)
        rig.feed.hold()
        # Slow is not stuck: the patience is for one that does not get on.
        assert await barrier(list(rig.feed), 5.0) == frozenset()
        assert rig.split.cursor == len(seen) > 3
        await rig.more(*orders(60)[50:])
        await until(lambda: rig.split.messages + rig.split.buffered == 60)
        assert rig.split.unacked == 0, "held"
        assert rig.split.cursor == len(seen)
        rig.feed.release()
        await rig.finished(60)


async def test_an_agent_that_hangs_is_given_up_on_after_the_patience() -> None:
    async with in_process(orders(3)) as rig:
        go_on = asyncio.Event()

        @rig.app.agent(rig.source)
        async def hanging(stream: Any) -> None:
            async for _ in stream:
                await go_on.wait()

        await rig.start()
        await until(lambda: rig.split.unacked == 3)
        rig.feed.hold()
        assert await barrier(list(rig.feed), 0.05) == {0}
        go_on.set()
        assert await barrier(list(rig.feed), 5.0) == frozenset()
        assert rig.split.cursor == 3


async def test_a_barrier_gives_way_to_a_rebalance() -> None:
    async with in_process(orders(3)) as rig:

        @rig.app.agent(rig.source)
        async def hanging(stream: Any) -> None:
            async for _ in stream:
                await asyncio.Event().wait()

        await rig.start()
        await until(lambda: rig.split.unacked == 3)
        rig.feed.hold()
        assert await asyncio.wait_for(barrier(list(rig.feed), 3600, lambda: True), 5) == {0}


async def test_a_batch_that_waits_for_more_ends_at_a_barrier() -> None:
    async with in_process(orders(5)) as rig:
        batches: list[list[int]] = []

        @rig.app.agent(rig.source)
        async def collect(stream: Any) -> None:
            async for batch in stream.take(100, within=3600):
                batches.append([order.sequence for order in batch])

        await rig.start()
        await until(lambda: rig.split.unacked == 5)
        rig.feed.hold()
        assert await barrier(list(rig.feed), 5.0) == frozenset()
        assert batches == [[1, 2, 3, 4, 5]]
        rig.feed.release()
        await rig.more(*orders(7)[5:])
        await until(lambda: rig.split.unacked == 2)
        rig.feed.hold()
        assert await barrier(list(rig.feed), 5.0) == frozenset()
        assert batches == [[1, 2, 3, 4, 5], [6, 7]]


async def test_a_batch_of_skipped_events_does_not_hold_a_barrier_up() -> None:
    async with in_process(orders(5)) as rig:
        batches: list[Any] = []

        def nothing(_order: Any) -> Any:
            raise Skip

        @rig.app.agent(rig.source)
        async def collect(stream: Any) -> None:
            stream.add_processor(nothing)
            async for batch in stream.take(100, within=3600):
                batches.append(batch)

        await rig.start()
        await until(lambda: rig.split.unacked == 5)
        rig.feed.hold()
        assert await barrier(list(rig.feed), 5.0) == frozenset()
        assert batches == []
        assert rig.split.cursor == 5


async def test_the_cursor_of_a_split_that_was_set_aside_is_still_saved() -> None:
    """The tables hold its events: saved without the cursor behind them they would come twice."""
    async with in_process(orders(5)) as rig:

        @rig.app.agent(rig.source)
        async def quick(stream: Any) -> None:
            async for _ in stream:
                pass

        await rig.start()
        await rig.finished(5)
        assigned = await rig.feed.set_aside("main", 3.0)
        assert assigned.resume == 5
        (parted,) = rig.source._runner._saving._splits()
        checkpoint = parted.protocol.checkpoint()
        assert checkpoint is not None
        assert checkpoint.cursor == 5
        rig.history += orders(6)[5:]
        rig.feed.put_back("main", assigned)
        await rig.finished(6)
        cursors = [split.protocol.checkpoint() for split in rig.source._runner._saving._splits()]
        assert [cursor and cursor.cursor for cursor in cursors] == [5, 6], "the newest is last"
        parted.protocol.saved(checkpoint)
        rig.feed.look_after(60.0)
        assert rig.feed.parted == []


async def test_a_split_that_went_away_is_not_begun_by_a_new_agent() -> None:
    """Between the group's answer and the end of the recovery."""
    async with in_process(orders(5)) as rig:

        @rig.app.agent(rig.source)
        async def quick(stream: Any) -> None:
            async for _ in stream:
                pass

        await rig.start()
        await rig.finished(5)
        rig.feed.hold()
        rig.feed.keep_only(())
        rig.app.stream(rig.source).__aiter__()
        rig.feed.subscribed()
        assert rig.feed.splits == {}
