"""Agents and streams on a source: what Faust promises, kept by our own iteration.

The last test runs all others once more on Faust without its compiled parts.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from typing import Any

import faust
import pytest
from faust import current_event
from support_app import in_process, orders, until

PURE = bool(os.environ.get("NO_CYTHON"))


def numbers(values: Any) -> list[int]:
    return [value.sequence for value in values]


async def test_iteration() -> None:
    async with in_process(orders(50)) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                event = current_event()
                assert event is stream.current_event
                assert event.value is order
                assert event.key == order.order_id
                seen.append(order)

        await rig.start()
        await rig.finished(50)
        assert numbers(seen) == list(range(1, 51))
        assert rig.counting.taken == rig.counting.finished == 50


async def test_events_items_and_enumerate() -> None:
    async with in_process(orders(5)) as rig:
        events, items, counted = [], [], []

        @rig.app.agent(rig.source)
        async def by_event(stream: Any) -> None:
            async for event in stream.events():
                events.append((event.message.topic, event.message.partition, event.message.offset))

        @rig.app.agent(rig.source)
        async def by_item(stream: Any) -> None:
            async for key, order in stream.items():
                items.append((key, order.sequence))

        @rig.app.agent(rig.source)
        async def by_number(stream: Any) -> None:
            async for number, order in stream.enumerate(start=1):
                counted.append(number == order.sequence)

        await rig.start()
        await rig.finished(5)
        assert events == [("orders", 0, number) for number in range(1, 6)]
        assert items == [(f"o{number}", number) for number in range(1, 6)]
        assert counted == [True] * 5
        assert rig.counting.taken == rig.counting.finished == 15


async def test_filter_and_processors() -> None:
    async with in_process(orders(10)) as rig:
        even, doubled = [], []

        @rig.app.agent(rig.source)
        async def some(stream: Any) -> None:
            async for order in stream.filter(lambda order: order.sequence % 2 == 0):
                even.append(order.sequence)

        async def double(order: Any) -> Any:
            await asyncio.sleep(0)
            return order.sequence * 2

        def not_six(number: int) -> int:
            if number == 6:
                raise faust.streams.Skip()
            return number

        @rig.app.agent(rig.source)
        async def processed(stream: Any) -> None:
            stream.add_processor(double)
            stream.add_processor(not_six)
            async for number in stream:
                doubled.append(number)

        await rig.start()
        await rig.finished(10)
        assert even == [2, 4, 6, 8, 10]
        assert doubled == [2, 4, 8, 10, 12, 14, 16, 18, 20]
        assert rig.counting.taken == rig.counting.finished == 20


async def test_noack_is_acked_by_hand() -> None:
    async with in_process(orders(4)) as rig:
        held = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for event in stream.noack().events():
                held.append(event)

        await rig.start()
        await until(lambda: len(held) == 4)
        assert rig.split.unacked == 4
        held[1].ack()
        assert (rig.split.cursor, rig.split.unacked) == (None, 3)
        held[0].ack()
        assert rig.split.cursor == 2
        held[0].ack()  # a second time does nothing
        assert (rig.split.cursor, rig.split.unacked) == (2, 2)
        held[2].ack()
        held[3].ack()
        await rig.finished(4)


async def test_concurrency_shares_one_subscription() -> None:
    async with in_process(orders(40)) as rig:
        seen: dict[int, list[int]] = {}

        @rig.app.agent(rig.source, concurrency=2)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.setdefault(stream.concurrency_index, []).append(order.sequence)
                await asyncio.sleep(0)

        await rig.start()
        await rig.finished(40)
        assert sorted(seen) == [0, 1]
        assert sorted(seen[0] + seen[1]) == list(range(1, 41))


async def test_sinks_get_what_an_agent_yields() -> None:
    async with in_process(orders(5)) as rig:
        plain, awaited, forwarded = [], [], []

        async def slow_sink(value: int) -> None:
            await asyncio.sleep(0)
            awaited.append(value)

        channel = rig.app.channel()

        @rig.app.agent(rig.source, sink=[plain.append, slow_sink, channel])
        async def agent(stream: Any) -> Any:
            async for order in stream:
                yield order.sequence * 10

        reading = channel.clone(is_iterator=True)
        await rig.start()
        await rig.finished(5)
        for _ in range(5):
            forwarded.append((await reading.get()).value)
        assert plain == awaited == forwarded == [10, 20, 30, 40, 50]


async def test_take_acks_a_batch_when_the_next_is_asked_for() -> None:
    async with in_process(orders(8)) as rig:
        batches, go_on = [], asyncio.Event()

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for batch in stream.take(4, within=60):
                batches.append(numbers(batch))
                await go_on.wait()

        await rig.start()
        await until(lambda: len(batches) == 1)
        assert rig.split.cursor is None
        go_on.set()
        await rig.finished(8)
        assert batches == [[1, 2, 3, 4], [5, 6, 7, 8]]
        assert rig.counting.taken == rig.counting.finished == 8


async def test_take_does_not_wait_for_more_for_ever() -> None:
    async with in_process(orders(3)) as rig:
        seen: list[int] = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for batch in stream.take(100, within=0.05):
                seen.extend(numbers(batch))

        await rig.start()
        await rig.finished(3)
        assert seen == [1, 2, 3]


async def test_batches_take_events_and_noack_take() -> None:
    async with in_process(orders(6)) as rig:
        values, events, held = [], [], []

        @rig.app.agent(rig.source)
        async def by_batch(stream: Any) -> None:
            async for batch in stream.batches(3):
                values.append(numbers(batch))

        @rig.app.agent(rig.source)
        async def by_event(stream: Any) -> None:
            async for batch in stream.take_events(3, within=60):
                events.append([event.value.sequence for event in batch])

        @rig.app.agent(rig.source)
        async def by_hand(stream: Any) -> None:
            async for batch in stream.noack_take(3, within=60):
                held.extend(batch)

        await rig.start()
        await until(lambda: len(held) == 6 and len(values) == len(events) == 2)
        assert values == events == [[1, 2, 3], [4, 5, 6]]
        assert rig.split.cursor is None
        for event in held:
            event.ack()
        await rig.finished(6)


async def test_a_stream_without_an_agent() -> None:
    async with in_process(orders(3)) as rig:
        await rig.start()
        assert rig.source.status().waiting_for == "an agent that reads it"
        stream = rig.app.stream(rig.source)
        seen = []
        async for order in stream:
            seen.append(order.sequence)
            if order.sequence == 3:
                break
        assert seen == [1, 2, 3]
        await stream.stop()


async def test_break_and_go_on_with_the_same_stream() -> None:
    async with in_process(orders(6)) as rig:
        stream = rig.app.stream(rig.source)
        await rig.start()
        first, second = [], []
        async for order in stream:
            first.append(order.sequence)
            if order.sequence == 3:
                break
        async for order in stream:
            second.append(order.sequence)
            if order.sequence == 6:
                break
        assert (first, second) == ([1, 2, 3], [4, 5, 6])
        await stream.stop()


async def test_stop_iteration_thrown_into_the_channel_ends_a_stream() -> None:
    async with in_process(orders(2)) as rig:
        stream = rig.app.stream(rig.source)
        await rig.start()
        seen = []
        async for order in stream:
            seen.append(order.sequence)
            if order.sequence == 2:
                await stream.throw(StopAsyncIteration())
        assert seen == [1, 2]


@pytest.mark.parametrize("every", [3, 1])
async def test_a_crashed_agent_loses_only_the_event_it_crashed_on(every: int) -> None:
    """Faust's rule: that one counts as processed. Nothing behind it is touched."""
    async with in_process(orders(30)) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)
                if order.sequence % every == 0:
                    raise ValueError("as the test wants it")

        await rig.start()
        await rig.finished(30)
        assert seen == list(range(1, 31))
        assert rig.counting.taken == rig.counting.finished == 30


async def test_a_crash_does_not_touch_the_other_agents() -> None:
    async with in_process(orders(20)) as rig:
        crashing, calm = [], []

        @rig.app.agent(rig.source)
        async def unlucky(stream: Any) -> None:
            async for order in stream:
                crashing.append(order.sequence)
                if order.sequence in (7, 8):  # within 10 ms, which ends mode's own supervisor
                    raise ValueError("as the test wants it")

        @rig.app.agent(rig.source)
        async def lucky(stream: Any) -> None:
            async for order in stream:
                calm.append(order.sequence)

        await rig.start()
        await rig.finished(20)
        assert crashing == calm == list(range(1, 21))


async def test_a_crash_in_a_batch_acks_that_batch_only() -> None:
    async with in_process(orders(9)) as rig:
        batches = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for batch in stream.take(3, within=60):
                batches.append(numbers(batch))
                if len(batches) == 2:
                    raise ValueError("as the test wants it")

        await rig.start()
        await rig.finished(9)
        assert batches == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
        assert rig.counting.taken == rig.counting.finished == 9


async def test_a_processor_that_raises_crashes_its_agent_only() -> None:
    async with in_process(orders(6)) as rig:
        seen = []

        def check(order: Any) -> int:
            if order.sequence == 3:
                raise ValueError("as the test wants it")
            return int(order.sequence)

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            if check not in stream._processors:
                stream.add_processor(check)
            async for number in stream:
                seen.append(number)

        await rig.start()
        await rig.finished(6)
        assert seen == [1, 2, 4, 5, 6]
        assert rig.counting.taken == rig.counting.finished == 6


async def test_an_agent_that_returned_is_dropped_after_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with in_process(orders(10)) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def leaving(stream: Any) -> None:
            async for order in stream:
                if order.sequence == 4:
                    return

        @rig.app.agent(rig.source)
        async def staying(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        await rig.start()
        await until(lambda: len(seen) == 10)
        await until(lambda: rig.split.cursor == 4)
        rig.feed.look_after(returned_seconds=60)
        assert rig.split.unacked == 6, "it may still be a crashed agent that is restarted"
        rig.feed.look_after(returned_seconds=0)
        await rig.finished(10)
        assert "an agent or stream returned while events wait for it" in caplog.text
        await rig.more(*orders(12)[10:])
        await rig.finished(12)


async def test_a_crashed_agent_of_a_halted_worker_is_not_taken_for_one_that_returned() -> None:
    """Time passed, but not for this process: nothing could be restarted."""
    async with in_process(orders(3)) as rig:
        stream = rig.app.stream(rig.source)
        await rig.start()
        (subscription,) = rig.source.subscriptions
        async for _ in stream:
            break  # what a crash leaves, too
        await until(lambda: subscription.ended_at is not None and len(subscription.events) == 2)
        subscription.ended_at -= 60.0
        for _ in range(5):
            rig.feed.look_after(returned_seconds=10)
        assert rig.source.subscriptions == [subscription]
        async for order in stream:
            if order.sequence == 3:
                break
        await rig.finished(3)


async def test_who_was_given_up_and_reads_again_is_given_what_comes() -> None:
    async with in_process(orders(3)) as rig:
        stream = rig.app.stream(rig.source)
        await rig.start()
        (subscription,) = rig.source.subscriptions
        async for _ in stream:
            break
        await until(lambda: subscription.ended_at is not None and len(subscription.events) == 2)
        rig.feed.look_after(returned_seconds=0)
        await rig.finished(3)
        assert rig.source.subscriptions == []
        await rig.more(*orders(5)[3:])
        seen = []
        async for order in stream:
            seen.append(order.sequence)
            if len(seen) == 2:
                break
        assert seen == [4, 5]


async def test_a_channel_that_was_collected_is_not_waited_for() -> None:
    async with in_process(orders(3)) as rig:
        seen = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        forgotten = rig.source.clone(is_iterator=True)
        assert len(rig.source.subscriptions) == 1
        del forgotten
        gc.collect()
        await rig.start()
        await rig.finished(3)


async def test_nothing_can_be_sent_to_a_source() -> None:
    async with in_process(()) as rig:
        with pytest.raises(Exception, match="orders is a gRPC source: nothing can be sent to it"):
            await rig.source.send(value=1)


@pytest.mark.skipif(PURE, reason="this is the run on the pure build")
def test_all_of_this_on_faust_without_its_compiled_parts() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        env={**os.environ, "NO_CYTHON": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
