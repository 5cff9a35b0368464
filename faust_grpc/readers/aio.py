"""Reads one call on the event loop: for many quiet streams, and for bidirectional methods."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from ..config import Buffer
from ..connection import Connection, Slot
from ..protocol.base import Call
from ..types import Metadata, Status
from .base import HEADERS_SETTLE_SECONDS, Reader
from .buffer import BoundedBuffer

__all__ = ["AioReader"]

#: What gRPC says instead of the server's status when a write meets the end of a refused call.
LOST_STATUS = "Internal error from Core"


class AioReader(Reader):
    """Reads one server-streaming or bidirectional call in a task.

    Arguments:
        connection: where to call.
        call: what to call.
        buffer: bounds of what is read ahead.
        metadata: sent with the call.
        wake: called on the event loop after something arrived.
    """

    def __init__(
        self,
        connection: Connection,
        call: Call,
        buffer: Buffer,
        metadata: Metadata,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(wake)
        self._connection = connection
        self._request = call
        self._metadata = metadata
        self._buffer = BoundedBuffer(buffer)
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._room.set()
        self._outgoing: deque[bytes] = deque(call.requests)
        self._has_outgoing = asyncio.Event()
        self._has_outgoing.set()
        self._slot: Slot | None = None
        self._call: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._cancelled = False
        self._armed = False

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def received_bytes(self) -> int:
        """Bytes of messages that the call has brought."""
        return self._buffer.added_bytes

    def open(self) -> None:
        self._slot = self._connection.acquire("aio")
        channel = self._slot.channel
        path = self._request.path
        failure = self._slot.known_failure()
        if failure is not None:
            steps = [self._refuse(failure)]
        elif self._request.client_streaming:
            self._call = channel.stream_stream(path)(metadata=self._metadata)
            steps = [self._read(), self._watch_headers(), self._write()]
        else:
            request = self._request.requests[0]
            self._call = channel.unary_stream(path)(request, metadata=self._metadata)
            steps = [self._read(), self._watch_headers()]
        self._tasks = [self._loop.create_task(step, name=f"faust-grpc {path}") for step in steps]

    def take(self, limit: int) -> list[bytes]:
        batch = self._buffer.take(limit)
        if not self._room.is_set() and self._buffer.has_room:
            self._room.set()
        return batch

    def send(self, request: bytes) -> None:
        if not self._request.client_streaming:
            raise RuntimeError(f"{self._request.path}: the request side of this call is closed")
        self._outgoing.append(request)
        self._has_outgoing.set()

    def cancel(self) -> None:
        if self.status is None and not self._cancelled:
            self._cancelled = True
            self._room.set()
            if self._call is not None:
                self._call.cancel()

    async def closed(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _refuse(self, failure: Status) -> None:
        self._finish(failure)

    async def _read(self) -> None:
        call = self._call
        try:
            await self._fill(call)
        except grpc.RpcError:
            pass  # the call knows its status
        except BaseException:
            # After our own cancel() gRPC raises CancelledError. Else the task was cancelled.
            if not self._cancelled:
                call.cancel()
                raise
        finally:
            for task in self._tasks[1:]:
                task.cancel()
            self._finish(await _status(call))

    async def _fill(self, call: Any) -> None:
        buffer, room = self._buffer, self._room
        async for raw in call:
            buffer.add(raw)
            self._notify()
            if buffer.is_full and not self._cancelled:
                room.clear()
                await room.wait()

    async def _watch_headers(self) -> None:
        await self._call.initial_metadata()
        await asyncio.sleep(HEADERS_SETTLE_SECONDS)
        if not self._call.done():
            self._notify()

    async def _write(self) -> None:
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing.clear()
                while self._outgoing:
                    await self._call.write(self._outgoing.popleft())
        except (grpc.RpcError, asyncio.InvalidStateError):
            pass  # the call is over; the reading side tells how

    def _notify(self) -> None:
        self.is_open = True
        if not self._armed:
            self._armed = True
            self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._armed = False
        self._wake()

    def _finish(self, status: Status) -> None:
        self.is_open = self.is_open or status.code is grpc.StatusCode.OK
        self.status = Status(status.code, status.details, ours=self._cancelled)
        if self._slot is not None:
            self._slot.release(self.status, opened=self.is_open)
        self._wake()


async def _status(call: Any) -> Status:
    code, details = await call.code(), await call.details() or ""
    if code is grpc.StatusCode.INTERNAL and details.startswith(LOST_STATUS):
        return Status(grpc.StatusCode.UNKNOWN, "the call ended while a request was being sent")
    return Status(code, details)
