"""The interface between a split and the outside: methods are events in, results are actions out.

A protocol has no clock, no thread, no event loop and no socket. The time it needs is given to it.
So every interleaving of messages, acks, ends and ticks can be tested without waiting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ..acks import Delivery
from ..types import CursorValue, Metadata, Status

__all__ = [
    "Action",
    "Call",
    "Checkpoint",
    "Close",
    "Dead",
    "Finish",
    "Protocol",
    "Send",
    "Stop",
    "Synced",
    "Wait",
    "Warn",
]


@dataclass(frozen=True)
class Call:
    """Open a call.

    Arguments:
        path: the method as gRPC writes it: ``/package.Service/Method``.
        requests: serialized messages to send first; exactly one unless ``client_streaming``.
        client_streaming: the method is bidirectional: keep the request side open after them.
        metadata: sent with this call, beside the source's own.
    """

    path: str
    requests: tuple[bytes, ...]
    client_streaming: bool = False
    metadata: Metadata = ()


@dataclass(frozen=True)
class Send:
    """Send one more request on the open call (bidirectional methods only)."""

    request: bytes


@dataclass(frozen=True)
class Dead:
    """Keep a message that could not be decoded; ack the delivery once it is kept."""

    delivery: Delivery
    raw: bytes
    reason: str


@dataclass(frozen=True)
class Checkpoint:
    """The low-water mark moved: this cursor may be saved."""

    cursor: CursorValue


@dataclass(frozen=True)
class Wait:
    """Call :meth:`Protocol.tick` again after a delay; nothing is open meanwhile.

    Arguments:
        seconds: the delay.
        reason: what happened, for people.
        attempt: calls in a row that ended without a message.
    """

    seconds: float
    reason: str
    attempt: int


@dataclass(frozen=True)
class Stop:
    """This split ends here and a person has to act.

    Arguments:
        reason: what happened and what would help, one line.
        lost_cursor: the server can no longer resume from the saved cursor.
        poison: it halted on a bad message.
    """

    reason: str
    lost_cursor: bool = False
    poison: bool = False


@dataclass(frozen=True)
class Finish:
    """The stream is over, as it was declared to be: nobody has to act."""

    reason: str


@dataclass(frozen=True)
class Close:
    """End the open call from our side, take what it had brought, then report its end.

    Arguments:
        reason: why, for people.
    """

    reason: str


@dataclass(frozen=True)
class Synced:
    """The snapshot is complete with what was delivered before this."""


@dataclass(frozen=True)
class Warn:
    """Tell people; nothing else changes."""

    text: str


#: A delivery is an action itself: this is the hot path.
Action: TypeAlias = "Call | Send | Delivery | Dead | Wait | Stop | Finish | Close | Synced | Warn"


class Protocol(ABC):
    """One split's life. Every method is an event and returns the actions to take, in order.

    ``now`` is monotonic time in seconds, from any origin. Who drives a protocol without it gets no
    time-outs and no limits of time.
    """

    @abstractmethod
    def start(self, now: float = 0.0) -> Iterable[Action]:
        """The split is ours and nothing is open: usually answers with a :class:`Call`.

        Also after a person had stopped it, or wants a new call: what was open is dropped.
        """

    @abstractmethod
    def opened(self, now: float = 0.0) -> Iterable[Action]:
        """The server accepted the call (its headers arrived)."""

    @abstractmethod
    def message(self, raw: bytes) -> Iterable[Action]:
        """One message arrived."""

    def heard(self, now: float) -> None:  # noqa: B027  # most protocols need no clock
        """A batch of messages is about to be handed in, or waits to be."""

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` must be called at the latest while a call is open; ``None``: never."""
        return None

    @abstractmethod
    def acked(self, delivery: Delivery) -> None:
        """Every subscription finished the events of a delivery (the hot path: no actions)."""

    @abstractmethod
    def ended(self, status: Status, now: float = 0.0) -> Iterable[Action]:
        """The call is over and its last message was handed in."""

    @abstractmethod
    def tick(self, now: float = 0.0) -> Iterable[Action]:
        """The delay of the last :class:`Wait` is over, or :attr:`deadline` has come."""

    @abstractmethod
    def checkpoint(self) -> Checkpoint | None:
        """Somebody wants to save: answers with the cursor of the mark if it is not saved yet."""

    @abstractmethod
    def saved(self, checkpoint: Checkpoint) -> None:
        """The cursor is saved."""
