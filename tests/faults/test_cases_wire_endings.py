"""The acceptance cases about how a call may end: each is survived, and told for what it is."""

from __future__ import annotations

import asyncio
from itertools import count

import grpc
import pytest
from consuming import (
    CURSOR,
    QUICK,
    TICKS,
    Consumer,
    Kind,
    after_seq,
    asked_after,
    consuming,
    in_turn,
    names_page,
    scripted,
    send_ticks,
    tick,
)
from h2_server import ErrorCodes, Script, Stream

from faust_grpc import Buffer, Rule
from faust_grpc.status import Verdict
from faust_grpc.testing import Fail, Replay, ScriptedServer, Send, Stall


def then(rig: list[Consumer], count: int, end: Script) -> Script:
    """Return a script that sends ticks up to a number, waits until they are finished, and ends."""

    async def script(stream: Stream) -> None:
        await send_ticks(stream, count)
        await rig[0].until(lambda: len(rig[0].seen) == count)
        await end(stream)

    return script


async def stay(stream: Stream) -> None:
    """Send two ticks and stay open."""
    await send_ticks(stream, await asked_after(stream) + 2)


async def survives(kind: Kind, end: Script, **options: object) -> Consumer:
    """Let the first call bring two ticks and end so, and the second go on; return what was seen."""
    rigs: list[Consumer] = []
    async with scripted(
        in_turn(then(rigs, 2, end), stay), kind, **{"cursor": CURSOR, **options}
    ) as (server, rig):
        rigs.append(rig)
        await rig.has_seen(1, 2, 3, 4)
        assert len(server.streams) == rig.split.calls == 2
        assert rig.split.state == "receiving"
        assert rig.split.cursor == 4
        assert rig.agent.started
    (ended,) = rig.ended
    assert ended.attempt == 2
    assert ended.seconds <= 0.02, "the call was healthy: the delay is the first one"
    return rig


async def refused(kind: Kind, end: Script, attempts: int = 3) -> Consumer:
    """Let every call but the last end so, before any message."""
    async with scripted(in_turn(*[end] * attempts, stay), kind, cursor=CURSOR) as (server, rig):
        await rig.has_seen(1, 2)
        assert len(server.streams) == attempts + 1
        assert rig.split.state == "receiving"
    assert [ended.attempt for ended in rig.ended] == [2, 3]
    return rig


def reset(code: ErrorCodes) -> Script:
    return lambda stream: stream.reset(code)


def page(status: int) -> Script:
    return lambda stream: stream.page(status)


async def test_W01_peer_cancelled(kind: Kind) -> None:
    rig = await survives(kind, reset(ErrorCodes.CANCEL))
    assert rig.ended[0].reason.startswith("CANCELLED: ")
    # What we cancel ourselves is no ended call: nothing is counted, nothing is logged.
    assert not list(rig.feed)


async def test_W01_a_status_that_says_cancelled(kind: Kind) -> None:
    rig = await survives(kind, lambda stream: stream.trailers(1, "server says cancelled"))
    assert rig.ended[0].reason == "CANCELLED: server says cancelled"


async def test_W03_a_page_instead_of_a_stream(kind: Kind) -> None:
    rig = await refused(kind, page(200))
    assert "UNKNOWN" in rig.ended[0].reason
    assert "the stream ended without a gRPC status: a web page, a proxy" in rig.ended[0].reason


async def test_W03_no_trailers(kind: Kind) -> None:
    rig = await survives(kind, lambda stream: stream.end())
    assert "the stream ended without a gRPC status" in rig.ended[0].reason


@pytest.mark.parametrize("code", [ErrorCodes.PROTOCOL_ERROR, ErrorCodes.INTERNAL_ERROR])
async def test_W11_reset_by_a_proxy(kind: Kind, code: ErrorCodes) -> None:
    rig = await survives(kind, reset(code))
    assert rig.ended[0].reason.startswith("INTERNAL: ")
    assert f"RST_STREAM with error code {code.value}" in rig.ended[0].reason
    assert rig.ended[0].reason.endswith("[the server, or a proxy, reset the stream]")


async def test_W11_internal_of_the_application(kind: Kind) -> None:
    """A rule tells it from a reset: it says what the application said and nothing of a stream."""
    rule = Rule(code=None, pattern="^disk full", verdict=Verdict.FATAL, hint="make room")
    rigs: list[Consumer] = []
    end = then(rigs, 2, lambda stream: stream.trailers(13, "disk full"))
    reset_first = then(rigs, 1, reset(ErrorCodes.INTERNAL_ERROR))
    async with scripted(in_turn(reset_first, end), kind, cursor=CURSOR, rules=[rule]) as (_, rig):
        rigs.append(rig)
        await rig.until(lambda: rig.split.state == "fatal")
        assert rig.seen == [1, 2]
        assert rig.split.reason == "INTERNAL: disk full (make room)"
        assert rig.split.endings == {"INTERNAL": 2}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (429, "a proxy's limit on the rate of calls"),
        (502, "a proxy answered: the gRPC server behind it is down or not ready"),
        (503, "a proxy answered: the gRPC server behind it is down or not ready"),
        (504, "a proxy answered: the gRPC server behind it kept it waiting for too long"),
    ],
)
async def test_W12_error_page_of_a_proxy(kind: Kind, status: int, cause: str) -> None:
    rig = await refused(kind, page(status))
    assert all(names_page(ended.reason, status, cause) for ended in rig.ended)


async def test_W18_request_body_limit(kind: Kind) -> None:
    rig = await refused(kind, page(413))
    assert rig.ended[0].reason.startswith("UNKNOWN: ")
    assert names_page(rig.ended[0].reason, 413, "a proxy's limit on the size of a request: ")


async def test_W18_reset_without_error(kind: Kind) -> None:
    rig = await survives(kind, reset(ErrorCodes.NO_ERROR))
    assert "RST_STREAM with error code 0" in rig.ended[0].reason


async def test_W19_cut_message_with_status_ok(kind: Kind) -> None:
    async def cut(stream: Stream) -> None:
        await stream.cut(tick(3))
        await stream.trailers(0)

    rig = await survives(kind, cut)
    assert rig.ended[0].reason == "OK"
    assert not rig.dead_letters


@pytest.mark.parametrize("size", [12_000, 20_000])
async def test_W17_long_error_text(kind: Kind, size: int) -> None:
    """It comes through whole, where gRPC's own limit makes RESOURCE_EXHAUSTED of it."""
    rig = await survives(kind, lambda stream: stream.trailers(14, "x" * size))
    assert rig.ended[0].reason.startswith("UNAVAILABLE: xxx")
    assert len(rig.ended[0].reason) < 1000, "nobody reads so long a line"


async def test_W17_error_text_beyond_every_limit(kind: Kind) -> None:
    """Its true status is lost: it is no quota, and tried again like any other."""
    end = Fail(grpc.StatusCode.UNAVAILABLE, "x" * 150_000)
    with ScriptedServer() as server:
        history = Replay([tick(1), tick(2)], after_seq)
        server.script(TICKS, [Send(tick(1)), end], [history, Stall()])
        async with consuming(server.target, kind, cursor=CURSOR) as rig:
            await rig.has_seen(1, 2)
            (ended,) = rig.ended
            assert ended.reason.startswith("RESOURCE_EXHAUSTED: ")
            assert "its real status is hidden" in ended.reason
            assert ended.seconds <= QUICK.initial_seconds, "the longer delays are for quotas"


async def lossless(kind: Kind, end: Script, *, busy_seconds: float) -> Consumer:
    """Send 200 ticks and end at once; a second call sends what is missing."""

    async def all_at_once(stream: Stream) -> None:
        first = await asked_after(stream) + 1
        await stream.headers()
        messages = (tick(number) for number in range(first, 201))
        await stream.data(b"".join(len(raw).to_bytes(5, "big") + raw for raw in messages))
        await end(stream)

    async def missing(stream: Stream) -> None:
        await send_ticks(stream, 200)

    async with scripted(in_turn(all_at_once, missing), kind, cursor=CURSOR) as (_, rig):
        rig.busy_seconds = busy_seconds
        await rig.has_seen(*range(1, 201))
        assert rig.split.repeated == 0
        assert rig.split.possible_gaps == 0
        await rig.until(lambda: rig.split.calls == 2)
    return rig


TICKS_200 = [tick(number) for number in range(1, 201)]

ENDS = {
    "status": lambda stream: stream.trailers(14, "bye"),
    "reset": lambda stream: stream.reset(ErrorCodes.CANCEL),
    "goaway": lambda stream: stream.go_away(),
}


async def fin(stream: Stream) -> None:
    stream.fin()


async def tcp_reset(stream: Stream) -> None:
    stream.abort()


ALL_ENDS = {**ENDS, "fin": fin, "tcp reset": tcp_reset}


@pytest.mark.parametrize("busy_seconds", [0.0, 0.002], ids=["quick", "slow"])
@pytest.mark.parametrize("end", ALL_ENDS)
async def test_W16_nothing_is_lost_with_a_cursor(kind: Kind, end: str, busy_seconds: float) -> None:
    await lossless(kind, ALL_ENDS[end], busy_seconds=busy_seconds)


async def test_W16_a_status_loses_nothing_without_a_cursor(kind: Kind) -> None:
    async def script(stream: Stream) -> None:
        await send_ticks(stream, 200)
        await stream.trailers(14, "bye")

    async def silent(stream: Stream) -> None:
        await stream.headers()

    async with scripted(in_turn(script, silent), kind) as (_, rig):
        rig.busy_seconds = 0.002
        await rig.has_seen(*range(1, 201))
        await rig.until(lambda: rig.split.state == "open")
        # Nothing was lost; but that the server sent nothing meanwhile, nobody can know.
        assert rig.split.possible_gaps == 1


async def test_W16_a_reset_is_a_possible_gap_without_a_cursor(kind: Kind) -> None:
    """Of 200 sent, some were lost with the reset, and no one can tell how many."""
    rigs: list[Consumer] = []

    async def script(stream: Stream) -> None:
        await stream.headers()
        await rigs[0].until(lambda: rigs[0].split.state == "open")
        await stream.data(b"".join(b"\0" + len(raw).to_bytes(4, "big") + raw for raw in TICKS_200))
        await stream.reset(ErrorCodes.CANCEL)

    async def silent(stream: Stream) -> None:
        await stream.headers()

    async with scripted(in_turn(script, silent), kind) as (_, rig):
        rigs.append(rig)
        await rig.until(lambda: rig.split.state == "open" and rig.split.calls == 2)
        # Also when none of them arrived: the server had begun to send.
        assert rig.split.possible_gaps == 1
        await rig.until(lambda: not rig.split.unacked)
        assert rig.seen == list(range(1, len(rig.seen) + 1))


async def test_W16_a_server_that_was_never_there_is_no_gap(kind: Kind) -> None:
    async with scripted(in_turn(page(503), page(503), stay), kind) as (_, rig):
        await rig.has_seen(1, 2)
        assert rig.split.possible_gaps == 0


async def test_W16_what_was_read_survives_the_reset(kind: Kind) -> None:
    """The reader drains the stream while the agent stands still."""
    rigs: list[Consumer] = []

    async def script(stream: Stream) -> None:
        await send_ticks(stream, 200)
        split = rigs[0].running
        await rigs[0].until(lambda: split.unacked + split.buffered == 200)
        reader = split._calls.reader
        assert reader is not None
        await stream.reset(ErrorCodes.CANCEL)
        await rigs[0].until(lambda: reader.status)
        rigs[0].gate.set()

    # Few are with the agent; the others wait in the reader's own buffer.
    buffer = Buffer(unacked=16)
    async with scripted(in_turn(script, stay), kind, buffer=buffer) as (server, rig):
        rig.gate.clear()
        rigs.append(rig)
        await rig.until(lambda: len(rig.seen) == 202)
        assert len(server.streams) == 2
        assert rig.seen == [*range(1, 201), 1, 2]


async def test_W16_a_small_window_bounds_what_a_reset_takes(kind: Kind) -> None:
    """What no reader can save is what HTTP/2 holds: here 16 KiB, of which core announces two."""
    window, size = 16 * 1024, 1000
    buffer = Buffer(messages=16, size_bytes=64 * window, unacked=16)
    rigs: list[Consumer] = []
    ahead: list[int] = []

    async def script(stream: Stream) -> None:
        await stream.headers()
        sending = asyncio.ensure_future(endless(stream))
        # The reader may have stopped when its buffer was full, and goes on when half is free.
        await rigs[0].until(lambda: stream.blocked and held(rigs[0]) > 16 + 16 // 2)
        ahead.append(held(rigs[0]))
        sending.cancel()
        await stream.reset(ErrorCodes.CANCEL)
        rigs[0].gate.set()

    async def endless(stream: Stream) -> None:
        for number in count(1):
            await stream.message(tick(number, sym="x" * size))

    async def silent(stream: Stream) -> None:
        await stream.headers()

    def held(rig: Consumer) -> int:
        return rig.split.unacked + rig.split.buffered

    async with scripted(in_turn(script, silent), kind, buffer=buffer) as (server, rig):
        rigs.append(rig)
        rig.gate.clear()
        await rig.until(lambda: rig.split.state == "open" and rig.split.calls == 2)
        await rig.until(lambda: not held(rig))
        assert rig.split.possible_gaps == 1
        assert rig.seen == list(range(1, len(rig.seen) + 1))
        assert len(rig.seen) >= ahead[0], "what was read ahead is not lost"
        lost = server.streams[0].sent - len(rig.seen)
        assert lost <= 2 * window / size + 2


async def test_endings_are_counted_by_code(kind: Kind) -> None:
    ends = [reset(ErrorCodes.CANCEL), page(503), lambda stream: stream.refuse(10, "conflict")]
    async with scripted(in_turn(*ends, stay), kind, cursor=CURSOR) as (_, rig):
        await rig.has_seen(1, 2)
        assert sum(rig.split.endings.values()) == 3
        assert rig.split.endings["CANCELLED"] == rig.split.endings["ABORTED"] == 1
