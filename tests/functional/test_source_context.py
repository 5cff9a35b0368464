"""``source.test_context()``: a declaration, a real server and agents, without a worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import faust
import pytest
from grpc import StatusCode
from support_app import METHOD, ORDERS, Request, orders

from faust_grpc import ConfigurationError, Cursor, GrpcSource, HostError, Split, TopicSink
from faust_grpc.testing import Fail, Replay, Reset, ScriptedServer, Send, Stall

# As in a user's module: the application is imported once, for tests with loops of their own.
app = faust.App("context", broker="kafka://127.0.0.1:9", topic_partitions=4)
source = GrpcSource(
    app,
    "orders.example.com:443",
    METHOD,
    name="orders",
    splits=[Split("north", {"region": "north"}), Split("south", target="south.example.com:443")],
    value_type=dict,
    key="order_id",
    cursor=Cursor("sequence", into="after_sequence"),
    metadata={"x-shop": "one"},
    tls=True,
    proxy="http://proxy.example.com:3128",
)
sums = app.Table("sums", default=int)


@app.agent(source)
async def add(stream: faust.StreamT[Any]) -> None:
    async for order in stream:
        sums["all"] += order["sequence"]
        if order["sequence"] == 13:
            raise ZeroDivisionError("thirteen")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(files=ORDERS) as started:
        yield started


def after(raw: bytes) -> int:
    return int(Request.FromString(raw).after_sequence)


@pytest.mark.parametrize("loop", ["one", "another"])
async def test_agents_and_tables_work_and_begin_anew(server: ScriptedServer, loop: str) -> None:
    server.script(METHOD, [Send(*orders(3)), Reset()], [Replay(orders(5), after), Stall()])
    async with source.test_context(server.target, splits=["north"]) as context:
        events = await context.processed(5)
        assert [event.key for event in events] == ["o1", "o2", "o3", "o4", "o5"]
        assert [value["sequence"] for value in context.values] == [1, 2, 3, 4, 5]
        assert sums["all"] == 15
        assert context.cursors == {"north": 5}
        status = source.status()
    assert not sums
    assert app._consumer is None, "nothing of Kafka was made"
    assert (status.waiting_for, [split.name for split in status.splits]) == ("", ["north"])
    assert Request.FromString(server.calls[0].request).region == "north"
    assert ("x-shop", "one") in server.calls[0].metadata
    assert after(server.calls[1].request) == 3


async def test_splits_begin_behind_their_cursors(server: ScriptedServer) -> None:
    server.script(METHOD, [Replay(orders(5), after), Stall()])
    async with source.test_context(server.target, cursors={"south": 4}) as context:
        events = await context.processed(6)
        assert context.cursors == {"north": 5, "south": 5}
        assert {event.message.partition for event in events} == {0, 1}


async def test_what_an_agent_raises_is_raised_here_once(server: ScriptedServer) -> None:
    server.script(METHOD, [Send(*orders(14)), Stall()])
    async with source.test_context(server.target, splits=["south"]) as context:
        with pytest.raises(ZeroDivisionError, match="thirteen"):
            await context.processed(14)
        await context.processed(14)
        assert sums["all"] == 14 * 15 / 2
        assert not context.errors


async def test_without_agents_events_are_collected(server: ScriptedServer) -> None:
    server.script(METHOD, [Send(b"\xff", *orders(2)), Stall()])
    async with source.test_context(server.target, splits=["south"], agents=False) as context:
        await context.processed(2)
        (letter,) = context.dead_letters
        assert (letter.raw, letter.split) == (b"\xff", "south")
        assert "all" not in sums


async def test_what_does_not_come_is_told(server: ScriptedServer) -> None:
    server.script(METHOD, [Send(*orders(2)), Stall()])
    async with source.test_context(server.target, splits=["north"]) as context:
        with pytest.raises(HostError) as error:
            await context.processed(3, timeout=1.0)
    assert "3 events were not processed within 1 s: 2 delivered; north: receiving" in str(
        error.value
    )


async def test_a_split_that_needs_a_person_is_not_waited_for(server: ScriptedServer) -> None:
    server.script(METHOD, Fail(StatusCode.INVALID_ARGUMENT, "no such region"))
    async with source.test_context(server.target, splits=["north"]) as context:
        with pytest.raises(HostError, match=r"north: fatal: INVALID_ARGUMENT: no such region"):
            await context.processed(1)


async def test_a_server_that_is_not_there() -> None:
    with pytest.raises(HostError, match=r"not ready within 0\.5 s: waiting for the"):
        async with source.test_context("127.0.0.1:9", connect_seconds=0.5):
            pass
    assert source.status().waiting_for.startswith("its consumer group")


async def test_a_split_that_there_is_not(server: ScriptedServer) -> None:
    with pytest.raises(ConfigurationError, match="no split 'nord': did you mean 'north'"):
        async with source.test_context(server.target, splits=["nord"]):
            pass


async def test_a_source_with_a_sink_is_refused() -> None:
    durable = GrpcSource(
        app,
        "127.0.0.1:9",
        METHOD,
        name="durable",
        schema=ORDERS,
        cursor=Cursor("sequence", into="after_sequence"),
        sink=TopicSink(app.topic("orders-raw")),
    )
    with pytest.raises(ConfigurationError, match=r"use a broker"):
        async with durable.test_context():
            pass
