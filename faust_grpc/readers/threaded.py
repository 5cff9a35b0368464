"""Reads one call in a thread of its own: the fast way for a few busy streams.

The sync stack reads about ten times as many messages a second as the asyncio one. What it gains
is lost again if the thread wakes the event loop for every message, or is woken for every message
itself: each time the GIL is handed over and back. So wake-ups are coalesced, and both sides are
paced while messages arrive in bursts.
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

__all__ = ["ThreadedReader"]

#: So many messages in one wake-up are a burst: more are on their way.
BURST_MESSAGES = 4
#: In a burst the loop waits, without the GIL, while the thread fills a batch: this long at first,
#: and longer, up to the second, where so many streams share the loop that batches stay small.
PACE_SECONDS = 0.001
LONGEST_PACE_SECONDS = 0.004
#: A batch of so many is worth a wake-up.
BATCH_MESSAGES = 32
#: A message that took longer than this to get was waited for: nothing more is there yet. In a
#: burst the thread then sleeps while core receives some, and gets those without being woken.
READY_SECONDS = 50e-6
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
        # Set by the thread, cleared by the loop: a wake-up is under way.
        self._armed = False
        self._taken = 0
        self._pace_seconds = PACE_SECONDS
        self._pacing: asyncio.TimerHandle | None = None
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
        self._thread.start()
        self._watch_headers(HEADERS_FIRST_SECONDS)

    def take(self, limit: int) -> list[bytes]:
        batch = self._buffer.take(limit)
        self._taken += len(batch)
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
        self._post(self._finish, status)

    def _fill(self, responses: Iterator[bytes]) -> None:
        buffer, clock = self._buffer, time.perf_counter
        burst, asked = 0, clock()
        for raw in responses:
            waited = clock() - asked > READY_SECONDS
            full = buffer.add(raw)
            # The order matters: first the message, then the look at the flag. The loop clears
            # the flag first and then looks at the buffer, so none of the two misses the other.
            if not self._armed:
                self._armed = True
                self._post(self._woken)
            if full and not self._has_room():
                return
            burst += 1
            if waited:
                if burst > BURST_MESSAGES:
                    time.sleep(REST_SECONDS)
                burst = 0
            asked = clock()

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

    def _woken(self) -> None:
        taken, self._taken = self._taken, 0
        if taken < BURST_MESSAGES:
            self._pace_seconds = PACE_SECONDS
            self._hand_over()
            return
        self._pacing = self._loop.call_later(self._pace_seconds, self._hand_over)
        if taken < BATCH_MESSAGES:
            self._pace_seconds = min(2 * self._pace_seconds, LONGEST_PACE_SECONDS)
        else:
            self._pace_seconds = max(self._pace_seconds / 2, PACE_SECONDS)

    def _hand_over(self) -> None:
        self._armed = False
        self.is_open = True
        self._wake()

    def _finish(self, status: Status) -> None:
        for timer in (self._pacing, self._watching):
            if timer is not None:
                timer.cancel()
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
