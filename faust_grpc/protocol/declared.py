"""The protocol that the declared options of a source make: cursor, decoding, backoff, endings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode

from ..acks import Delivery, LowWaterMark
from ..backoff import Delays
from ..cursors import BoundCursor
from ..decoding import Decoder
from ..exceptions import CallFailed, CursorLost, DataError
from ..schema import Method
from ..status import Rule, Verdict, judge
from ..types import CursorValue, Status
from .base import Action, Call, Checkpoint, Dead, Protocol, Stop, Wait

__all__ = ["Counts", "DeclaredProtocol", "ErrorField"]

#: Reads an in-band error from a message: ``None`` for a good one, a text that is judged like the
#: details of an UNKNOWN status, or a ready :class:`CursorLost` or :class:`CallFailed`.
ErrorField = Callable[[Any], "str | CursorLost | CallFailed | None"]

#: After a healthy life, calls in a row that may fail for a reason that looks permanent: a rolling
#: upgrade or a proxy in between answers NOT_FOUND or UNIMPLEMENTED for a while.
GRACE_ATTEMPTS = 6


@dataclass
class Counts:
    """What one split has seen in this process."""

    dead: int = 0
    #: Messages that the server sent again after a resume: dropped.
    repeated: int = 0
    #: Times a cursor went back within a call: the event was delivered, the cursor not saved.
    cursor_regressions: int = 0
    #: Reconnects of a stream without cursor: an unknown number of messages may be missing.
    possible_gaps: int = 0
    calls: int = 0
    endings: dict[str, int] = field(default_factory=dict)


class DeclaredProtocol(Protocol):
    """One split's life, from the declared options.

    Arguments:
        method: what to call.
        request: the request of this split, without a position.
        decoder: bytes → message → records.
        delays: backoff between calls.
        cursor: how to resume; ``None`` when the stream cannot.
        resume: the saved position to begin behind.
        error: reads an in-band error from a message.
        rules: the user's own endings, asked before the built-in ones.
    """

    def __init__(
        self,
        method: Method,
        request: Message,
        decoder: Decoder,
        delays: Delays,
        *,
        cursor: BoundCursor | None = None,
        resume: CursorValue | None = None,
        error: ErrorField | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        self._delays = delays
        self.bind(method, request, decoder, cursor, error)
        if resume is None and cursor is not None:
            resume = cursor.declared.start
        self._rules = rules
        self.mark = LowWaterMark(resume)
        self.counts = Counts()
        #: The position behind which the next call resumes: the newest that was received.
        self.last = resume
        self._saved = resume
        self._position = 0
        #: The call resumed and has not yet brought anything new: repeats are dropped.
        self._catching_up = False
        self._healthy = False
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
    ) -> None:
        """Read with these types: messages from the next one on, requests from the next call on.

        Arguments are those of the class; the same declaration, bound to the types of a method.
        """
        self._method = method
        self._request = request
        self._parse = decoder.parse
        self._records = decoder.records
        self._cursor = cursor
        self._read = cursor.read if cursor is not None else _no_cursor
        self._error = error

    # Events

    def start(self) -> Iterable[Action]:
        """Answer with the first call."""
        return (self._call(),)

    def tick(self) -> Iterable[Action]:
        """Answer with the next call."""
        return (self._call(),)

    def opened(self) -> Iterable[Action]:
        """Headers are no life yet: only a message resets the backoff."""
        self._accepted = True
        return ()

    def message(self, raw: bytes) -> Iterable[Action]:
        """Answer with a delivery, a dead letter, or nothing for a message without events."""
        cursor = None
        try:
            message = self._parse(raw)
            if self._error is not None and (fault := self._error(message)):
                # A "no" in every call's first message is no life: the backoff goes on growing.
                return self._in_band(fault)
            if not self._heard:
                self._heard = self._healthy = self._accepted = True
                self._delays.reset()
            cursor = self._read(message) or None
            if cursor is not None:
                if self._catching_up and self._is_repeat(cursor):
                    return ()
                if self.last is None or type(cursor) is not int or cursor >= self.last:  # type: ignore[operator]
                    self.last = cursor
                else:  # it went back within a call: deliver, but do not save it
                    self.counts.cursor_regressions += 1
                    cursor = None
            records = self._records(message)
        except DataError as exc:
            return (self._dead(raw, cursor, str(exc)),)
        self._position += 1
        delivery = Delivery(self._position, cursor, records)
        self.mark.add(delivery)
        if records:
            return (delivery,)
        # Nothing to process, but the cursor moves, behind everything that came before.
        self.mark.ack(delivery)
        return ()

    def acked(self, delivery: Delivery) -> None:
        """Move the low-water mark when somebody looks."""
        self.mark.ack(delivery)

    def ended(self, status: Status) -> Iterable[Action]:
        """Answer with a delay, or stop when no call of ours would do better."""
        name = status.code.name
        self.counts.endings[name] = self.counts.endings.get(name, 0) + 1
        rule = judge(status, self._rules)
        reason = f"{status} ({rule.hint})" if rule.hint else str(status)
        if rule.verdict is Verdict.CURSOR_LOST and self.last is not None:
            return self._cursor_lost(reason)
        # The user's own word needs no second opinion; nor does what gRPC's core says of our side,
        # which no server mends: a message beyond the limit would be read again and again.
        final = rule in self._rules or rule.pattern
        if rule.verdict is Verdict.RETRY or (not final and self._in_grace(status)):
            return self._retry(reason)
        return (Stop(reason),)

    def checkpoint(self) -> Checkpoint | None:
        """Answer with the cursor of the low-water mark if it is not saved yet."""
        cursor = self.mark.cursor()
        if cursor is None or cursor == self._saved:
            return None
        return Checkpoint(cursor)

    def saved(self, checkpoint: Checkpoint) -> None:
        """Remember what is saved."""
        self._saved = checkpoint.cursor

    @property
    def messages(self) -> int:
        """Messages received in this process."""
        return self._position + self.counts.repeated

    # Decisions

    def _call(self) -> Call:
        request = self._request
        if self._cursor is not None and self.last is not None:
            request = self._cursor.resume(request, self.last)
            self._catching_up = type(self.last) is int
        elif self._accepted:
            self.counts.possible_gaps += 1
        self.counts.calls += 1
        self._heard = False
        return Call(
            self._method.path,
            # Through the class: upb takes a field of that name for the method.
            (type(request).SerializeToString(request),),
            client_streaming=self._method.client_streaming,
        )

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

    def _dead(self, raw: bytes, cursor: CursorValue | None, reason: str) -> Dead:
        self.counts.dead += 1
        self._position += 1
        delivery = Delivery(self._position, cursor)
        self.mark.add(delivery)
        return Dead(delivery, raw, reason)

    def _in_band(self, fault: str | CursorLost | CallFailed) -> Iterable[Action]:
        if isinstance(fault, CursorLost):
            return self._cursor_lost(str(fault), fault.resume)
        if isinstance(fault, CallFailed):
            return (Stop(str(fault)),)
        return self.ended(Status(StatusCode.UNKNOWN, str(fault)))

    def _cursor_lost(self, reason: str, resume: CursorValue | None = None) -> Iterable[Action]:
        lost = f"the server cannot resume behind cursor {self.last!r}: {reason}"
        if self._cursor is None or self._cursor.declared.when_lost == "fail":
            return (Stop(lost, lost_cursor=True),)
        self.last, self._saved = resume, None
        self.counts.possible_gaps += 1
        start = "without a cursor" if resume is None else f"behind {resume!r}"
        return self._retry(f"{lost}; starting {start}, data may be missing")

    def _in_grace(self, status: Status) -> bool:
        if status.code is StatusCode.UNAUTHENTICATED and self._heard:
            return True  # a token expired in a good call; the provider is asked for a new one
        return self._healthy and self._delays.attempts < GRACE_ATTEMPTS

    def _retry(self, reason: str) -> Iterable[Action]:
        return (Wait(self._delays.next(), reason, self._delays.attempts),)


def _no_cursor(_message: Any) -> None:
    return None
