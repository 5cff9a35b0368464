"""The acceptance cases about many streams at once, and about servers that are added."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from math import ceil
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from consuming import CURSOR, Ask, Consumer, Kind, consuming, tick
from h2_server import H2Server, Stream

from faust_grpc import Timeouts, endpoints


def splits(count: int) -> dict[str, Any]:
    """Return so many splits; each asks for its own name."""
    return {f"s{number}": {"sym": f"s{number}"} for number in range(count)}


def whose(message: Any) -> tuple[str, int]:
    """Return which split a message is for, and its number."""
    return message.sym, message.seq


async def one_each(stream: Stream) -> None:
    """Send one message that tells whose it is, and stay."""
    (raw,) = await stream.messages(1)
    await stream.headers()
    await stream.message(tick(1, sym=Ask.FromString(raw).sym))
    await stream.wait()


@pytest.mark.parametrize("limit", [100, 30, 7])
async def test_W22_as_many_connections_as_the_streams_need(kind: Kind, limit: int) -> None:
    """… when all are opened at once; the server would let no further call in."""
    async with H2Server(one_each, max_streams=limit) as server:
        options = {"splits": splits(100), "streams_per_connection": limit}
        async with consuming(server.target, kind, sequence=whose, **options) as rig:
            await rig.until(lambda: len(rig.seen) == 100)
            assert {sym for sym, _ in rig.seen} == set(splits(100))
            assert len(server.peers) == ceil(100 / limit)
            assert not rig.warnings
            assert all(split.calls == 1 for split in rig.source.status().splits)
            (connection,) = rig.feed.connections
            assert connection.channels == len(server.peers)


async def test_W22_places_are_given_back(kind: Kind) -> None:
    """Calls that end and begin again need no further connections."""

    async def once(stream: Stream) -> None:
        (raw,) = await stream.messages(1)
        await stream.headers()
        await stream.message(tick(1, sym=Ask.FromString(raw).sym))
        await stream.trailers()

    async with H2Server(once, max_streams=5) as server:
        options = {"splits": splits(10), "streams_per_connection": 5}
        async with consuming(server.target, kind, sequence=whose, **options) as rig:
            await rig.until(lambda: len(rig.seen) >= 50)
            assert len(server.peers) == 2


# A thousand.


@asynccontextmanager
async def aio_server() -> AsyncIterator[str]:
    """Run a server on gRPC's asyncio stack; yield its target."""
    here = Path(__file__).parent
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        here / "aio_server.py",
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": f"{here}:{here.parent}"},
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 60))
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def stats(target: str) -> dict[str, int]:
    """Ask the server what it has."""
    async with grpc.aio.insecure_channel(target) as channel:
        call: Any = channel.unary_unary("/stats")
        told: dict[str, int] = json.loads(await call(b""))
        return told


async def test_W22_a_thousand_splits_and_a_stop_that_ends_them_all_in_time() -> None:
    async with aio_server() as target:
        rig = Consumer(target, "aio", sequence=whose, splits=splits(1000))
        await rig.start()
        try:
            await rig.until(lambda: len(rig.seen) == 1000, 60)
            assert {sym for sym, _ in rig.seen} == set(splits(1000))
            assert await stats(target) == {"open": 1000, "calls": 1000, "connections": 10}
            assert not rig.warnings
        finally:
            began = time.monotonic()
            await rig.close()
            took = time.monotonic() - began
        assert took < 5
        while (await stats(target))["open"]:
            await asyncio.sleep(0.02)
            assert time.monotonic() - began < 10


# T14: servers that are added are found.

HISTORY = 60


class Replica:
    """One of two servers with the same history; remembers whom it serves."""

    def __init__(self) -> None:
        self.served: set[str] = set()

    async def __call__(self, stream: Stream) -> None:
        (raw,) = await stream.messages(1)
        ask = Ask.FromString(raw)
        self.served.add(ask.sym)
        await stream.headers()
        for number in range(ask.after_seq + 1, HISTORY + 1):
            await stream.message(tick(number, sym=ask.sym))
            await asyncio.sleep(0.05)
        await stream.wait()


@pytest.mark.parametrize("written", ["addresses", "list"])
async def test_T14_a_server_that_is_added_gets_its_part(
    kind: Kind, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "SET_ASIDE_SECONDS", 1.0)  # a test should not last so long
    first, second = Replica(), Replica()
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(H2Server(first))
        with socket.socket() as held:  # nobody listens there yet
            held.bind(("127.0.0.1", 0))
            port = held.getsockname()[1]
        b = f"127.0.0.1:{port}"
        target: Any = f"ipv4:{a.target},{b}" if written == "addresses" else [a.target, b]
        options: dict[str, Any] = {
            "splits": splits(8),
            "balance": "round_robin",
            "cursor": CURSOR,
            "timeouts": Timeouts(max_call_age_seconds=0.6),
        }
        rig = await stack.enter_async_context(consuming(target, kind, sequence=whose, **options))
        await rig.until(lambda: len({sym for sym, _ in rig.seen}) == 8)
        assert len(first.served) == 8
        await stack.enter_async_context(H2Server(second, port=port))
        await rig.until(lambda: second.served)
        await rig.until(lambda: len(rig.seen) >= 8 * HISTORY, 60)
        seen = defaultdict(list)
        for sym, number in rig.seen:
            seen[sym].append(number)
        assert seen == {name: list(range(1, HISTORY + 1)) for name in splits(8)}
