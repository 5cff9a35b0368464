"""The acceptance cases about servers that go away and come back, at whole sources."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import psutil
import pytest
from consuming import (
    CURSOR,
    QUICK,
    TICKS,
    Consumer,
    Kind,
    consuming,
    in_turn,
    scripted,
    send_ticks,
    threads,
    tick,
)
from h2_server import ErrorCodes, Stream
from support import OrderServer

from faust_grpc import Cursor, Keepalive
from faust_grpc.testing import End, ScriptedServer, Send, Stall

ORDERS: dict[str, Any] = {
    "method": "shop.v1.OrderService/StreamOrders",
    "schema": Path(__file__).parents[2] / "examples" / "orders" / "orders.binpb",
    "sequence": "sequence",
    "cursor": Cursor("sequence", into="after_sequence"),
    "request": {"region": "eu", "reader": "wire", "rate": 200},
}

#: How long a server stays away, at most: 3 s as in the case when the whole of it is wanted.
GAP_SECONDS = 3.0 if os.environ.get("FAUST_GRPC_LONG_TESTS") else 0.3
RESTARTS = 20


def in_order(rig: Consumer) -> bool:
    return bool(rig.seen == list(range(1, len(rig.seen) + 1)))


def healthy_delays(rig: Consumer) -> bool:
    """Every call had brought something: no delay grew."""
    return all(ended.attempt == 2 for ended in rig.ended) and all(
        ended.seconds <= QUICK.initial_seconds for ended in rig.ended
    )


async def test_W02_go_away(kind: Kind) -> None:
    rigs: list[Consumer] = []

    async def script(stream: Stream) -> None:
        count = len(stream.peer.server.streams) * 2
        await send_ticks(stream, count)
        await rigs[0].until(lambda: len(rigs[0].seen) == count)
        await stream.go_away(ErrorCodes.NO_ERROR, b"max_age")

    async with scripted(script, kind, cursor=CURSOR) as (server, rig):
        rigs.append(rig)
        await rig.until(lambda: len(server.streams) > 5)
        assert in_order(rig)
        assert set(rig.split.endings) == {"UNAVAILABLE"}
        assert healthy_delays(rig)
        assert all("GOAWAY received" in ended.reason for ended in rig.ended)


async def test_W02_maximum_age_of_a_go_server(
    kind: Kind, start_go_order_server: Callable[..., OrderServer]
) -> None:
    server = start_go_order_server(
        "--max-connection-age", "400ms", "--max-connection-age-grace", "100ms"
    )
    async with consuming(server.target, kind, **ORDERS) as rig:
        await rig.until(lambda: rig.split.calls > 4)
        seen = len(rig.seen)
        await rig.until(lambda: len(rig.seen) > seen)
        assert in_order(rig)
        assert healthy_delays(rig)
        assert set(rig.split.endings) == {"UNAVAILABLE"}


async def test_W02_maximum_age_of_a_python_server(kind: Kind) -> None:
    options = [("grpc.max_connection_age_ms", 300), ("grpc.max_connection_age_grace_ms", 100)]
    with ScriptedServer(options=options) as server:
        server.script(TICKS, *[[Send(tick(number)), Stall()] for number in range(1, 10)])
        async with consuming(server.target, kind, cursor=CURSOR) as rig:
            await rig.until(lambda: rig.split.calls > 4)
            await rig.until(lambda: len(rig.seen) > 4)
            assert in_order(rig)
            assert healthy_delays(rig)
            assert set(rig.split.endings) == {"UNAVAILABLE"}


async def test_W02_pings_that_a_go_server_forbids(
    kind: Kind, start_go_order_server: Callable[..., OrderServer]
) -> None:
    """They strike when the stream has become quiet, as GOAWAY; gRPC's core pings half as often."""
    server = start_go_order_server("--count", "3")
    keepalive = Keepalive(interval_seconds=0.1, timeout_seconds=10)
    async with consuming(server.target, kind, **ORDERS, keepalive=keepalive) as rig:
        await rig.until(lambda: rig.split.calls == 2)
        assert rig.seen == [1, 2, 3]
        first = rig.ended[0]
        assert first.reason.startswith("UNAVAILABLE: ")
        assert "too_many_pings" in first.reason
        assert "[the server forbids pings this often: raise Keepalive(" in first.reason


async def test_W02_pings_that_are_too_many_become_fewer() -> None:
    """gRPC's core doubles the interval of its channel, which outlives the connection."""
    await asyncio.gather(*map(pings_of_two_lives, get_args(Kind)))


async def pings_of_two_lives(kind: Kind) -> None:
    async def strict(stream: Stream) -> None:
        await stream.headers()
        await rigs[0].until(lambda: len(stream.peer.pings) == 2)
        await stream.go_away(ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")

    rigs: list[Consumer] = []
    # Core sends none more often than each second.
    keepalive = Keepalive(interval_seconds=1, timeout_seconds=10)
    async with scripted(strict, kind, keepalive=keepalive) as (server, rig):
        rigs.append(rig)
        await rig.until(lambda: len(server.streams) == 3)
        first, second = (later - before for before, later in (p.pings for p in server.peers[:2]))
        assert second > 1.5 * first
        assert "too_many_pings" in rig.ended[0].reason


async def test_W15_a_server_that_is_halted(
    kind: Kind, start_go_order_server: Callable[..., OrderServer]
) -> None:
    """Its kernel acknowledges what is sent; nobody answers."""
    server = start_go_order_server()
    keepalive = Keepalive(interval_seconds=1, timeout_seconds=0.5)
    async with consuming(server.target, kind, **ORDERS, keepalive=keepalive) as rig:
        await rig.until(lambda: rig.seen)
        server.stop()
        await rig.until(lambda: rig.said("the server did not answer a ping in time"), 10)
        seen = len(rig.seen)
        server.cont()
        await rig.until(lambda: len(rig.seen) > seen)
        assert in_order(rig)


async def test_W21_twenty_restarts(
    kind: Kind, start_go_order_server: Callable[..., OrderServer]
) -> None:
    rng = random.Random(21)
    server = start_go_order_server()
    process = psutil.Process()
    async with consuming(server.target, kind, **ORDERS) as rig:
        await rig.until(lambda: rig.seen)
        running, files = threads(), process.num_fds()
        for restart in range(RESTARTS):
            if restart % 2:
                await asyncio.to_thread(server.kill)
            else:
                server.terminate()
                await asyncio.to_thread(server.wait)
            gap = rng.uniform(0, GAP_SECONDS)
            await asyncio.sleep(gap)  # the outage, not a wait for something
            await asyncio.to_thread(server.start)
            seen = len(rig.seen)
            await rig.until(lambda seen=seen: len(rig.seen) > seen, 20)  # type: ignore[misc]
        assert in_order(rig)
        assert all(ended.seconds <= QUICK.maximum_seconds for ended in rig.ended)
        assert threads() <= running
        assert process.num_fds() <= files + 2
        # Attempts between two lives are few: the delays hold.
        assert rig.split.calls <= RESTARTS * (GAP_SECONDS / QUICK.maximum_seconds * 4 + 8)


async def test_W24_an_idle_connection_that_the_server_closed(kind: Kind) -> None:
    """The next call opens a new one, and nobody notices."""
    opening = asyncio.Event()
    opening.set()

    async def metadata() -> dict[str, str]:
        await opening.wait()
        return {}

    with ScriptedServer(options=[("grpc.max_connection_idle_ms", 200)]) as server:
        server.script(TICKS, [Send(tick(1)), End()], [Send(tick(2)), Stall()])
        async with consuming(server.target, kind, cursor=CURSOR, metadata=metadata) as rig:
            await rig.until(lambda: rig.seen == [1])
            opening.clear()
            await rig.until(lambda: rig.split.state == "connecting")
            assert connected(server.port)
            await rig.until(lambda: not connected(server.port))
            opening.set()
            await rig.has_seen(1, 2)
            assert rig.split.endings == {"OK": 1}
            assert rig.split.calls == 2
            assert healthy_delays(rig)


def connected(port: int) -> bool:
    """Return whether this process has a connection to a port."""
    return any(
        connection.raddr and connection.raddr.port == port and connection.status == "ESTABLISHED"
        for connection in psutil.Process().net_connections("tcp")
    )


@pytest.mark.parametrize("end", ["fin", "abort"])
async def test_a_server_that_closes_every_connection(kind: Kind, end: str) -> None:
    async def script(stream: Stream) -> None:
        getattr(stream, end)()

    async def stay(stream: Stream) -> None:
        await send_ticks(stream, 2)

    async with scripted(in_turn(script, script, stay), kind, cursor=CURSOR) as (_, rig):
        await rig.has_seen(1, 2)
        assert [ended.attempt for ended in rig.ended] == [2, 3]
