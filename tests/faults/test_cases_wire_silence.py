"""The acceptance cases about silence: what is told of it, and what is done about it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from consuming import (
    CURSOR,
    TICKS,
    Consumer,
    Frame,
    Kind,
    after_seq,
    asked_after,
    consuming,
    in_turn,
    scripted,
    send_ticks,
    tick,
)
from h2_server import Stream
from relay import Mode
from test_cases_wire_proxies import one_more, relayed

from faust_grpc import Buffer, Cursor, Timeouts
from faust_grpc.testing import Replay, ScriptedServer, Send, Stall
from faust_grpc.web.health import not_ready

IDLE = Timeouts(idle_seconds=0.5)
#: The reader in a thread looks for headers at intervals, which grow to a second.
NOTICED_SECONDS = 2.0


async def test_W14_a_proxy_that_hides_a_dead_backend(kind: Kind) -> None:
    """Only the silence tells: no error ever comes."""
    async with relayed(one_more, kind, timeouts=IDLE) as (server, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.lose_server()
        await rig.until(lambda: rig.split.state == "waiting")
        assert rig.split.reason == (
            "peer silent: nothing arrived for 0.5 s (Timeouts(idle_seconds=...))"
        )
        assert rig.split.endings["SILENT"] >= 1
        relay.find_server()
        await rig.until(lambda: len(rig.seen) == 2)
        assert rig.seen == [1, 2]
        assert len(server.streams) == 2


async def test_W14_a_word_once_when_nothing_watches(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("faust_grpc.deadlines.QUIET_SECONDS", 0.3)
    async with relayed(one_more, kind) as (_, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.lose_server()
        await rig.until(lambda: rig.said("set Timeouts(idle_seconds=...)"))
        assert rig.split.state == "receiving", "a quiet stream is no fault"
        relay.reset()
        relay.find_server()
        await rig.until(lambda: rig.seen == [1, 2])
        (line,) = rig.said("nothing would notice a dead peer")
        assert line in rig.warnings


async def test_W14_heartbeats_are_a_watchdog_of_their_own(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they were declared to be skipped, nobody has to set a time-out."""
    monkeypatch.setattr("faust_grpc.deadlines.QUIET_SECONDS", 1.0)

    async def beats(stream: Stream) -> None:
        after = await asked_after(stream)
        await stream.headers()
        await stream.message(frame(tick={"seq": after + 1}))
        for number in range(3):
            await rigs[0].until(lambda: rigs[0].split.state == "receiving")
            await stream.message(frame(ping={"id": number}))
            await asyncio.sleep(0.05)  # a heartbeat is a rhythm

    rigs: list[Consumer] = []
    options: dict[str, Any] = {
        "method": "cases.feed.v1.Feed/Frames",
        "sequence": lambda message: message.tick.seq,
        "cursor": Cursor("tick.seq", into="after_seq"),
        "skip": "ping",
    }
    async with relayed(beats, kind, **options) as (_, relay, rig):
        rigs.append(rig)
        await rig.until(lambda: rig.seen == [1])
        await rig.until(lambda: rig.running.protocol.messages >= 4)
        relay.lose_server()
        await rig.until(lambda: rig.said("peer silent: nothing arrived for 1 s"))
        assert rig.said("though there were heartbeats")
        relay.find_server()
        await rig.until(lambda: len(rig.seen) >= 2)
        assert rig.seen == list(range(1, len(rig.seen) + 1))


async def test_messages_that_wait_for_slow_agents_are_no_silence(kind: Kind) -> None:
    async def three(stream: Stream) -> None:
        await send_ticks(stream, 3)

    def deadline() -> float:
        at = rig.running.protocol.deadline
        assert at is not None
        return at

    buffer = Buffer(unacked=1)
    async with scripted(three, kind, cursor=CURSOR, timeouts=IDLE, buffer=buffer) as (_, rig):
        rig.gate.clear()
        await rig.until(lambda: rig.split.unacked and rig.split.buffered)
        before = deadline()
        await rig.until(lambda: deadline() > before + 0.5)  # it has passed, and was put off
        assert rig.split.endings == {}
        rig.gate.set()
        await rig.has_seen(1, 2, 3)


async def test_W15_a_cable_that_is_pulled_under_a_watchdog(kind: Kind) -> None:
    """Found by the silence, when pings are rarer."""
    async with relayed(one_more, kind, timeouts=IDLE) as (_, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.freeze()
        await rig.until(lambda: rig.said("peer silent: nothing arrived for 0.5 s"))
        # A new connection is not made on the old one's account: it is frozen too.
        await rig.until(lambda: rig.split.state in ("waiting", "connecting"))
        relay.reset()
        relay.thaw()
        await rig.until(lambda: rig.seen == [1, 2])


async def test_W15_a_connection_that_is_accepted_and_never_answers(kind: Kind) -> None:
    timeouts = Timeouts(connect_seconds=0.5)
    async with relayed(one_more, kind, timeouts=timeouts) as (_, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.mode = Mode.MUTE
        relay.reset()
        await rig.until(lambda: rig.said("says nothing: a server that hangs"), 4)
        assert rig.split.state in ("waiting", "connecting")
        relay.mode = Mode.PASS
        await rig.until(lambda: rig.seen == [1, 2])


def frame(**body: Any) -> bytes:
    raw: bytes = Frame(**body).SerializeToString()
    return raw


async def test_W20_a_snapshot_that_never_comes(kind: Kind) -> None:
    states: list[str] = []
    unready: list[str] = []

    async def headers_only(stream: Stream) -> None:
        await stream.headers()

    async def snapshot(stream: Stream) -> None:
        await stream.headers()
        await stream.message(frame(tick={"seq": 1}))
        await rigs[0].until(lambda: rigs[0].seen == [1])
        states.append(rigs[0].split.state)
        unready.extend(not_ready(rigs[0].app, "synced"))
        await stream.message(frame(live=True))
        await rigs[0].until(lambda: rigs[0].split.state == "synced")
        await stream.message(frame(tick={"seq": 2}))

    rigs: list[Consumer] = []
    async with scripted(
        in_turn(headers_only, snapshot),
        kind,
        method="cases.feed.v1.Feed/Frames",
        sequence=lambda message: message.tick.seq,
        cursor=Cursor("tick.seq", into="after_seq"),
        skip="live",
        end_of_snapshot="live",
        timeouts=Timeouts(sync_seconds=NOTICED_SECONDS),
    ) as (server, rig):
        rigs.append(rig)
        await rig.until(lambda: rig.split.state == "open")
        await rig.until(lambda: len(server.streams) == 2)
        assert rig.said("not synced: no event of the snapshot arrived for 2 s")
        await rig.until(lambda: rig.seen == [1, 2])
        assert states == ["receiving"]
        assert unready == ["ticks/main: receiving"]
        assert not list(not_ready(rig.app, "synced"))
        assert rig.split.state == "synced"


async def test_W23_a_request_that_matches_nothing(kind: Kind) -> None:
    """Told once with the request, and left alone: it may be right."""

    async def nothing(stream: Stream) -> None:
        await stream.headers()

    timeouts = Timeouts(first_message_seconds=NOTICED_SECONDS)
    async with scripted(
        nothing, kind, cursor=CURSOR, timeouts=timeouts, request={"sym": "NO SUCH"}
    ) as (server, rig):
        await rig.until(lambda: rig.warnings)
        (line,) = rig.warnings
        assert "no message since the call was accepted 2 s ago: does anything match" in line
        assert "{sym='NO SUCH'}" in line
        assert rig.split.state == "open"
        await server.streams[0].message(tick(1))
        await rig.has_seen(1)
        assert len(rig.warnings) == len(server.streams) == 1


async def test_W23_no_headers_either(kind: Kind) -> None:
    """As from a server that is at its limit of concurrent streams."""

    async def nothing(stream: Stream) -> None:
        await stream.wait()

    timeouts = Timeouts(first_message_seconds=0.3)
    async with scripted(nothing, kind, cursor=CURSOR, timeouts=timeouts) as (_, rig):
        await rig.until(lambda: rig.warnings)
        assert "no headers and no message for 0.3 s" in rig.warnings[0]
        assert "MAX_CONCURRENT_STREAMS" in rig.warnings[0]
        assert rig.split.state == "connecting"


class Heartbeats:
    """Unary calls on the connection that the stream is read from."""

    def __init__(self, rig: Consumer) -> None:
        self.answered = 0
        self._connection = rig.feed.connections.to(None)

    async def beat(self) -> None:
        with self._connection.acquire("aio") as channel:
            await channel.unary_unary("/cases.feed.v1.Feed/Get")(b"", timeout=5)
        self.answered += 1

    async def beat_for_ever(self) -> None:
        while True:
            try:
                await self.beat()
            except grpc.RpcError:
                pass  # the server is down
            await asyncio.sleep(0.05)


@asynccontextmanager
async def beating(rig: Consumer) -> AsyncIterator[Heartbeats]:
    beats = Heartbeats(rig)
    task = asyncio.ensure_future(beats.beat_for_ever())
    try:
        yield beats
    finally:
        task.cancel()


async def test_W25_heartbeats_are_no_life_of_the_stream(kind: Kind) -> None:
    history: list[bytes] = []

    with ScriptedServer() as server:
        server.script("cases.feed.v1.Feed/Get", [Send(tick(1))])
        server.script(TICKS, [Replay(history, after_seq), Stall()])
        async with (
            consuming(server.target, kind, cursor=CURSOR, timeouts=IDLE) as rig,
            beating(rig) as beats,
        ):
            await rig.until(lambda: rig.split.state == "open")
            answered = beats.answered
            await rig.until(lambda: rig.said("peer silent"))
            assert beats.answered > answered

            # After a restart of the server the stream is there again, and resumed.
            await asyncio.to_thread(server.stop)
            history += [tick(1), tick(2)]
            rig.gate.clear()
            server.start()
            await rig.until(lambda: rig.split.unacked == 2)
            # Delivered is not finished.
            assert rig.split.cursor is None
            rig.gate.set()
            await rig.has_seen(1, 2)
            assert rig.split.cursor == 2
