"""The protocol that the declared options of a source make: cursor, decoding, backoff, endings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import Message
from grpc import StatusCode

from ..acks import Delivery, LowWaterMark
from ..backoff import Delays
from ..config import AfterSnapshot, EndPolicy, PoisonPolicy, Timeouts
from ..cursors import BoundCursor
from ..deadlines import Deadlines, Due, Passed
from ..decoding import Decoder
from ..exceptions import CallFailed, CursorLost, DataError
from ..schema import Method
from ..status import Rule, Verdict
from ..types import CursorValue, Status
from .base import (
    Action,
    Call,
    Checkpoint,
    Close,
    Dead,
    Finish,
    Protocol,
    Stop,
    Synced,
    Warn,
)
from .counts import Counts
from .endings import Endings
from .poison import Poison, Step
from .redaction import redacted
from .snapshot import Marker, Snapshot

__all__ = ["DeclaredProtocol", "ErrorField"]

#: Reads an in-band error from a message: ``None`` for a good one, a text that is judged like the
#: details of an UNKNOWN status, or a ready :class:`CursorLost` or :class:`CallFailed`.
ErrorField = Callable[[Any], "str | CursorLost | CallFailed | None"]


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
        marker: tells the end of the snapshot that a call without a position begins with.
        after_snapshot: whether the stream is over then.
        timeouts: how long a call may be silent, and how old it may get.
        on_end: what the end of the stream with status OK means.
        on_poison: what follows once a bad message is kept as a dead letter.
        renews: each call has new credentials.
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
        marker: Marker | None = None,
        after_snapshot: AfterSnapshot = "follow",
        timeouts: Timeouts | None = None,
        on_end: EndPolicy = "reconnect",
        on_poison: PoisonPolicy = "skip",
        renews: bool = False,
    ) -> None:
        self._deadlines = Deadlines(timeouts or _NO_TIMEOUTS)
        self._endings = Endings(delays, rules, on_end=on_end, renews=renews)
        self._poison = Poison(on_poison)
        self._snapshot = Snapshot(after_snapshot, complete=resume is not None)
        self.bind(method, request, decoder, cursor, error, marker)
        if resume is None and cursor is not None:
            resume = cursor.declared.start
        self.mark = LowWaterMark(resume)
        self.counts = Counts(endings=self._endings.counts, verdicts=self._endings.verdicts)
        #: The position behind which the next call resumes: the newest that was received.
        self.last = resume
        self._saved = resume
        self._position = self._begun_at = 0
        #: The last time that was told.
        self._now = 0.0
        self._calling = False
        #: We end the call to make the next one at once.
        self._renewing = False
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
        self._compile()

    # Events

    def start(self, now: float = 0.0) -> Iterable[Action]:
        """Answer with a call."""
        self._endings.again()
        self._poison.retry()
        return (self._call(now),)

    def tick(self, now: float = 0.0) -> Iterable[Action]:
        """Answer with the next call, or with what a deadline of the open one demands."""
        if not self._calling:
            return (self._call(now),)
        self._note_progress()
        due = self._deadlines.due(now)
        self._now = now
        return self._past(due, now) if due is not None else ()

    def opened(self, now: float = 0.0) -> Iterable[Action]:
        """Headers are no life yet: only a message resets the backoff."""
        self._now = now
        self._accepted = True
        self._deadlines.opened(now)
        self._endings.opened(now)
        return ()

    def heard(self, now: float) -> None:
        """Messages are handed in, or wait to be: the peer is alive."""
        self._note_progress()
        self._now = now
        self._deadlines.heard(now)
        self._endings.heard(now)

    def expires(self, at: float) -> None:
        """The credentials of the call are good until then: make the next one before.

        Arguments:
            at: monotonic seconds.
        """
        self._deadlines.expires(at)

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` must be called at the latest while a call is open; ``None``: never."""
        return self._deadlines.next() if self._calling and not self._renewing else None

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
                    return ()
                if before is None or type(cursor) is not int or cursor >= before:  # type: ignore[operator]
                    self.last = cursor
                else:  # it went back within a call: deliver, but do not save it
                    self.counts.cursor_regressions += 1
                    cursor = None
            records = self._records(message)
        except DataError as exc:
            return self._undecodable(raw, cursor, before, str(exc))
        self._position += 1
        delivery = Delivery(self._position, cursor, records)
        self.mark.add(delivery)
        if completes:
            return self._completed(delivery)
        if records:
            return (delivery,)
        # Nothing to process, but the cursor moves, behind everything that came before.
        self.mark.ack(delivery)
        return ()

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

    def ended(self, status: Status, now: float = 0.0) -> Iterable[Action]:
        """Answer with a delay, or stop when no call of ours would do better."""
        self._now = now
        if status.ours and self._renewing:
            self._endings.ended_by_us("RENEWED", now)
            return (self._call(now),)
        self._calling = False
        judged = self._endings.judge(status, now)
        verdict, reason = judged
        if verdict is Verdict.CURSOR_LOST and self.last is not None:
            return self._cursor_lost(reason)
        if verdict is Verdict.POISON:
            return self._unreceivable(reason)
        if verdict is Verdict.END:
            return (Finish(reason),)
        if verdict in (Verdict.RETRY, Verdict.SLOW):
            return (self._endings.retry(reason, now, slow=verdict is Verdict.SLOW),)
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

    @property
    def rule(self) -> str:
        """The rule that decided about the last end of a call."""
        return self._endings.rule

    @property
    def hint(self) -> str:
        """What the last calls have in common, for people."""
        return self._endings.hint

    # A call

    def _call(self, now: float) -> Call:
        self._now = now
        request = self._request
        if self._cursor is not None and self.last is not None:
            request = self._cursor.resume(request, self.last)
            self._catching_up = type(self.last) is int
        elif self._accepted:
            self.counts.possible_gaps += 1
        self.counts.calls += 1
        self._heard = self._settled = self._renewing = False
        self._calling = True
        self._begun_at = self._position
        resumed = self._cursor is not None and self.last is not None
        self._snapshot.called(resumed=resumed)
        self._compile()
        self._endings.called()
        self._deadlines.called(now, syncing=self._snapshot.is_open)
        return Call(
            self._method.path,
            # Through the class: upb takes a field of that name for the method.
            (type(request).SerializeToString(request),),
            client_streaming=self._method.client_streaming,
        )

    def _settle(self, message: Any) -> bool:
        """Look at a call's first messages; return whether the snapshot is complete with this."""
        if not self._heard:
            self._heard = self._accepted = True
            self._endings.first()
            self._poison.heard()
        synced = self._snapshot.ends_with(message)
        self._settled = not self._snapshot.is_open
        if synced:
            self._deadlines.synced()
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

    def _note_progress(self) -> None:
        if self._snapshot.moved_on():
            self._deadlines.progress(self._now)

    def _completed(self, delivery: Delivery) -> Iterable[Action]:
        actions: list[Action] = [delivery, Synced()]
        if not delivery.records:
            self.mark.ack(delivery)
            del actions[0]
        if self._snapshot.is_end:
            actions.append(Finish("the snapshot is complete"))
        return actions

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

    # What goes wrong

    def _past(self, due: Due, now: float) -> Iterable[Action]:
        if due.what is Passed.AGE:
            self._renewing = True
            return (Close(due.text),)
        if due.what is Passed.FIRST_MESSAGE:
            return (Warn(f"{due.text}; the request: {redacted(self._request)}"),)
        if due.what is Passed.QUIET:
            return (Warn(due.text),)
        self._calling = False
        self._endings.ended_by_us("SILENT", now)
        return (self._endings.retry(due.text, now),)

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

    def _unreceivable(self, reason: str) -> Iterable[Action]:
        last = self.last
        where = last if self._cursor is not None else self._position - self._begun_at
        step = self._poison.stumbled(where, can_step=type(last) is int)
        if step is Step.RETRY:
            return (self._endings.retry(reason, self._now),)
        if step is Step.HALT:
            dead = self._dead(b"", None, reason)
            return (dead, Stop(f"halted on a message that cannot be received: {reason}"))
        assert isinstance(last, int)
        self.last = last + 1
        dead = self._dead(b"", self.last, reason)
        return (dead, self._endings.retry(f"{reason}; passed over", self._now))

    def _dead(self, raw: bytes, cursor: CursorValue | None, reason: str) -> Dead:
        self.counts.dead += 1
        self._position += 1
        delivery = Delivery(self._position, cursor)
        self.mark.add(delivery)
        return Dead(delivery, raw, reason)

    def _in_band(self, fault: str | CursorLost | CallFailed) -> Iterable[Action]:
        if isinstance(fault, CursorLost):
            self._calling = False
            return self._cursor_lost(str(fault), fault.resume)
        if isinstance(fault, CallFailed):
            return (Stop(str(fault)),)
        return self.ended(Status(StatusCode.UNKNOWN, str(fault)), self._now)

    def _cursor_lost(self, reason: str, resume: CursorValue | None = None) -> Iterable[Action]:
        lost = f"the server cannot resume behind cursor {self.last!r}: {reason}"
        cursor = self._cursor
        if cursor is None or cursor.declared.on_lost == "fail":
            return (Stop(f"{lost}; {_HOW_TO_RESET}", lost_cursor=True),)
        self.last, self._saved = cursor.after_loss(resume), None
        self._snapshot.complete = False
        self.counts.lost_cursors += 1
        begin = "without a cursor" if self.last is None else f"behind {self.last!r}"
        text = f"{lost}; going on {begin} (on_lost={cursor.declared.on_lost!r}): data is missing"
        # Not every wait is logged, and the old cursor must be.
        return (Warn(text), self._endings.retry(text, self._now))


def _no_cursor(_message: Any) -> None:
    return None


_HOW_TO_RESET = (
    "to go on without what is missing: Cursor(on_lost='earliest') or 'latest', or "
    "'faust-grpc checkpoint reset'"
)

#: For those who drive a protocol without a clock.
_NO_TIMEOUTS = Timeouts(first_message_seconds=None, sync_seconds=None)
