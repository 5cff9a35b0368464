"""The acceptance cases about what stands between client and server, played by a relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from consuming import (
    CURSOR,
    QUICK,
    Consumer,
    Kind,
    asked_after,
    consuming,
    send_ticks,
    tick,
)
from h2_server import H2Server, Script, Stream
from relay import Mode, Relay

from faust_grpc import Keepalive


async def one_more(stream: Stream) -> None:
    """Send one tick behind what is asked for, and stay open."""
    await send_ticks(stream, await asked_after(stream) + 1)


@asynccontextmanager
async def relayed(
    script: Script, kind: Kind, *, idle_seconds: float | None = None, **options: Any
) -> AsyncIterator[tuple[H2Server, Relay, Consumer]]:
    """Run a consumer behind a relay."""
    async with (
        H2Server(script) as server,
        Relay(server.port, idle_seconds=idle_seconds) as relay,
        consuming(relay.target, kind, **{"cursor": CURSOR, **options}) as rig,
    ):
        yield server, relay, rig


async def test_W05_a_balancer_that_accepts_and_drops(kind: Kind) -> None:
    """Nothing is ever called open; attempts and delays can be seen; the log does not fill up."""
    states = set()
    async with relayed(one_more, kind) as (_, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.mode = Mode.DROP
        relay.reset()
        await rig.until(lambda: rig.split.state == "waiting")

        def looked() -> bool:
            states.add(rig.split.state)
            return rig.split.calls >= 12

        await rig.until(looked)
        assert states == {"waiting", "connecting"}
        await rig.until(lambda: rig.split.state == "waiting")
        assert "UNAVAILABLE" in rig.split.reason
        assert [ended.attempt for ended in rig.ended[:4]] == [2, 3, 5, 9]
        assert len(rig.ended) <= 5
        assert all(ended.seconds <= QUICK.maximum_seconds for ended in rig.ended)
        relay.mode = Mode.PASS
        await rig.has_seen(1, 2)


async def test_W10_a_proxy_that_resets_idle_streams(kind: Kind) -> None:
    """Pings do not help, only DATA counts; and after three such ends their cause is named."""
    keepalive = Keepalive(interval_seconds=0.5, timeout_seconds=20)
    async with relayed(one_more, kind, idle_seconds=1.1, keepalive=keepalive) as (_, relay, rig):
        await rig.until(lambda: len(rig.seen) == 5)
        assert rig.seen == [1, 2, 3, 4, 5]
        assert relay.expired == 4
        assert rig.split.endings == {"CANCELLED": 4}
        assert [ended.attempt for ended in rig.ended] == [2, 2, 2, 2]
        assert all(ended.seconds <= QUICK.initial_seconds for ended in rig.ended)
        hint = (
            "calls end after 1 s without data: probably the idle time-out of a proxy; "
            "HTTP/2 pings do not count there, heartbeat messages do"
        )
        assert rig.split.hint == hint
        assert [hint in ended.reason for ended in rig.ended] == [False, False, True, True]


async def test_W15_a_cable_that_is_pulled(kind: Kind) -> None:
    """Neither side is told: an unanswered ping tells."""
    keepalive = Keepalive(interval_seconds=1, timeout_seconds=0.5)
    async with relayed(one_more, kind, keepalive=keepalive) as (server, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.freeze()
        await rig.until(lambda: rig.split.state == "waiting", 10)
        assert "the server did not answer a ping in time" in rig.ended[0].reason
        relay.thaw()
        await rig.until(lambda: len(rig.seen) == 2)
        assert rig.seen == [1, 2]
        assert len(server.streams) == 2


async def test_connections_that_are_reset_half_way(kind: Kind) -> None:
    """Cut anywhere, also inside a message: whole messages arrive once, in order."""

    async def many(stream: Stream) -> None:
        first = await asked_after(stream) + 1
        await stream.headers()
        for number in range(first, 401):
            await stream.message(tick(number, sym="x" * 50))

    async with relayed(many, kind) as (_, relay, rig):
        for cut in (700, 1_111, 3_000, 77, 5_001):
            calls, relay.cut_after = rig.split.calls, cut
            await rig.until(lambda calls=calls: rig.split.calls > calls)  # type: ignore[misc]
        await rig.has_seen(*range(1, 401))
        assert rig.split.repeated == 0


async def test_a_slow_link(kind: Kind) -> None:
    async def some(stream: Stream) -> None:
        await send_ticks(stream, 100, sym="x" * 100)
        await stream.trailers(0)
        await asyncio.Event().wait()

    async with relayed(some, kind) as (_, relay, rig):
        relay.bytes_per_second = 20_000
        await rig.has_seen(*range(1, 101))
