"""Who is told about calls, acks and checkpoints when they happen: metrics and traces.

What can be read from counters is read when somebody looks. Here is only what cannot: durations,
and what must go into a call. Without an observer nothing is measured.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from grpc import StatusCode

from .types import Metadata, Status

__all__ = ["CallEnd", "CallStart", "Observer", "Observers", "SplitObservers", "Where"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Where:
    """A split of an application.

    Arguments:
        app: the application's id.
        source: the source's name.
        split: the split's name.
    """

    app: str
    source: str
    split: str


@dataclass(frozen=True)
class CallStart:
    """A call that is about to be made.

    Arguments:
        where: whose it is.
        method: ``package.Service/Method``.
        target: the server, as gRPC dials it.
        attempt: calls in a row that ended without a message, before this one.
    """

    where: Where
    method: str
    target: str
    attempt: int


@dataclass(frozen=True)
class CallEnd:
    """How a call ended, and what follows.

    Arguments:
        where: whose it was.
        status: its status; ``status.ours`` when we ended it.
        outcome: what comes next: ``"retry"``, ``"renewed"`` (another call at once), ``"stop"`` (a
            person has to act), ``"finish"`` (the stream is over) or ``"given up"`` (it was paused,
            the split moved, or the worker stops).
        reason: what happened, for people.
        retry_seconds: how long until the next call.
        attempt: number of that call among those in a row without a message.
    """

    where: Where
    status: Status
    outcome: str
    reason: str
    retry_seconds: float | None = None
    attempt: int = 0


class Observer:
    """Is told what happens. Each method does nothing: override those that you want.

    Each is called on the worker's event loop; but what a source with a sink does is told in that
    source's own thread, beside the others. None may block. One that raises is logged; the stream
    goes on.
    """

    def call_started(self, call: CallStart) -> Metadata:
        """Return metadata to send with the call."""
        return ()

    def call_ended(self, end: CallEnd) -> None:
        """A call is over."""

    def acked(self, where: Where, seconds: float) -> None:
        """A sampled event was finished by every agent.

        Arguments:
            where: where it came from.
            seconds: since it was received.
        """

    def checkpoint_written(self, app: str, seconds: float, saved: bool) -> None:
        """A checkpoint that had something to save was written: of what is saved with the tables,
        or of one split with a sink.

        Arguments:
            app: the application's id.
            seconds: how long that took.
            saved: it worked; if not it is tried again.
        """

    def loop_delayed(self, app: str, seconds: float) -> None:
        """The event loop was late for something that was due.

        Arguments:
            app: the application's id.
            seconds: how late. It is asked about once a second.
        """


class Observers:
    """The observers of one application: usually none."""

    def __init__(self) -> None:
        self._all: list[Observer] = []

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Observer]:
        return iter(self._all)

    def add(self, observer: Observer) -> None:
        """Tell this one too, from now on; adding it again changes nothing."""
        if observer not in self._all:
            self._all.append(observer)

    def call_started(self, call: CallStart) -> Metadata:
        """Tell all; return what they want to send."""
        metadata: list[tuple[str, str | bytes]] = []
        for observer in self._all:
            metadata += self._told(observer.call_started, call) or ()
        return tuple(metadata)

    def call_ended(self, end: CallEnd) -> None:
        """Tell all."""
        for observer in self._all:
            self._told(observer.call_ended, end)

    def acked(self, where: Where, seconds: float) -> None:
        """Tell all."""
        for observer in self._all:
            self._told(observer.acked, where, seconds)

    def checkpoint_written(self, app: str, seconds: float, saved: bool) -> None:
        """Tell all."""
        for observer in self._all:
            self._told(observer.checkpoint_written, app, seconds, saved)

    def loop_delayed(self, app: str, seconds: float) -> None:
        """Tell all."""
        for observer in self._all:
            self._told(observer.loop_delayed, app, seconds)

    @staticmethod
    def _told(tell: Callable[..., Any], *what: Any) -> Any:
        try:
            return tell(*what)
        except Exception:  # whatever it does, it is not the stream's fault
            logger.exception("An observer failed: %r", tell)
            return None


class SplitObservers:
    """Tells an application's observers about the calls of one split.

    Arguments:
        observers: those of the application.
        where: the split.
        method: what is called.
        target: where.
    """

    def __init__(self, observers: Observers, where: Where, method: str, target: str) -> None:
        self._observers = observers
        self._where = where
        self._method = method
        self._target = target
        self._in_call = False
        self._status: Status | None = None
        self._attempt = 0

    @classmethod
    def nobody(cls) -> SplitObservers:
        """Return one that nobody listens to."""
        return cls(Observers(), Where("", "", ""), "", "")

    def started(self) -> Metadata:
        """A call is made; return what to send with it."""
        self._in_call = bool(self._observers)
        if not self._in_call:
            return ()
        self._status = None
        return self._observers.call_started(
            CallStart(self._where, self._method, self._target, self._attempt)
        )

    def acked(self, seconds: float) -> None:
        """A sampled event was finished.

        Arguments:
            seconds: since it was received.
        """
        self._observers.acked(self._where, seconds)

    def checkpoint_written(self, seconds: float, *, saved: bool) -> None:
        """What was read, and its cursor, was written.

        Arguments are those of :meth:`Observer.checkpoint_written`.
        """
        self._observers.checkpoint_written(self._where.app, seconds, saved)

    def ended(self, status: Status) -> None:
        """The call has this status; what follows is not known yet."""
        self._status = status

    def over(
        self, outcome: str, reason: str = "", *, seconds: float | None = None, attempt: int = 0
    ) -> None:
        """What follows the call is known; nothing happens when there was none.

        Arguments are those of :class:`CallEnd`.
        """
        if not self._in_call:
            return
        self._in_call = False
        self._attempt = attempt
        status = self._status or Status(StatusCode.CANCELLED, reason, ours=True)
        self._observers.call_ended(CallEnd(self._where, status, outcome, reason, seconds, attempt))
