"""Every text about calls in docs/troubleshooting.md is really said, by the fault that it is about.

A text is what stands in the first column, word for word; ``…`` stands for anything.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from consuming import CURSOR, Consumer, Kind, consuming, scripted, tick
from h2_server import ErrorCodes, Script, Stream
from relay import Mode
from support.messages import case_bytes
from test_cases_wire_proxies import one_more, relayed

from faust_grpc import Backoff, Keepalive, Timeouts
from faust_grpc.testing import Fail, ScriptedServer, Send, Stall, free_port

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
SECTION = "## Calls and streams"

#: Makes one fault and waits until it was told; given the pattern of what is to be said.
Fault = Callable[[Kind, "re.Pattern[str]"], Awaitable[None]]

MUTE = Timeouts(first_message_seconds=0.2)


def quotes() -> list[str]:
    """Return the texts of the section, row by row."""
    section = PAGE.read_text().split(SECTION)[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]


def pattern_of(quote: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, quote.split("…"))), re.DOTALL)


async def told(rig: Consumer, pattern: re.Pattern[str]) -> None:
    await rig.until(lambda: any(map(pattern.search, rig.lines)))


def fault(script: Script, **options: Any) -> Fault:
    """A server that plays this script on every call."""

    async def run(kind: Kind, pattern: re.Pattern[str]) -> None:
        async with scripted(script, kind, **{"cursor": CURSOR, **options}) as (_, rig):
            await told(rig, pattern)

    return run


def after_one(end: Callable[[Stream], Awaitable[None]]) -> Script:
    """A script that sends a tick first."""

    async def script(stream: Stream) -> None:
        await one_more(stream)
        await end(stream)

    return script


def refusing(code: int, text: str) -> Script:
    return lambda stream: stream.refuse(code, text)


def page(status: int) -> Script:
    """Headers and body apart, so that core reports the headers."""

    async def script(stream: Stream) -> None:
        headers = [(":status", str(status)), ("content-type", "text/html")]
        stream.peer.h2.send_headers(stream.number, headers)
        await stream.peer.flush()
        await stream.wait()

    return script


async def silent(stream: Stream) -> None:
    await stream.headers()


async def mute(stream: Stream) -> None:
    await stream.wait()


async def old_age(stream: Stream) -> None:
    """End when the call is 1.1 s old, with another silence before it each time."""
    number = len(stream.peer.server.streams)
    await stream.headers()
    begun = asyncio.get_running_loop().time()
    await asyncio.sleep(0.4 * (number % 2))
    await stream.message(tick(number))
    await asyncio.sleep(begun + 1.1 - asyncio.get_running_loop().time())
    await stream.trailers(14, "max age")


async def bad(stream: Stream) -> None:
    await stream.headers()
    await stream.message(case_bytes("bad_garbage"))


async def forbidden_pings(kind: Kind, pattern: re.Pattern[str]) -> None:
    keepalive = Keepalive(interval_seconds=0.1, timeout_seconds=5)
    with ScriptedServer() as server:
        server.script("cases.feed.v1.Feed/Ticks", [Send(tick(1)), Stall()])
        async with consuming(server.target, kind, cursor=CURSOR, keepalive=keepalive) as rig:
            await told(rig, pattern)


async def long_text(kind: Kind, pattern: re.Pattern[str]) -> None:
    with ScriptedServer() as server:
        end = Fail(grpc.StatusCode.UNAVAILABLE, "x" * 150_000)
        server.script("cases.feed.v1.Feed/Ticks", [Send(tick(1)), end])
        async with consuming(server.target, kind, cursor=CURSOR) as rig:
            await told(rig, pattern)


async def pulled_cable(kind: Kind, pattern: re.Pattern[str]) -> None:
    keepalive = Keepalive(interval_seconds=0.2, timeout_seconds=0.2)
    async with relayed(one_more, kind, keepalive=keepalive) as (_, relay, rig):
        await rig.until(lambda: rig.seen)
        relay.freeze()
        await told(rig, pattern)


async def idle_proxy(kind: Kind, pattern: re.Pattern[str]) -> None:
    async with relayed(one_more, kind, idle_seconds=1.05) as (_, _, rig):
        await told(rig, pattern)


async def hidden_death(kind: Kind, pattern: re.Pattern[str]) -> None:
    async with relayed(one_more, kind, timeouts=Timeouts(idle_seconds=0.2)) as (_, relay, rig):
        await rig.until(lambda: rig.seen)
        relay.lose_server()
        await told(rig, pattern)


async def mute_port(kind: Kind, pattern: re.Pattern[str]) -> None:
    async with relayed(one_more, kind, timeouts=Timeouts(connect_seconds=0.2)) as (_, relay, rig):
        relay.mode = Mode.MUTE
        relay.reset()
        await told(rig, pattern)


async def closed_port(kind: Kind, pattern: re.Pattern[str]) -> None:
    async with consuming(f"127.0.0.1:{free_port()}", kind) as rig:
        await told(rig, pattern)


def gives_up(**limit: Any) -> Fault:
    return fault(refusing(14, "busy"), backoff=Backoff(initial_seconds=0.01, **limit))


SNAPSHOT = {
    "method": "cases.feed.v1.Feed/Frames",
    "cursor": None,
    "end_of_snapshot": "live",
    "timeouts": Timeouts(sync_seconds=0.2),
}

#: What is quoted, and the fault that says it.
FAULTS: dict[str, Fault] = {
    "call ended: OK; attempt 2 in": fault(after_one(lambda stream: stream.trailers())),
    "CANCELLED: … [the server, or a proxy, reset the stream]": fault(
        after_one(lambda stream: stream.reset(ErrorCodes.CANCEL))
    ),
    "INTERNAL: … [the server, or a proxy, reset the stream]": fault(
        after_one(lambda stream: stream.reset(ErrorCodes.INTERNAL_ERROR))
    ),
    "[the server, or a proxy, closes the connection in order: …]": fault(
        after_one(lambda stream: stream.go_away())
    ),
    "calls end after … s without data": idle_proxy,
    "calls end when they are … s old": fault(old_age),
    "[the stream ended without a gRPC status: …]": fault(after_one(lambda stream: stream.end())),
    "[a proxy answered: the gRPC server behind it is down or not ready]": fault(page(503)),
    "[a proxy answered: the gRPC server behind it kept it waiting for too long]": fault(page(504)),
    "[a proxy's limit on the rate of calls]": fault(page(429)),
    "[a proxy's limit on the size of a request: …]": fault(page(413)),
    "[a proxy or web server answered instead of the gRPC server: …]": fault(page(302)),
    "[Envoy cannot reach the gRPC server behind it]": fault(
        refusing(14, "upstream connect error or disconnect/reset before headers")
    ),
    "[the server forbids pings this often: …]": forbidden_pings,
    "[the server did not answer a ping in time: …]": pulled_cable,
    "[the port accepts connections but says nothing: …]": mute_port,
    "[nothing listens on this address and port: …]": closed_port,
    "peer silent: nothing arrived for … s": hidden_death,
    "no message since the call was accepted … s ago: does anything match; the request: …": fault(
        silent, timeouts=Timeouts(first_message_seconds=2)
    ),
    "no headers and no message for … s: …": fault(mute, timeouts=MUTE),
    "not synced: no event of the snapshot arrived for … s": fault(silent, **SNAPSHOT),
    "RESOURCE_EXHAUSTED: …; attempt 2 in": fault(refusing(8, "too many streams")),
    "its real status is hidden": long_text,
    "lagged … (this reader is too slow for the server: …)": fault(
        after_one(lambda stream: stream.trailers(13, "lagged to send an update"))
    ),
    "gave up after … attempts (Backoff(max_attempts=…))": gives_up(max_attempts=3),
    "gave up after … s and … attempts (Backoff(give_up_after_seconds=…))": gives_up(
        give_up_after_seconds=0.1
    ),
    "stopped: halted on a bad message: …": fault(bad, on_poison="halt"),
}


def test_every_text_has_its_fault() -> None:
    assert sorted(quotes()) == sorted(FAULTS)


@pytest.mark.parametrize("quote", FAULTS)
async def test_it_is_said(kind: Kind, quote: str) -> None:
    await FAULTS[quote](kind, pattern_of(quote))
