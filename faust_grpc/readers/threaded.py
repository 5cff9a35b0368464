"""Reads one call in a thread of its own: the fast way for a few busy streams.

The sync stack reads about ten times as many messages a second as the asyncio one. What it gains
is lost again if the thread wakes the event loop for every message, or is woken for every message
itself: each time the GIL is handed over and back. So in a burst loop and threads take turns.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import grpc

from ..config import Buffer
from ..connection import Connection, Slot
from ..protocol.base import Call
from ..types import Metadata, Status
from .base import HEADERS_SETTLE_SECONDS, Reader
from .buffer import BoundedBuffer
from .turns import BURST_MESSAGES, Turn, Turns

__all__ = ["ThreadedReader"]

#: A thread reads so many messages in its turn.
TURN_MESSAGES = 64
#: A thread that had to wait for a message in a burst rests while gRPC receives some, and gets those
#: without being woken for each.
REST_SECONDS = 0.002
#: The sync stack does not tell when headers arrive: look, at intervals that double up to a limit.
HEADERS_FIRST_SECONDS = HEADERS_SETTLE_SECONDS
HEADERS_LAST_SECONDS = 1.0
#: A thread that waits for room looks this often whether anybody can still make room.
LOOP_CHECK_SECONDS = 1.0


class ThreadedReader(Reader):
    """Reads one server-streaming call in a thread.

    Arguments:
        connection: where to call.
        call: what to call; not ``client_streaming``.
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
        self._done = asyncio.Event()
        self._room = threading.Event()
        self._room.set()
        self._thread = threading.Thread(
            target=self._read, name=f"faust-grpc {call.path}", daemon=True
        )
        self._slot: Slot | None = None
        self._call: Any = None
        self._cancelled = False
        self._turns = Turns.of(self._loop)
        self._turn: Turn | None = None
        self._handed_over = 0
        self._watching: asyncio.TimerHandle | None = None

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    @property
    def received_bytes(self) -> int:
        """Bytes of messages that the call has brought."""
        return self._buffer.added_bytes

    def open(self) -> None:
        self._slot = self._connection.acquire("sync")
        channel = self._slot.channel
        method = channel.unary_stream(self._request.path)
        self._call = method(self._request.requests[0], metadata=self._metadata)
        self._turns.join(self)
        self._thread.start()
        self._watch_headers(HEADERS_FIRST_SECONDS)

    def take(self, limit: int) -> list[bytes]:
        batch = self._buffer.take(limit)
        if not self._room.is_set() and self._buffer.has_room:
            self._room.set()
        return batch

    def send(self, request: bytes) -> None:
        raise RuntimeError(f"{self._request.path}: the request side of this call is closed")

    def cancel(self) -> None:
        if self.status is None and not self._cancelled:
            self._cancelled = True
            self._room.set()
            if self._call is not None:
                self._call.cancel()

    async def closed(self) -> None:
        if self._thread.ident is None:  # never opened
            return
        await self._done.wait()
        self._thread.join()  # it has nothing left to do but to end

    # In the thread.

    def _read(self) -> None:
        call = self._call
        status = Status(grpc.StatusCode.OK)
        try:
            self._fill(call)
        except grpc.RpcError:
            status = Status(call.code(), call.details() or "")
            _finish_events(call)
        except Exception as error:  # whatever it is, the split must not wait for ever
            call.cancel()
            status = Status(grpc.StatusCode.UNKNOWN, f"the reader failed: {error!r}")
        self._end_turn()
        self._post(self._finish, status)

    def _fill(self, responses: Iterator[bytes]) -> None:
        buffer, turns, burst = self._buffer, self._turns, 0
        for raw in responses:
            full = buffer.add(raw)
            # The order matters: first the message, then the look at the flag.
            if not turns.is_called:
                turns.is_called = True
                self._post(turns.look)
            burst += 1
            was_ready = self._was_ready()
            if full or turns.loop_works or not was_ready or not burst % TURN_MESSAGES:
                self._end_turn()
            if full and not self._has_room():
                return
            if not was_ready:
                if burst > BURST_MESSAGES:
                    time.sleep(REST_SECONDS)
                burst = 0  # and wait for the next one out of turn
            elif self._turn is None:
                self._turn = turns.wait()

    def _was_ready(self) -> bool:
        """Return whether the message was there already, as far as is known."""
        turn = self._turn
        return turn is None or turn.goes_on() or self._turns.loop_works

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.end()

    def _has_room(self) -> bool:
        """Wait until there is room; return whether there will be any."""
        room = self._room
        room.clear()
        # The loop may have made room meanwhile, and would not do so again.
        if self._cancelled or not self._buffer.is_full:
            room.set()
        while not room.wait(LOOP_CHECK_SECONDS):
            if self._loop.is_closed():
                self._call.cancel()
                return False
        return True

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is closed: the process ends and nobody will take any more.
            self._call.cancel()

    # On the event loop.

    def hand_over(self) -> int:
        """As :meth:`.turns.TakesTurns.hand_over`."""
        added = self._buffer.added
        read, self._handed_over = added - self._handed_over, added
        if read:
            self.is_open = True
            self._wake()
        return read

    def _finish(self, status: Status) -> None:
        self._turns.leave(self)
        if self._watching is not None:
            self._watching.cancel()
        self.is_open = self.is_open or status.code is grpc.StatusCode.OK
        self.status = Status(status.code, status.details, ours=self._cancelled)
        if self._slot is not None:
            self._slot.release(self.status, opened=self.is_open)
        self._done.set()
        self._wake()

    def _watch_headers(self, delay_seconds: float, *, seen: bool = False) -> None:
        if self.is_open:
            return
        has_headers = _has_headers(self._call)
        if seen and has_headers:
            self.is_open = True
            self._wake()
            return
        if has_headers:
            delay_seconds = HEADERS_SETTLE_SECONDS
        following = min(2 * delay_seconds, HEADERS_LAST_SECONDS)
        look = partial(self._watch_headers, following, seen=has_headers)
        self._watching = self._loop.call_later(delay_seconds, look)


def _has_headers(call: Any) -> bool:
    # ``call.initial_metadata()`` blocks, and holds a lock that ``cancel()`` needs. The private
    # field is only looked at; without it the first message tells that the call is open.
    state = getattr(call, "_state", None)
    return (
        getattr(state, "code", None) is None
        and getattr(state, "initial_metadata", None) is not None
    )


def _finish_events(call: Any) -> None:
    """Consume what core still owes a cancelled call.

    grpcio keeps a call, with its completion queue, until its last event was consumed, and its own
    iteration stops before that once ``cancel()`` was called.
    """
    consume = getattr(call, "_consume_next_event", None)
    due = getattr(getattr(call, "_state", None), "due", ())
    while consume is not None and due:
        consume()
