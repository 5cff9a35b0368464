"""A gRPC server below gRPC: plays a script frame by frame, so that it can misbehave exactly.

::

    async def script(stream):
        await stream.headers()
        await stream.message(b"one")
        stream.reset(ErrorCodes.CANCEL)

    async with H2Server(script) as server:
        Connection(server.target)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Awaitable, Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    PingReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

__all__ = ["ErrorCodes", "H2Server", "Script", "Stream"]

Headers = list[tuple[str, str]]


class Stream:
    """One call, as the server's script sees it."""

    def __init__(self, peer: Peer, number: int, headers: dict[str, str]) -> None:
        self.peer = peer
        self.number = number
        #: What the client sent as headers, pseudo headers included.
        self.request_headers = headers
        #: Request bytes as received, with gRPC's 5-byte prefixes.
        self.received = b""
        #: The client sends no further request.
        self.half_closed = False
        self.changed = asyncio.Event()
        #: Messages handed to the connection as a whole.
        self.sent = 0
        #: The client's flow control keeps the script from sending.
        self.blocked = False

    async def headers(self, *more: tuple[str, str]) -> None:
        """Accept the call."""
        self.peer.h2.send_headers(
            self.number, [(":status", "200"), ("content-type", "application/grpc"), *more]
        )
        await self.peer.flush()

    async def message(self, raw: bytes) -> None:
        """Send one whole message, as fast as the client allows."""
        await self.data(struct.pack(">BI", 0, len(raw)) + raw)
        self.sent += 1

    async def cut(self, raw: bytes) -> None:
        """Send a message's prefix and only half of what it announces."""
        await self.data(struct.pack(">BI", 0, 2 * len(raw)) + raw)

    async def data(self, data: bytes, *, end: bool = False) -> None:
        """Send DATA frames within the client's window."""
        h2 = self.peer.h2
        while data:
            room = min(h2.local_flow_control_window(self.number), h2.max_outbound_frame_size)
            if room <= 0:
                self.blocked = True
                await self.wait()
                continue
            self.blocked = False
            part, data = data[:room], data[room:]
            h2.send_data(self.number, part, end_stream=end and not data)
            await self.peer.flush()

    async def trailers(self, code: int = 0, text: str = "") -> None:
        """End the call with a status."""
        trailers = [("grpc-status", str(code))] + ([("grpc-message", text)] if text else [])
        self.peer.h2.send_headers(self.number, trailers, end_stream=True)
        await self.peer.flush()

    async def refuse(self, code: int, text: str = "") -> None:
        """Answer with a status and nothing else ("Trailers-Only")."""
        headers = [(":status", "200"), ("content-type", "application/grpc")]
        headers += [("grpc-status", str(code)), ("grpc-message", text)]
        self.peer.h2.send_headers(self.number, headers, end_stream=True)
        await self.peer.flush()

    async def page(self, status: int, body: bytes = b"<html><body>Welcome</body></html>") -> None:
        """Answer as a web server or a proxy would."""
        self.peer.h2.send_headers(
            self.number, [(":status", str(status)), ("content-type", "text/html")]
        )
        await self.data(body, end=True)

    async def end(self) -> None:
        """End the stream without trailers."""
        self.peer.h2.end_stream(self.number)
        await self.peer.flush()

    async def reset(self, code: ErrorCodes) -> None:
        """Send RST_STREAM."""
        self.peer.h2.reset_stream(self.number, code)
        await self.peer.flush()

    async def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR, text: bytes = b"") -> None:
        """Send GOAWAY that still covers this stream, then close."""
        self.peer.h2.close_connection(code, text or None, self.number)
        await self.peer.flush()
        self.peer.writer.close()

    def fin(self) -> None:
        """Close the TCP connection in order."""
        self.peer.writer.close()

    def abort(self) -> None:
        """Close the TCP connection with RST, as a killed process's kernel may."""
        linger = struct.pack("ii", 1, 0)
        sock = self.peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.peer.writer.transport.abort()

    async def wait(self) -> None:
        """Wait for anything from the client on this stream or its windows."""
        self.changed.clear()
        await self.changed.wait()

    async def messages(self, number: int) -> list[bytes]:
        """Wait for requests and return the first ``number``."""
        while True:
            found, rest = [], self.received
            while len(rest) >= 5:
                size = struct.unpack(">I", rest[1:5])[0]
                if len(rest) < 5 + size:
                    break
                found.append(rest[5 : 5 + size])
                rest = rest[5 + size :]
            if len(found) >= number:
                return found[:number]
            await self.wait()


Script = Callable[[Stream], Awaitable[None]]


class Peer:
    """One TCP connection from a client."""

    def __init__(
        self, server: H2Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams: dict[int, Stream] = {}
        self.scripts: set[asyncio.Task[None]] = set()
        #: When the client's pings came (monotonic seconds).
        self.pings: list[float] = []

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)
            await self.writer.drain()

    async def serve(self) -> None:
        try:
            if self.server.max_streams is not None:
                self.h2.local_settings = Settings(
                    client=False,
                    initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: self.server.max_streams},
                )
            self.h2.initiate_connection()
            await self.flush()
            while data := await self.reader.read(65536):
                for event in self.h2.receive_data(data):
                    self.handle(event)
                await self.flush()
        except (OSError, ProtocolError):
            pass  # the script closed the connection, or the client did
        finally:
            for script in self.scripts:
                script.cancel()
            self.writer.close()
            with contextlib.suppress(OSError):
                await self.writer.wait_closed()

    def handle(self, event: object) -> None:
        if isinstance(event, RequestReceived):
            stream = Stream(self, event.stream_id, dict(event.headers))
            self.streams[event.stream_id] = stream
            self.server.streams.append(stream)
            self.scripts.add(asyncio.ensure_future(self.play(stream)))
        elif isinstance(event, DataReceived):
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.streams[event.stream_id].received += event.data
        elif isinstance(event, StreamEnded):
            self.streams[event.stream_id].half_closed = True
        elif isinstance(event, PingReceived):
            self.pings.append(time.monotonic())
        # New settings may open the windows of streams, without a word about each.
        if isinstance(event, (DataReceived, WindowUpdated, RemoteSettingsChanged)):
            for stream in self.streams.values():
                stream.changed.set()

    async def play(self, stream: Stream) -> None:
        with contextlib.suppress(OSError, ProtocolError):  # the client went away
            await self.server.script(stream)


class H2Server:
    """Listens on a free port and plays one script for each call.

    Arguments:
        script: called with the stream of each call.
        tls: serve TLS.
        at: address to listen on; a path is that of a unix socket.
        port: 0 is a free one.
        max_streams: calls that may be open on one connection, told to clients.
    """

    def __init__(
        self,
        script: Script,
        *,
        tls: ssl.SSLContext | None = None,
        at: str = "127.0.0.1",
        port: int = 0,
        max_streams: int | None = None,
    ) -> None:
        self.script = script
        self.tls = tls
        self.at = at
        self.port = port
        self.max_streams = max_streams
        #: Every call so far.
        self.streams: list[Stream] = []
        #: Every TCP connection so far.
        self.peers: list[Peer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> H2Server:
        if self.at.startswith("/"):
            self._server: asyncio.Server = await asyncio.start_unix_server(self._accept, self.at)
            self.target = f"unix:{self.at}"
            return self
        self._server = await asyncio.start_server(self._accept, self.at, self.port, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        self.target = f"[{self.at}]:{self.port}" if ":" in self.at else f"{self.at}:{self.port}"
        return self

    def close(self) -> None:
        """Accept no further connection; those that are there go on."""
        self._server.close()

    async def __aexit__(self, *_: object) -> None:
        self.close()
        for peer in self.peers:
            peer.writer.transport.abort()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        task = asyncio.ensure_future(peer.serve())
        self._tasks.append(task)
        await asyncio.wait([task])
