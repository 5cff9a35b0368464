"""The acceptance cases about bad and large data, on streams: what comes after it arrives."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from support.messages import SETS, case_bytes, message_class

from faust_grpc import Backoff, Buffer, Cursor, Split
from faust_grpc.acks import Delivery
from faust_grpc.config import ReaderKind
from faust_grpc.connection import Connection
from faust_grpc.declaration import Declaration
from faust_grpc.protocol import Dead
from faust_grpc.schema import schema_from
from faust_grpc.splits import RunningSplit, SplitState
from faust_grpc.targets import parse_targets
from faust_grpc.testing import Replay, Reset, ScriptedServer, Send, Stall

TICKS = "cases.feed.v1.Feed/Ticks"
FEED = schema_from(SETS / "feed.binpb")
Tick = message_class("feed", "cases.feed.v1.Tick")
Ask = message_class("feed", "cases.feed.v1.Ask")


class Taken:
    """What a split delivers, acked at once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.dead_letters: list[Dead] = []
        self.stops: list[str] = []
        self.changed = asyncio.Event()

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            for record in delivery.records:
                self.values.append(record.value)
                split.acked(delivery)
        self.changed.set()

    def dead(self, split: RunningSplit, action: Dead) -> None:
        self.dead_letters.append(action)
        split.acked(action.delivery)
        self.changed.set()

    def stopped(self, split: RunningSplit, reason: str) -> None:
        self.stops.append(reason)
        self.changed.set()

    async def until(self, condition: Any) -> None:
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)


@asynccontextmanager
async def reading(
    target: str, reader: ReaderKind = "auto", **options: Any
) -> AsyncIterator[tuple[RunningSplit, Taken]]:
    """Read ``Ticks`` as a source with these options would."""
    buffer = options.pop("buffer", Buffer())
    split, taken, connection = Split("main"), Taken(), Connection(target, buffer=buffer)
    declaration = Declaration(
        name="ticks", targets=parse_targets(target), method=TICKS, schema=FEED, splits=(split,),
        value_type=dict, buffer=buffer, **options,
    )  # fmt: skip
    protocol = declaration.plan(FEED.method(TICKS)).protocol(split, None)
    running = RunningSplit(
        "ticks", split, 0, protocol, connection, taken, buffer=buffer, reader=reader
    )
    running.start()
    try:
        yield running, taken
    finally:
        running.cancel()
        await running.closed()
        await connection.close()


@pytest.fixture(params=["threaded", "aio"])
def kind(request: pytest.FixtureRequest) -> ReaderKind:
    """Each reader."""
    return request.param  # type: ignore[no-any-return]  # one of the two


def tick(number: int, **fields: Any) -> bytes:
    raw: bytes = Tick(seq=number, **fields).SerializeToString()
    return raw


async def test_D05_text_that_is_not_utf8_between_good_messages(kind: ReaderKind) -> None:
    bad = case_bytes("bad_utf8")
    with ScriptedServer() as server:
        server.script(TICKS, [Send(tick(1), bad, tick(2)), Stall()])
        async with reading(server.target, kind, cursor=Cursor("seq", into="after_seq")) as (
            split,
            taken,
        ):
            await taken.until(lambda: len(taken.values) == 2)
            assert [value["seq"] for value in taken.values] == [1, 2]
            (letter,) = taken.dead_letters
            assert letter.raw == bad
            assert "'cases.feed.v1.Tick.sym' is not UTF-8" in letter.reason
            # The cursor passed over it, and nobody called again.
            assert split.protocol.mark.cursor() == 2
            assert split.protocol.counts.calls == 1


BAD = ("garbage", "html", "truncated", "end_group", "field_zero", "length_2gb")


async def test_D15_what_comes_after_bad_bytes_arrives(kind: ReaderKind) -> None:
    bad = [case_bytes(f"bad_{name}") for name in BAD]
    with ScriptedServer() as server:
        server.script(TICKS, [Send(*bad, *map(tick, (1, 2, 3))), Stall()])
        tracemalloc.start()
        try:
            async with reading(server.target, kind) as (split, taken):
                await taken.until(lambda: len(taken.values) == 3)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert [letter.raw for letter in taken.dead_letters] == bad
    assert [value["seq"] for value in taken.values] == [1, 2, 3]
    assert peak < 20_000_000
    assert split.protocol.counts.calls == 1


LARGE = 5 * 1024 * 1024


@pytest.mark.parametrize("limit", [None, 2 * LARGE])
async def test_D12_a_large_message_passes(kind: ReaderKind, limit: int | None) -> None:
    with ScriptedServer() as server:
        server.script(TICKS, [Send(tick(1), tick(2, sym="x" * LARGE), tick(3)), Stall()])
        buffer = Buffer(message_size_bytes=limit)
        async with reading(server.target, kind, buffer=buffer) as (_, taken):
            await taken.until(lambda: len(taken.values) == 3)
    assert len(taken.values[1]["sym"]) == LARGE


async def test_D12_one_beyond_the_limit_ends_the_split_and_says_so(kind: ReaderKind) -> None:
    with ScriptedServer() as server:
        server.script(TICKS, [Send(tick(1), tick(2, sym="x" * LARGE), tick(3)), Stall()])
        buffer = Buffer(message_size_bytes=LARGE // 2)
        async with reading(server.target, kind, buffer=buffer) as (split, taken):
            await taken.until(lambda: taken.stops)
            assert split.state is SplitState.FATAL
            assert split.protocol.counts.calls == 2
    (reason,) = taken.stops
    assert "Received message larger than max" in reason
    assert "Buffer(message_size_bytes=...)" in reason


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
async def test_D13_what_a_server_compresses(
    kind: ReaderKind, compression: grpc.Compression
) -> None:
    async def ticks(_: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        for number in range(3):
            yield tick(number, sym="x" * 1000)

    server = grpc.aio.server(compression=compression)
    handler = grpc.unary_stream_rpc_method_handler(ticks)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("cases.feed.v1.Feed", {"Ticks": handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with reading(f"127.0.0.1:{port}", kind) as (_, taken):
            await taken.until(lambda: len(taken.values) >= 3)
    finally:
        await server.stop(None)
    assert {len(value["sym"]) for value in taken.values} == {1000}


async def test_A08_a_cursor_in_a_field_that_the_schema_does_not_know(kind: ReaderKind) -> None:
    """Over five calls: nothing lost, nothing twice."""

    def marked(number: int) -> bytes:
        token = b"%d" % number
        # Field 32767, bytes.
        return tick(number) + b"\xfa\xff\x0f" + bytes([len(token)]) + token

    history = [marked(number) for number in range(1, 11)]

    def after(raw: bytes) -> int:
        return int(Ask.FromString(raw).sym or 0)

    with ScriptedServer() as server:
        calls = [(Replay(history[: 2 * call], after), Reset()) for call in range(1, 5)]
        server.script(TICKS, *calls, (Replay(history, after), Stall()))
        backoff = Backoff(initial_seconds=0.01)
        cursor = Cursor("#32767", into="sym")
        async with reading(server.target, kind, cursor=cursor, backoff=backoff) as (split, taken):
            await taken.until(lambda: len(taken.values) >= 10)
        assert [value["seq"] for value in taken.values] == list(range(1, 11))
        assert split.protocol.mark.cursor() == "10"
        # What was lost with a reset is asked for again.
        assert len(server.calls) >= 5
