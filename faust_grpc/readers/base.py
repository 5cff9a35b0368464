"""What every reader does, whatever stack it reads with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from ..types import Status

__all__ = ["HEADERS_SETTLE_SECONDS", "Reader"]

#: gRPC reports empty headers for a call that failed without any, an instant before the failure.
#: A call whose headers are followed by nothing for so long is open.
HEADERS_SETTLE_SECONDS = 0.005


class Reader(ABC):
    """The raw messages of one call.

    A reader drains the call eagerly into its own bounded buffer: a stream that is reset throws
    away what had arrived and was not yet read, so nothing may wait inside gRPC. At the bound it
    stops reading, and HTTP/2 flow control holds the server.

    All methods are called on the event loop. ``wake`` is called there too, soon after messages,
    the server's headers, or the end arrived; wake-ups are coalesced, one may stand for many.

    Arguments:
        wake: called without arguments.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        #: The server accepted the call: its headers or a message arrived.
        self.is_open = False
        #: How the call ended. Set after the last message is in the buffer.
        self.status: Status | None = None

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Messages in the buffer."""

    @property
    @abstractmethod
    def received_bytes(self) -> int:
        """Bytes of messages that the call has brought."""

    @abstractmethod
    def open(self) -> None:
        """Start the call."""

    @abstractmethod
    def take(self, limit: int) -> list[bytes]:
        """Remove and return at most ``limit`` messages, oldest first; makes room for more."""

    @abstractmethod
    def send(self, request: bytes) -> None:
        """Send one more serialized request; only on a call with an open request side."""

    @abstractmethod
    def cancel(self) -> None:
        """End the call from our side. ``status`` follows, with ``ours`` set."""

    @abstractmethod
    async def closed(self) -> None:
        """Wait until the call is over and nothing of the reader runs any more."""
