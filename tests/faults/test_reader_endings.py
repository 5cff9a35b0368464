"""How a call may end, frame by frame: both readers must tell the same story."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Literal

import grpc
import pytest
from h2_server import ErrorCodes, H2Server, Script, Stream

from faust_grpc.config import Buffer
from faust_grpc.connection import Connection
from faust_grpc.protocol.base import Call
from faust_grpc.readers import Reader, open_reader
from faust_grpc.types import Metadata

Kind = Literal["threaded", "aio"]
PATH = "/test.Feed/Watch"


class Wire:
    """Opens readers on a scripted server, and waits for what they have."""

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self.changed = asyncio.Event()
        self.connections: list[Connection] = []
        self.readers: list[Reader] = []

    def open(self, target: str, *, buffer: Buffer | None = None, metadata: Metadata = ()) -> Reader:
        connection = Connection(target)
        self.connections.append(connection)
        call = Call(PATH, (b"request",))
        reader = open_reader(
            self.kind, connection, call, buffer or Buffer(), metadata, self.changed.set
        )
        self.readers.append(reader)
        return reader

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a wake-up finds the condition true."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def close(self) -> None:
        for reader in self.readers:
            reader.cancel()
            await reader.closed()
        for connection in self.connections:
            await connection.close()


@pytest.fixture(params=["threaded", "aio"])
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    wire = Wire(request.param)
    yield wire
    await wire.close()


async def ending(wire: Wire, script: Script) -> Reader:
    async with H2Server(script) as server:
        reader = wire.open(server.target)
        await wire.until(lambda: reader.status)
        await reader.closed()
    return reader


async def test_ok(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        for number in range(100):
            await stream.message(b"%d" % number)
        await stream.trailers()

    reader = await ending(wire, script)
    assert reader.take(1000) == [b"%d" % number for number in range(100)]
    assert reader.status is not None
    assert reader.status.code is grpc.StatusCode.OK
    assert not reader.status.ours


async def test_empty_messages_are_messages(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        for raw in (b"", b"x", b""):
            await stream.message(raw)
        await stream.trailers()

    reader = await ending(wire, script)
    assert reader.take(10) == [b"", b"x", b""]


async def test_refused_call_was_never_open(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.refuse(16, "token expired")

    reader = await ending(wire, script)
    assert str(reader.status) == "UNAUTHENTICATED: token expired"
    assert not reader.is_open


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ErrorCodes.NO_ERROR, grpc.StatusCode.INTERNAL),
        (ErrorCodes.INTERNAL_ERROR, grpc.StatusCode.INTERNAL),
        (ErrorCodes.REFUSED_STREAM, grpc.StatusCode.UNAVAILABLE),
        (ErrorCodes.CANCEL, grpc.StatusCode.CANCELLED),
        (ErrorCodes.ENHANCE_YOUR_CALM, grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_reset(wire: Wire, error: ErrorCodes, code: grpc.StatusCode) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        await stream.message(b"one")
        await wire.until(lambda: wire.readers[0].buffered)
        await stream.reset(error)

    reader = await ending(wire, script)
    assert reader.status is not None
    assert reader.status.code is code
    assert not reader.status.ours
    assert reader.is_open
    assert reader.take(10) == [b"one"]


async def test_go_away(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        await stream.go_away(ErrorCodes.NO_ERROR, b"max_age")

    reader = await ending(wire, script)
    assert reader.status is not None
    assert reader.status.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("how", ["fin", "abort"])
async def test_connection_lost(wire: Wire, how: str) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        await stream.message(b"one")
        await wire.until(lambda: wire.readers[0].buffered)
        getattr(stream, how)()

    reader = await ending(wire, script)
    assert reader.status is not None
    assert reader.status.code is grpc.StatusCode.UNAVAILABLE
    assert reader.take(10) == [b"one"]


async def test_missing_trailers(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        await stream.message(b"one")
        await stream.end()

    reader = await ending(wire, script)
    assert reader.status is not None
    assert reader.status.code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


async def test_cut_message(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()
        await stream.message(b"whole")
        await wire.until(lambda: wire.readers[0].buffered)
        await stream.cut(b"half")
        await stream.end()

    reader = await ending(wire, script)
    assert reader.status is not None
    assert reader.status.code is not grpc.StatusCode.OK
    assert reader.take(10) == [b"whole"]


async def test_what_came_before_a_reset_is_kept(wire: Wire) -> None:
    """A busy consumer loses nothing that the reader had drained."""

    async def script(stream: Stream) -> None:
        await stream.headers()
        for number in range(200):
            await stream.message(b"%d" % number)
        await wire.until(lambda: wire.readers[0].buffered == 200)
        await stream.reset(ErrorCodes.INTERNAL_ERROR)

    reader = await ending(wire, script)  # takes nothing until the call is over
    assert reader.take(1000) == [b"%d" % number for number in range(200)]


async def test_headers_open_a_silent_call(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers()

    async with H2Server(script) as server:
        reader = wire.open(server.target)
        assert not reader.is_open
        await wire.until(lambda: reader.is_open)
        assert reader.status is None


@pytest.mark.parametrize("answers", ["nothing", "headers", "messages"])
async def test_cancel_ends_promptly(wire: Wire, answers: str) -> None:
    async def script(stream: Stream) -> None:
        if answers != "nothing":
            await stream.headers()
        if answers == "messages":
            while True:
                await stream.message(b"x" * 1000)

    async with H2Server(script) as server:
        reader = wire.open(server.target, buffer=Buffer(messages=10))
        await wire.until(lambda: answers == "nothing" or reader.is_open)
        if answers == "messages":  # the reader stands at the bound
            await wire.until(lambda: reader.buffered == 10)
        reader.cancel()
        await asyncio.wait_for(reader.closed(), 5)
        assert reader.status is not None
        assert reader.status.code is grpc.StatusCode.CANCELLED
        assert reader.status.ours


async def test_cancel_before_the_connection_stands(wire: Wire) -> None:
    accepted = asyncio.Event()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await release.wait()
        writer.close()

    release = asyncio.Event()
    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        reader = wire.open(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await accepted.wait()
        reader.cancel()
        await asyncio.wait_for(reader.closed(), 5)
        assert reader.status is not None
        assert reader.status.ours
        release.set()


@pytest.mark.parametrize(
    ("buffer", "bound"),
    [
        (Buffer(messages=50), 50),
        (Buffer(messages=100_000, size_bytes=100_000), 100),
    ],
    ids=["messages", "bytes"],
)
async def test_stalled_consumer_holds_the_server(wire: Wire, buffer: Buffer, bound: int) -> None:
    total = 2000

    async def script(stream: Stream) -> None:
        await stream.headers()
        for number in range(total):
            await stream.message(b"%01000d" % number)
        await stream.trailers()

    async with H2Server(script) as server:
        reader = wire.open(server.target, buffer=buffer)
        await wire.until(lambda: reader.buffered == bound)
        stream = server.streams[0]
        while not stream.blocked:
            await stream.wait()
        lookahead = dict(wire.connections[0].options[0])["grpc.http2.lookahead_bytes"]
        assert isinstance(lookahead, int)
        assert reader.buffered == bound
        # Core announces up to twice what it is told to look ahead.
        assert stream.sent <= bound + 2 + 2 * lookahead // 1000

        found: list[bytes] = []
        while not (reader.status and not reader.buffered):
            await wire.until(lambda: reader.buffered or reader.status)
            assert reader.buffered <= bound
            found += reader.take(7)
        assert found == [b"%01000d" % number for number in range(total)]
        assert reader.status.code is grpc.StatusCode.OK


@pytest.mark.parametrize("wire", ["threaded"], indirect=True)
async def test_a_burst_wakes_rarely(wire: Wire) -> None:
    """While messages pour in, a reader in a thread wakes the loop for batches of them."""
    total = 2000

    async def script(stream: Stream) -> None:
        await stream.headers()
        await stream.data(b"\0\0\0\0\x04tick" * total)
        await stream.trailers()

    taken: list[int] = []
    async with H2Server(script) as server:
        reader = wire.open(server.target)
        while reader.status is None:
            await wire.until(lambda: reader.buffered or reader.status)
            taken.append(len(reader.take(total)))
    assert sum(taken) == total
    assert len(taken) < total / 4


async def test_metadata_and_authority(wire: Wire) -> None:
    async def script(stream: Stream) -> None:
        await stream.refuse(5)

    async with H2Server(script) as server:
        reader = wire.open(server.target, metadata=(("one", "1"), ("raw-bin", b"\0\xff")))
        await wire.until(lambda: reader.status)
        headers = server.streams[0].request_headers
    assert headers["one"] == "1"
    assert headers["raw-bin"] == "AP8"
    assert headers[":path"] == PATH
    assert headers[":authority"] == server.target
