"""A split's calls, one after another: at most one is open, opening, or waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

from grpc import StatusCode

from .config import Buffer, ReaderKind
from .connection import Connection
from .credentials import CallMetadata, MetadataProvider, ask
from .exceptions import FaustGrpcError
from .protocol import Action, Call, DeclaredProtocol
from .readers import choose, open_reader
from .readers.base import Reader
from .types import Status

__all__ = ["Calls"]

#: A call whose credentials end is made anew so long before.
EXPIRY_MARGIN_SECONDS = 5.0


class Calls:
    """Opens and drops the calls of one split, and keeps its one timer.

    Everything runs on the event loop.

    Arguments:
        connection: the gRPC channel to call on.
        buffer: bounds.
        reader: which kind of reader.
        streams: returns how many splits run in this process, for ``reader="auto"``.
        metadata: asked before every call.
        wake: the reader has news.
        failed: the call ended before there was a reader.
        perform: takes what the protocol answers when its time has come.
    """

    #: Whose calls they are; set before the first one.
    protocol: DeclaredProtocol

    def __init__(
        self,
        connection: Connection,
        buffer: Buffer,
        reader: ReaderKind,
        streams: Callable[[], int],
        metadata: MetadataProvider | None,
        *,
        wake: Callable[[], None],
        failed: Callable[[Status], None],
        perform: Callable[[Iterable[Action]], None],
    ) -> None:
        #: What the open call brings; ``None`` when there is none.
        self.reader: Reader | None = None
        #: Bytes of the messages that earlier calls brought.
        self._received_bytes = 0
        self._connection = connection
        self._buffer = buffer
        self._kind = reader
        self._streams = streams
        self._metadata = metadata
        #: What the last call sent.
        self.sent = CallMetadata()
        self._wake = wake
        self._failed = failed
        self._perform = perform
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def open(self, call: Call) -> None:
        """Make a call; ``reader`` is there once its metadata is known."""
        self._opening = asyncio.ensure_future(self._open(call))
        self.watch()

    async def _open(self, call: Call) -> None:
        try:
            metadata = self.sent = await ask(self._metadata)
        except Exception as exc:  # a user's provider: its failure is an ended call like another
            self._failed(Status(StatusCode.UNKNOWN, f"metadata provider: {exc!r}"))
            return
        if metadata.expires_at is not None:
            left = metadata.expires_at - time.time() - EXPIRY_MARGIN_SECONDS
            self.protocol.expires(self.now() + max(left, EXPIRY_MARGIN_SECONDS))
            self.watch()
        kind = choose(self._kind, client_streaming=call.client_streaming, streams=self._streams())
        try:
            self.reader = open_reader(
                kind, self._connection, call, self._buffer, metadata, self._wake
            )
        except FaustGrpcError as exc:  # certificates that are being renewed, say
            self._failed(Status(StatusCode.UNKNOWN, str(exc)))

    @property
    def received_bytes(self) -> int:
        """Bytes of the messages that all calls brought."""
        reader = self.reader
        return self._received_bytes + (reader.received_bytes if reader is not None else 0)

    def ended(self) -> None:
        """The open call is over and everything was taken from it."""
        self._received_bytes = self.received_bytes
        self.reader = None

    def close(self) -> None:
        """End the open call; its end follows what it had brought."""
        if self.reader is not None:
            self.reader.cancel()
        else:
            self.drop()
            self._failed(Status(StatusCode.CANCELLED, ours=True))

    def drop(self) -> None:
        """Cancel whatever is open, opening or waited for; nothing more comes of it."""
        self._cancel_timer()
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
        self._opening = None
        self._received_bytes = self.received_bytes
        reader, self.reader = self.reader, None
        if reader is not None:
            reader.cancel()
            ending = asyncio.ensure_future(reader.closed())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def closed(self) -> None:
        """Wait until nothing of dropped calls runs any more."""
        if self._ending:
            await asyncio.wait(self._ending)

    # The timer

    def wait(self, seconds: float) -> None:
        """Tick after a delay."""
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def watch(self) -> None:
        """Ask the protocol when its deadline has come, or before.

        Deadlines move on with every message, the timer does not.
        """
        deadline = self.protocol.deadline
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self.now()
        if self.reader is not None and self.reader.buffered:
            self.protocol.heard(now)  # it is we who are silent
        self._perform(self.protocol.tick(now))
        self.watch()

    @staticmethod
    def now() -> float:
        """Return the time of the event loop."""
        return asyncio.get_running_loop().time()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
