"""Both readers on a real gRPC server: one story, whichever stack reads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import grpc
import psutil
import pytest

from faust_grpc.config import Buffer
from faust_grpc.connection import Connection
from faust_grpc.exceptions import ConfigurationError
from faust_grpc.protocol.base import Call
from faust_grpc.readers import AioReader, Reader, ThreadedReader, choose, open_reader
from faust_grpc.types import Metadata

Kind = Literal["threaded", "aio"]


class Feed(grpc.GenericRpcHandler):
    """A few methods on raw bytes."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        name = details.method.rpartition("/")[2]
        behaviour = getattr(self, name, None)
        if behaviour is None:
            return None
        if name.startswith("both"):
            return grpc.stream_stream_rpc_method_handler(behaviour)
        return grpc.unary_stream_rpc_method_handler(behaviour)

    def count(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Send as many numbers as asked for."""
        for number in range(int(request)):
            yield b"%d" % number

    def fail(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Send one message, then fail."""
        yield request
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "compacted up to 17")

    def silent(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Send headers, or nothing at all, until the client goes away."""
        gone = threading.Event()
        if not context.add_callback(gone.set):  # gone before this thread had its turn
            gone.set()
        if request:
            context.send_initial_metadata(())
        gone.wait()
        self.cancelled.set()
        yield from ()

    def metadata(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Send the metadata back."""
        for name, value in context.invocation_metadata():
            yield f"{name}={value!r}".encode()

    def both(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Send every request back."""
        yield from requests

    def both_refused(
        self, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Refuse at once."""
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "not yours")


class Peer:
    """A running server and one connection to it."""

    def __init__(self) -> None:
        self.feed = Feed()
        self.server = grpc.server(ThreadPoolExecutor(8))
        self.server.add_generic_rpc_handlers((self.feed,))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.connection = Connection(f"127.0.0.1:{self.port}")
        self.changed = asyncio.Event()
        self.readers: list[Reader] = []

    def open(
        self,
        kind: Kind,
        method: str,
        *requests: bytes,
        buffer: Buffer | None = None,
        metadata: Metadata = (),
        call_metadata: Metadata = (),
    ) -> Reader:
        call = Call(f"/test.Feed/{method}", requests, method.startswith("both"), call_metadata)
        reader = open_reader(
            kind, self.connection, call, buffer or Buffer(), metadata, self.changed.set
        )
        self.readers.append(reader)
        return reader

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until a wake-up finds the condition true."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def read(self, reader: Reader, limit: int = 256) -> list[bytes]:
        """Take everything until the end."""
        found: list[bytes] = []
        while reader.status is None or reader.buffered:
            await self.until(lambda: reader.buffered or reader.status)
            found += reader.take(limit)
        return found

    async def close(self) -> None:
        for reader in self.readers:
            reader.cancel()
            await reader.closed()
        await self.connection.close()
        await asyncio.to_thread(self.server.stop(None).wait)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    yield peer
    await peer.close()


@pytest.fixture(params=["threaded", "aio"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param  # type: ignore[no-any-return] # one of the two above


@pytest.mark.parametrize("limit", [1, 7, 10_000])
async def test_in_order_to_the_end(peer: Peer, kind: Kind, limit: int) -> None:
    reader = peer.open(kind, "count", b"500")
    assert await peer.read(reader, limit) == [b"%d" % number for number in range(500)]
    assert reader.status is not None
    assert reader.status.code is grpc.StatusCode.OK
    assert reader.is_open


async def test_empty_stream(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "count", b"0")
    assert await peer.read(reader) == []
    assert str(reader.status) == "OK"
    assert reader.is_open


async def test_error_keeps_what_came_before(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "fail", b"first")
    assert await peer.read(reader) == [b"first"]
    assert str(reader.status) == "FAILED_PRECONDITION: compacted up to 17"
    assert reader.status is not None
    assert not reader.status.ours


async def test_unknown_method(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "no_such_method", b"")
    assert await peer.read(reader) == []
    assert reader.status is not None
    assert reader.status.code is grpc.StatusCode.UNIMPLEMENTED
    assert not reader.is_open


@pytest.mark.parametrize("request_", [b"", b"with headers"], ids=["no headers", "headers"])
async def test_cancel_reaches_the_server(peer: Peer, kind: Kind, request_: bytes) -> None:
    reader = peer.open(kind, "silent", request_)
    if request_:
        await peer.until(lambda: reader.is_open)
    reader.cancel()
    reader.cancel()
    await asyncio.wait_for(reader.closed(), 5)
    assert reader.status is not None
    assert reader.status.ours
    assert reader.status.code is grpc.StatusCode.CANCELLED
    if request_:  # else the call may never have been sent
        assert await asyncio.to_thread(peer.feed.cancelled.wait, 5)


async def test_cancel_keeps_the_buffer(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "count", b"100000", buffer=Buffer(messages=10))
    await peer.until(lambda: reader.buffered == 10)
    reader.cancel()
    await asyncio.wait_for(reader.closed(), 5)
    assert reader.take(100)[:10] == [b"%d" % number for number in range(10)]
    assert reader.status is not None
    assert reader.status.ours


async def test_cancel_after_the_end_changes_nothing(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "count", b"3")
    await peer.until(lambda: reader.status)
    reader.cancel()
    await reader.closed()
    assert reader.status is not None
    assert not reader.status.ours
    assert reader.status.code is grpc.StatusCode.OK


async def test_closed_before_open(peer: Peer) -> None:
    for family in (ThreadedReader, AioReader):
        reader = family(peer.connection, Call("/a/b", (b"",)), Buffer(), (), peer.changed.set)
        reader.cancel()
        await reader.closed()


async def test_server_stops(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "silent", b"with headers")
    await peer.until(lambda: reader.is_open)
    peer.server.stop(0)
    await peer.until(lambda: reader.status)
    assert reader.status is not None
    assert reader.status.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert not reader.status.ours


async def test_connection_closed_under_a_call(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "silent", b"with headers")
    await peer.until(lambda: reader.is_open)
    await peer.connection.close()
    await asyncio.wait_for(reader.closed(), 5)
    assert reader.status is not None
    assert reader.status.code is grpc.StatusCode.CANCELLED


async def test_metadata_of_source_and_call(peer: Peer, kind: Kind) -> None:
    reader = peer.open(
        kind, "metadata", b"", metadata=(("one", "1"),), call_metadata=(("two-bin", b"\x02"),)
    )
    found = await peer.read(reader)
    assert b"one='1'" in found
    assert b"two-bin=b'\\x02'" in found


async def test_bidirectional(peer: Peer) -> None:
    reader = peer.open("aio", "both", b"hello", b"again")
    await peer.until(lambda: reader.buffered == 2)
    assert reader.take(10) == [b"hello", b"again"]
    for number in range(100):
        reader.send(b"%d" % number)
    await peer.until(lambda: reader.buffered == 100)
    assert reader.take(100) == [b"%d" % number for number in range(100)]
    assert reader.status is None


async def test_bidirectional_refused_at_once(peer: Peer) -> None:
    """gRPC may lose the status when a write meets the refusal; it never becomes another one."""
    lost = 0
    for _ in range(30):
        reader = peer.open("aio", "both_refused", b"hello")
        await peer.until(lambda reader=reader: reader.status)  # type: ignore[misc] # bound early
        reader.send(b"too late")
        await reader.closed()
        assert reader.status is not None
        assert reader.status.code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNKNOWN)
        lost += reader.status.code is grpc.StatusCode.UNKNOWN
    assert lost < 30


async def test_sending_on_a_closed_request_side(peer: Peer, kind: Kind) -> None:
    reader = peer.open(kind, "silent", b"")
    with pytest.raises(RuntimeError, match="request side of this call is closed"):
        reader.send(b"more")


async def test_nothing_is_left_behind(peer: Peer, kind: Kind) -> None:
    process = psutil.Process(os.getpid())

    async def cycle() -> None:
        reader = peer.open(kind, "count", b"1000", buffer=Buffer(messages=10))
        await peer.until(lambda: reader.buffered)
        reader.cancel()
        await reader.closed()
        peer.readers.clear()

    def threads() -> int:  # but not the server's, which are started as they are needed
        return sum(not thread.name.startswith("ThreadPool") for thread in threading.enumerate())

    for _ in range(20):
        await cycle()
    before, files = threads(), process.num_fds()
    memory_bytes = process.memory_info().rss
    for _ in range(400):
        await cycle()
    assert threads() <= before
    assert process.num_fds() <= files + 2
    # A cancelled call that grpcio still holds costs 20 kB.
    assert process.memory_info().rss - memory_bytes < 400 * 10_000


def test_the_loop_may_be_gone(kind: Kind) -> None:
    """A process that ends with a call open ends quietly: no thread dies with a traceback."""
    peer: Peer | None = None

    async def main() -> None:
        nonlocal peer
        peer = Peer()
        reader = peer.open(kind, "count", b"100000000", buffer=Buffer(messages=100))
        await peer.until(lambda: reader.buffered)

    asyncio.run(main())
    assert peer is not None
    for thread in threading.enumerate():
        if thread.name.startswith("faust-grpc"):
            thread.join(10)
            assert not thread.is_alive()
    peer.server.stop(None).wait()


@pytest.mark.parametrize(
    ("asked", "client_streaming", "streams", "kind"),
    [
        ("auto", False, 1, "threaded"),
        ("auto", False, 16, "threaded"),
        ("auto", False, 17, "aio"),
        ("auto", True, 1, "aio"),
        ("threaded", False, 1000, "threaded"),
        ("aio", False, 1, "aio"),
    ],
)
def test_choice(asked: Any, client_streaming: bool, streams: int, kind: Kind) -> None:
    assert choose(asked, client_streaming=client_streaming, streams=streams) == kind


def test_threads_cannot_read_bidirectional_methods() -> None:
    with pytest.raises(ConfigurationError, match="reader='auto'"):
        choose("threaded", client_streaming=True, streams=1)
