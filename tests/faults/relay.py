"""A TCP relay between a client and a server, that fails on demand.

::

    async with Relay(server.port) as relay:
        Connection(relay.target)
        relay.freeze()      # a cable is pulled: nothing passes, nobody is told
        relay.thaw()
        relay.reset()       # a middlebox drops its state: RST to both sides
        relay.lose_server() # a proxy keeps its client although the backend is gone
        relay.mode = Mode.DROP

It also plays a proxy that resets streams for being idle, whatever pings say: ``idle_seconds``.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from enum import Enum
from types import TracebackType
from typing import NamedTuple

__all__ = ["Frames", "Mode", "Relay"]

_CHUNK = 16 * 1024
#: What a client says before its first frame: 24 bytes (RFC 9113, section 3.4).
_PREFACE_BYTES = 24
_DATA, _HEADERS, _RST_STREAM = 0, 1, 3
_END_STREAM = 1
_CANCEL = 8


class Mode(Enum):
    """What happens to new connections."""

    PASS = "pass"
    #: Accepted and closed at once, as by a balancer without a backend.
    DROP = "drop"
    #: Accepted; nothing is ever answered.
    MUTE = "mute"


class Frame(NamedTuple):
    """One HTTP/2 frame (RFC 9113, section 4.1)."""

    kind: int
    flags: int
    stream: int
    raw: bytes


class Frames:
    """Cuts a byte stream into HTTP/2 frames.

    Arguments:
        preface: bytes before the first frame.
    """

    def __init__(self, preface: int = 0) -> None:
        self._rest = b""
        self._preface = preface

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete now; the preface passes as one."""
        self._rest += data
        if self._preface:
            if len(self._rest) < self._preface:
                return
            yield Frame(-1, 0, 0, self._rest[: self._preface])
            self._rest, self._preface = self._rest[self._preface :], 0
        while len(self._rest) >= 9:
            size = int.from_bytes(self._rest[:3], "big") + 9
            if len(self._rest) < size:
                return
            raw, self._rest = self._rest[:size], self._rest[size:]
            stream = int.from_bytes(raw[5:9], "big") & 0x7FFFFFFF
            yield Frame(raw[3], raw[4], stream, raw)


def reset_frame(stream: int) -> bytes:
    """Return RST_STREAM with CANCEL."""
    return struct.pack(">I", 4)[1:] + bytes([_RST_STREAM, 0]) + struct.pack(">II", stream, _CANCEL)


class Link:
    """One relayed connection."""

    def __init__(self, relay: Relay, client: asyncio.StreamWriter, server: asyncio.StreamWriter):
        self.relay = relay
        self.client = client
        self.server = server
        #: Streams that the server may still write to, with the timer that ends each.
        self.idle: dict[int, asyncio.TimerHandle] = {}
        self.expired: set[int] = set()

    def reset(self) -> None:
        """Send RST to both sides."""
        for writer in (self.client, self.server):
            _abort(writer)

    def watch(self, frame: Frame) -> bool:
        """Look at a frame from the server; return whether it may pass."""
        if frame.stream in self.expired:
            return frame.kind == _HEADERS  # the other side's header table needs to see them
        if frame.kind in (_HEADERS, _DATA):
            self.restart(frame.stream)
        if frame.kind == _RST_STREAM or (
            frame.kind in (_HEADERS, _DATA) and frame.flags & _END_STREAM
        ):
            self.forget(frame.stream)
        return True

    def restart(self, stream: int) -> None:
        """Count a stream's idle time from now."""
        self.forget(stream)
        seconds = self.relay.idle_seconds
        assert seconds is not None
        loop = asyncio.get_running_loop()
        self.idle[stream] = loop.call_later(seconds, self.expire, stream)

    def expire(self, stream: int) -> None:
        """End an idle stream towards both sides."""
        self.forget(stream)
        self.expired.add(stream)
        self.relay.expired += 1
        for writer in (self.client, self.server):
            writer.write(reset_frame(stream))

    def forget(self, stream: int) -> None:
        """Stop counting."""
        timer = self.idle.pop(stream, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Stop counting for all, and close both sides."""
        for stream in list(self.idle):
            self.forget(stream)
        for writer in (self.client, self.server):
            writer.close()


class Relay:
    """Listens on a free port of 127.0.0.1 and passes bytes to and from a server.

    Attributes:
        mode: what happens to new connections.
        idle_seconds: reset a stream this long after its last DATA from the server.
        bytes_per_second: pass no more than this to a client.
        cut_after: send RST once this many more bytes went to clients.
        accepted: connections accepted so far.
        expired: streams that were reset for being idle.

    Arguments:
        port: the server's, on 127.0.0.1; may be changed for new connections.
        idle_seconds: see above; the connection must be HTTP/2 without TLS.
    """

    def __init__(self, port: int, *, idle_seconds: float | None = None) -> None:
        self.server_port = port
        self.mode = Mode.PASS
        self.idle_seconds = idle_seconds
        self.bytes_per_second: float | None = None
        self.cut_after: int | None = None
        self.accepted = 0
        self.expired = 0
        self._flows = asyncio.Event()
        self._flows.set()
        self._serves = asyncio.Event()
        self._serves.set()
        self._links: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.target = f"127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._server.wait_closed()

    @property
    def open(self) -> int:
        """Connections that are relayed now."""
        return len(self._links)

    def freeze(self) -> None:
        """Pass nothing in either direction, and keep every connection open."""
        self._flows.clear()

    def thaw(self) -> None:
        """Pass again, beginning with what came meanwhile."""
        self._flows.set()

    def reset(self) -> None:
        """Send RST to both sides of every connection."""
        for link in self._links:
            link.reset()

    def lose_server(self) -> None:
        """Close towards the server; clients are not told, now or when they write."""
        self._serves.clear()
        for link in self._links:
            _abort(link.server)

    def find_server(self) -> None:
        """Reach the server again, for new connections."""
        self._serves.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.ensure_future(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.wait([task])

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode is Mode.MUTE:
            await self._swallow(reader, writer)
            return
        try:
            assert self.mode is Mode.PASS
            up_reader, up = await asyncio.open_connection("127.0.0.1", self.server_port)
        except (AssertionError, OSError):
            _abort(writer)
            return
        link = Link(self, writer, up)
        self._links.append(link)
        try:
            await asyncio.gather(self._up(reader, up), self._down(up_reader, link))
        finally:
            self._links.remove(link)
            link.close()
            for each in (writer, up):
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    async def _swallow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):
                while await reader.read(_CHUNK):
                    continue
        finally:
            writer.close()

    async def _up(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        frames = Frames(_PREFACE_BYTES)
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                if self.idle_seconds is not None:  # so that ours goes between two of them
                    data = b"".join(frame.raw for frame in frames.feed(data))
                if self._serves.is_set():
                    server.write(data)
                    await server.drain()
        server.close()

    async def _down(self, reader: asyncio.StreamReader, link: Link) -> None:
        frames = Frames()
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._flows.wait()
                if self.idle_seconds is not None:
                    data = b"".join(frame.raw for frame in frames.feed(data) if link.watch(frame))
                if not await self._pass_down(data, link):
                    return
        await self._serves.wait()
        link.client.close()

    async def _pass_down(self, data: bytes, link: Link) -> bool:
        """Write to the client; return whether the connection goes on."""
        if self.cut_after is not None:
            data = data[: self.cut_after]
            self.cut_after -= len(data)
        if self.bytes_per_second is not None:
            await asyncio.sleep(len(data) / self.bytes_per_second)
        link.client.write(data)
        await link.client.drain()
        if self.cut_after == 0:
            self.cut_after = None
            link.reset()
            return False
        return True


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST, as a killed process's kernel or a middlebox may."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is closed
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
