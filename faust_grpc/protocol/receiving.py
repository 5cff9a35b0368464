"""What the calls of a split bring: messages become deliveries, and positions move."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from google.protobuf.message import Message

from ..acks import Delivery, LowWaterMark
from ..cursors import BoundCursor
from ..decoding import Decoder
from ..exceptions import CallFailed, CursorLost, DataError
from ..schema import Method
from ..types import CursorValue
from .base import Action, Checkpoint, Dead, Finish, Protocol, Stop, Synced
from .counts import Counts
from .poison import Poison
from .recent import Recent
from .snapshot import Marker, Snapshot

__all__ = ["ErrorField", "Fault", "Receiving"]

#: An error inside a message: a text that is judged like the details of an UNKNOWN status, or what
#: it means.
Fault: TypeAlias = "str | CursorLost | CallFailed"

#: Reads an in-band error from a message; ``None`` for a good one.
ErrorField: TypeAlias = Callable[[Any], "Fault | None"]


class Receiving(Protocol):
    """The receiving half of a split's life; what becomes of its calls is the other half's.

    Arguments:
        method: what is called.
        request: the request, without a position.
        decoder: bytes → message → records.
        cursor: reads positions; ``None`` when the stream has none.
        resume: the saved position to begin behind.
        error: reads an in-band error from a message.
        marker: tells the end of the snapshot.
        snapshot: how far that of the open call has come.
        poison: decides about bad messages.
        counts: what was seen.
    """

    def __init__(
        self,
        method: Method,
        request: Message,
        decoder: Decoder,
        cursor: BoundCursor | None,
        resume: CursorValue | None,
        error: ErrorField | None,
        marker: Marker | None,
        *,
        snapshot: Snapshot,
        poison: Poison,
        counts: Counts,
    ) -> None:
        self._snapshot = snapshot
        self._poison = poison
        self.counts = counts
        self.bind(method, request, decoder, cursor, error, marker)
        if resume is None and cursor is not None:
            resume = cursor.declared.start
        self.mark = LowWaterMark(resume)
        #: The position behind which the next call resumes: the newest that was received.
        self.last = resume
        self._saved = resume
        self._position = 0
        #: The call resumed and has not yet brought anything new: repeats are dropped.
        self._catching_up = False
        #: Nothing is left to be found out about the call: it has brought a message, and its
        #: snapshot is complete if it has one.
        self._settled = False
        self._heard = False
        #: The server has begun to send once: what a reset threw away on the way may be missing.
        self._accepted = False

    def bind(
        self,
        method: Method,
        request: Message,
        decoder: Decoder,
        cursor: BoundCursor | None,
        error: ErrorField | None,
        marker: Marker | None = None,
    ) -> None:
        """Read with these types: messages from the next one on, requests from the next call on.

        Arguments are those of the class; the same declaration, bound to the types of a method.
        """
        self._method = method
        self._request = request
        self._parse = decoder.parse
        self._decoder = decoder
        self._cursor = cursor
        self._error = error
        self._snapshot.marker = marker
        identity = cursor.identity if cursor is not None else None
        if cursor is None or identity is None:
            self._recent: Recent | None = None
        else:
            self._recent = Recent(identity, cursor.declared.dedupe_window)
        self._compile()

    def message(self, raw: bytes) -> Iterable[Action]:
        """Answer with a delivery, a dead letter, or nothing for a message without events."""
        cursor, before = None, self.last
        completes = False
        try:
            message = self._parse(raw)
            if self._error is not None and (fault := self._error(message)):
                # A "no" in every call's first message is no life: the backoff goes on growing.
                return self._in_band(fault)
            if not self._settled:
                completes = self._settle(message)
            cursor = self._read(message) or None
            if cursor is not None:
                if self._catching_up and self._is_repeat(cursor):
                    return self._synced() if completes else ()
                if before is None or type(cursor) is not int or cursor >= before:  # type: ignore[operator]
                    self.last = cursor
                else:  # it went back within a call: deliver, but do not save it
                    self.counts.cursor_regressions += 1
                    cursor = None
            records = self._records(message)
            if self._recent is not None and self._recent.knows(message):
                self.counts.repeated += 1
                return self._synced() if completes else ()
        except DataError as exc:
            actions = self._undecodable(raw, cursor, before, str(exc))
            return (*actions, *self._synced()) if completes else actions
        self._position += 1
        delivery = Delivery(self._position, cursor, records)
        self.mark.add(delivery)
        if records:
            return (delivery, *self._synced()) if completes else (delivery,)
        # Nothing to process, but the cursor moves, behind everything that came before.
        self.mark.ack(delivery)
        self._no_events()
        return self._synced() if completes else ()

    def acked(self, delivery: Delivery) -> None:
        """Move the low-water mark when somebody looks."""
        self.mark.ack(delivery)

    def dropped(self, delivery: Delivery, policy: str, events: int = 1) -> None:
        """An overflow policy dropped events of a delivery; the last of them acks it.

        Arguments:
            delivery: whose they were.
            policy: what to count it under.
            events: how many.
        """
        dropped = self.counts.dropped
        dropped[policy] = dropped.get(policy, 0) + events
        delivery.parts -= events
        if delivery.parts <= 0:
            self.mark.ack(delivery)

    def checkpoint(self) -> Checkpoint | None:
        """Answer with the cursor of the low-water mark if it is not saved yet."""
        cursor = self.mark.cursor()
        if cursor is None or cursor == self._saved:
            return None
        return Checkpoint(cursor)

    def saved(self, checkpoint: Checkpoint) -> None:
        """Remember what is saved."""
        self._saved = checkpoint.cursor

    def skip(self) -> None:
        """Pass over the bad message that the split halted on, when it is read again.

        Raises:
            DataError: it did not halt on one, or its bytes are not known.
        """
        self._poison.skip()

    @property
    def messages(self) -> int:
        """Messages received in this process."""
        return self._position + self.counts.repeated

    # For the other half

    @abstractmethod
    def _in_band(self, fault: Fault) -> Iterable[Action]:
        """A message is an error."""

    @abstractmethod
    def _first_message(self) -> None:
        """The call brought its first message."""

    @abstractmethod
    def _no_events(self) -> None:
        """A message had nothing to process."""

    @abstractmethod
    def _snapshot_completed(self) -> None:
        """The call is synced."""

    # Decisions

    def _settle(self, message: Any) -> bool:
        """Look at a call's first messages; return whether the snapshot is complete with this."""
        if not self._heard:
            self._heard = self._accepted = True
            self._poison.heard()
            self._first_message()
        synced = self._snapshot.ends_with(message)
        self._settled = not self._snapshot.is_open
        if synced:
            self._compile()
        return synced

    def _compile(self) -> None:
        """Positions within a snapshot stand for a part of it: they are not resumed behind."""
        if self._snapshot.is_open:
            self._read: Callable[[Any], CursorValue | None] = _no_cursor
            self._records = self._snapshot.counted(self._decoder.records)
        else:
            self._read = self._cursor.read if self._cursor is not None else _no_cursor
            self._records = self._decoder.records

    def _synced(self) -> tuple[Action, ...]:
        self._snapshot_completed()
        if self._snapshot.is_end:
            return (Synced(), Finish("the snapshot is complete"))
        return (Synced(),)

    def _is_repeat(self, cursor: CursorValue) -> bool:
        """Backlog and live feed overlap in some servers just after a resume: drop what we had.

        Only the beginning of a resumed call is looked at. Later in a call, equal positions are
        legal (several messages of one revision or one millisecond).
        """
        last = self.last
        if isinstance(cursor, int) and isinstance(last, int) and cursor <= last:
            self.counts.repeated += 1
            return True
        self._catching_up = False
        return False

    def _undecodable(
        self, raw: bytes, cursor: CursorValue | None, before: CursorValue | None, reason: str
    ) -> Iterable[Action]:
        if self._poison.is_known(raw):  # it was kept when the split halted on it
            self._position += 1
            delivery = Delivery(self._position, cursor)
            self.mark.add(delivery)
            self.mark.ack(delivery)
            return ()
        if not self._poison.halts(raw):
            return (self._dead(raw, cursor, reason),)
        self.last = before
        dead = self._dead(raw, None, reason)
        return (dead, Stop(f"halted on a bad message: {reason}", poison=True))

    def _dead(self, raw: bytes, cursor: CursorValue | None, reason: str) -> Dead:
        self.counts.dead += 1
        self._position += 1
        delivery = Delivery(self._position, cursor)
        self.mark.add(delivery)
        return Dead(delivery, raw, reason)


def _no_cursor(_message: Any) -> None:
    return None
