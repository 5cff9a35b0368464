"""The protocol that the declared options of a source make: cursor, decoding, backoff, endings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message
from grpc import StatusCode

from ..backoff import Delays
from ..config import AfterSnapshot, EndPolicy, PoisonPolicy, Timeouts
from ..cursors import BoundCursor
from ..deadlines import Deadlines, Due, Passed
from ..decoding import Decoder
from ..exceptions import CallFailed, CursorLost
from ..schema import Method
from ..status import Rule, Verdict
from ..types import CursorValue, Status
from .base import (
    Action,
    Call,
    Close,
    Finish,
    Stop,
    Warn,
)
from .counts import Counts
from .endings import Endings
from .poison import Poison, Step
from .receiving import ErrorField, Fault, Receiving
from .redaction import redacted
from .snapshot import Marker, Snapshot

__all__ = ["DeclaredProtocol"]


class DeclaredProtocol(Receiving):
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
        heartbeats: messages without events are of kinds that were declared to be passed over.
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
        heartbeats: bool = False,
    ) -> None:
        self._heartbeats = heartbeats
        self._deadlines = Deadlines(timeouts or _NO_TIMEOUTS)
        self._endings = Endings(delays, rules, on_end=on_end, renews=renews)
        super().__init__(
            method,
            request,
            decoder,
            cursor,
            resume,
            error,
            marker,
            snapshot=Snapshot(after_snapshot, complete=resume is not None),
            poison=Poison(on_poison),
            counts=Counts(endings=self._endings.counts, verdicts=self._endings.verdicts),
        )
        #: Messages that earlier calls brought.
        self._begun_at = 0
        #: The last time that was told.
        self._now = 0.0
        self._calling = False
        #: We end the call to make the next one at once.
        self._renewing = False

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
            # Positions out of order tell nothing about repeats.
            self._catching_up = type(self.last) is int and self._recent is None
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

    def _first_message(self) -> None:
        self._endings.first()

    def _no_events(self) -> None:
        if self._heartbeats:
            self._deadlines.beat(self._now)

    def _snapshot_completed(self) -> None:
        self._deadlines.synced()

    def _note_progress(self) -> None:
        if self._snapshot.moved_on():
            self._deadlines.progress(self._now)

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

    def _in_band(self, fault: Fault) -> Iterable[Action]:
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


_HOW_TO_RESET = (
    "to go on without what is missing: Cursor(on_lost='earliest') or 'latest', or "
    "'faust-grpc checkpoint reset'"
)

#: For those who drive a protocol without a clock.
_NO_TIMEOUTS = Timeouts(first_message_seconds=None, sync_seconds=None)
