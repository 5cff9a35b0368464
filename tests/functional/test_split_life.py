"""A split's states, and what people and declared policies do to it, against real servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import faust
import grpc
import pytest
from support_app import METHOD, ORDERS, InProcess, Order, Request, in_process, orders, until

from faust_grpc import Backoff, Cursor, GrpcSource, Timeouts
from faust_grpc.exceptions import DataError
from faust_grpc.feeds import Assigned
from faust_grpc.seams import restart_agents
from faust_grpc.testing import End, Fail, Replay, Reset, ScriptedServer, Send, Stall

QUICK = Backoff(initial_seconds=0.01, maximum_seconds=0.1)
BAD = b"\xff\xff garbage"


def collecting(rig: InProcess) -> list[int]:
    """Declare an agent; return what it will have finished."""
    seen: list[int] = []

    @rig.app.agent(rig.source, name="collecting")
    async def collect(stream: Any) -> None:
        async for order in stream:
            seen.append(order.sequence)

    return seen


def after(raw: bytes) -> int:
    return int(Request.FromString(raw).after_sequence)


async def in_state(rig: InProcess, state: str) -> None:
    await until(lambda: rig.split.state == state, lambda: str(rig.source.status()))


async def test_pause_resume_restart() -> None:
    async with in_process(orders(3), backoff=QUICK) as rig:
        seen = collecting(rig)
        await rig.start()
        await rig.finished(3)
        (split,) = rig.feed
        split.pause("maintenance")
        assert (rig.split.state, rig.split.reason) == ("paused", "maintenance")
        await until(lambda: rig.server.calls[0].over)
        split.resume()
        await asyncio.to_thread(rig.server.wait_for_calls, 2)
        split.resume()  # it reads: nothing to do
        rig.server.calls[1].send(Order(sequence=4, order_id="o4"))
        await rig.finished(4)
        split.restart()
        call = await asyncio.to_thread(rig.server.wait_for_calls, 3)
        assert after(call.request) == 4
        await until(lambda: rig.server.calls[1].over)
        call.send(Order(sequence=5, order_id="o5"))
        await rig.finished(5)
        assert seen == [1, 2, 3, 4, 5]
        assert len(rig.server.calls) == 3


async def test_the_log_says_that_it_receives_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "faust_grpc")
    server = ScriptedServer()
    async with in_process([], server, backoff=QUICK) as rig:
        collecting(rig)
        down = Fail(grpc.StatusCode.UNAVAILABLE, "down")
        once = (Send(*orders(1)), down)
        often = (Send(*orders(2)[1:]), Stall())
        server.script(METHOD, once, (down,), (down,), often)
        await rig.start()
        await rig.finished(2)
    lines = [record.getMessage() for record in caplog.records]
    assert [line for line in lines if "receiving again" in line] == [
        "orders/main: receiving again, at attempt 4"
    ]


async def test_pause_holds_between_two_calls_and_while_one_is_opened() -> None:
    server = ScriptedServer()
    async with in_process([], server, backoff=QUICK) as rig:
        seen = collecting(rig)
        server.script(METHOD, Fail(grpc.StatusCode.UNAVAILABLE, "not yet"))
        await rig.start()
        (split,) = rig.feed
        for _ in range(20):
            await until(lambda: rig.split.state in ("waiting", "connecting", "open"))
            split.pause()
            assert rig.split.state == "paused"
            split.resume()
        split.pause()
        server.script(METHOD, (Send(*orders(2)), Stall()))
        split.resume()
        await rig.finished(2)
        assert seen == [1, 2]


@asynccontextmanager
async def serving(serve: Callable[..., AsyncIterator[bytes]]) -> AsyncIterator[str]:
    """Serve the method with a function of ours; yield the target."""
    server = grpc.aio.server()
    service, name = METHOD.split("/")
    handlers = {name: grpc.unary_stream_rpc_method_handler(serve)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def reading(target: str, **options: Any) -> AsyncIterator[tuple[GrpcSource, list[Any]]]:
    """Run a source on a target, all its splits; yield it and what its agent has seen."""
    app = faust.App("split-life", broker="kafka://127.0.0.1:9", store="memory://")
    source = GrpcSource(app, target, METHOD, schema=ORDERS, backoff=QUICK, **options)
    seen: list[Any] = []

    @app.agent(source, name="seeing")
    async def see(stream: Any) -> None:
        async for event in stream.events():
            seen.append((event.message.split.name, event.value.sequence))

    restart_agents(app, source)
    app.flow_control.resume()
    await see.start()
    feed = source._feed
    splits = feed.declaration.splits
    feed.assign({split.name: Assigned(index, None) for index, split in enumerate(splits)})
    feed.release()
    try:
        yield source, seen
    finally:
        await see.stop()
        await feed.close(3.0)


async def test_states_are_honest() -> None:
    """No call is called open before its headers, or receiving before a message."""
    accepted, sent = asyncio.Event(), asyncio.Event()

    async def serve(_: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        await accepted.wait()
        await context.send_initial_metadata(())
        await sent.wait()
        yield Order(sequence=1).SerializeToString()
        yield Order(sequence=2, order_id="live").SerializeToString()
        await asyncio.Event().wait()

    def is_live(order: Any) -> bool:
        return bool(order.order_id == "live")

    async with serving(serve) as target, reading(target, end_of_snapshot=is_live) as (source, seen):

        def state() -> str:
            return source.status().splits[0].state

        states = {state()}
        for _ in range(50):
            await asyncio.sleep(0.002)
            states.add(state())
        assert states == {"connecting"}
        accepted.set()
        await until(lambda: state() == "open")
        assert not seen
        sent.set()
        await until(lambda: state() == "synced")


@pytest.mark.parametrize(
    ("on_end", "state"), [("stop", "finished"), ("fail", "fatal"), ("reconnect", "receiving")]
)
async def test_the_server_ends_the_stream(on_end: str, state: str) -> None:
    async with in_process(orders(4), on_end=on_end, backoff=QUICK) as rig:
        rig.server.script(
            METHOD,
            (Send(*orders(2)), End()),
            (Replay(orders(3), after), Stall()),
        )
        seen = collecting(rig)
        await rig.start()
        if on_end == "reconnect":
            await rig.finished(3)
        await in_state(rig, state)
        await rig.finished(3 if on_end == "reconnect" else 2)
        if on_end == "stop":
            rig.feed.assign({"main": Assigned(0, 2)})  # a rebalance does not begin it again
            assert rig.split.state == "finished"
            (split,) = rig.feed
            split.resume()  # a person may
            await rig.finished(3)
        assert seen == ([1, 2] if on_end == "fail" else [1, 2, 3])


async def test_A04_once_stops_with_the_snapshot() -> None:
    history = [*orders(3), Order(sequence=4, order_id="live"), Order(sequence=5)]
    async with in_process(
        history,
        end_of_snapshot=lambda order: order.order_id == "live",
        after_snapshot="stop",
        skip=lambda order: order.order_id == "live",
    ) as rig:
        seen = collecting(rig)
        await rig.start()
        await in_state(rig, "finished")
        await until(lambda: seen == [1, 2, 3])
        assert rig.split.reason == "the snapshot is complete"


@pytest.mark.parametrize("skip", [False, True])
async def test_K02_halt_stops_one_split_of_four(skip: bool) -> None:
    """Which one, is said; the others go on; a person has it read again or passed over."""
    good = [order.SerializeToString() for order in orders(4)]
    history = {region: list(good) for region in "abcd"}
    history["b"][1] = BAD

    async def serve(raw: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        request = Request.FromString(raw)
        for message in history[request.region][request.after_sequence :]:
            yield message
        await asyncio.Event().wait()

    letters: list[Any] = []
    options: dict[str, Any] = {
        "cursor": Cursor("sequence", into="after_sequence"),
        "splits": {name: {"region": name} for name in "abcd"},
        "on_poison": "halt",
        "dead_letter": letters.append,
    }
    async with serving(serve) as target, reading(target, **options) as (source, seen):

        def status() -> dict[str, Any]:
            return {split.name: split for split in source.status().splits}

        await until(lambda: len(seen) == 13 and status()["b"].state == "fatal")
        assert {name: split.state for name, split in status().items()} == {
            "a": "receiving",
            "b": "fatal",
            "c": "receiving",
            "d": "receiving",
        }
        assert "halted on a bad message: 10 bytes are no shop.v1.Order" in status()["b"].reason
        await until(lambda: letters)
        assert [letter.raw for letter in letters] == [BAD]
        assert status()["b"].cursor == 1, "a new owner reads it again, too"
        splits = source._feed.splits
        with pytest.raises(DataError, match="did not halt on a bad message"):
            splits["a"].resume(skip=True)
        if not skip:
            history["b"][1] = good[1]  # it was mended
        splits["b"].resume(skip=skip)
        await until(lambda: status()["b"].cursor == 4)
        of_b = [number for name, number in seen if name == "b"]
        assert of_b == ([1, 3, 4] if skip else [1, 2, 3, 4])
        assert len(letters) == 1


async def test_old_calls_are_renewed_without_loss_or_repeats() -> None:
    """T14's machinery on a busy stream: every call is cut between two messages."""
    total = 3000
    async with in_process(
        orders(total), timeouts=Timeouts(max_call_age_seconds=0.05), backoff=QUICK
    ) as rig:
        seen = collecting(rig)
        await rig.start()
        await rig.finished(total)
        await until(lambda: rig.split.endings.get("RENEWED", 0) >= 5)
        assert seen == list(range(1, total + 1))
        assert set(rig.split.endings) == {"RENEWED"}
        assert rig.split.backoff_seconds == 0


async def test_a_reset_in_the_middle_of_a_renewal_is_like_any_other() -> None:
    history = orders(200)
    async with in_process(
        history, timeouts=Timeouts(max_call_age_seconds=0.02), backoff=QUICK
    ) as rig:
        calls = [(Replay(history[: 20 * number], after), Reset()) for number in range(1, 10)]
        rig.server.script(METHOD, *calls, (Replay(history, after), Stall()))
        seen = collecting(rig)
        await rig.start()
        await rig.finished(200)
        assert seen == list(range(1, 201))


async def test_skipped_messages_are_life_to_the_watchdog() -> None:
    """A heartbeat is no event, but it tells that the peer is there; and its cursor counts."""
    skip = {"skip": lambda order: order.sequence > 1, "timeouts": Timeouts(idle_seconds=60)}
    async with in_process(orders(1), **skip) as rig:
        seen: list[int] = []

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for order in stream:
                seen.append(order.sequence)

        await rig.start()
        await rig.finished(1)
        (split,) = rig.feed
        for sequence in (2, 3):
            before = split.protocol.deadline
            assert before is not None
            await rig.more(*orders(sequence)[-1:])
            await rig.finished(sequence)
            after = split.protocol.deadline
            assert after is not None
            assert after > before
        assert seen == [1]
