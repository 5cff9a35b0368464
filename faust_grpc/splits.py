"""A split at work: drives the protocol over a reader. The only place where the two meet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any
from typing import Protocol as Interface

from .acks import Delivery
from .calls import Calls
from .config import Buffer, ReaderKind
from .connection import Connection
from .credentials import MetadataProvider
from .observers import SplitObservers
from .protocol import (
    Action,
    Call,
    Close,
    Dead,
    DeclaredProtocol,
    Finish,
    Send,
    Stop,
    Synced,
    Wait,
    Warn,
)
from .readers import Reader
from .states import AT_REST, SplitState, Standing
from .types import CursorValue, Split, Status
from .window import Window

__all__ = ["RunningSplit", "Sink", "SplitState"]

logger = logging.getLogger(__name__)

#: Messages handled before the event loop gets its turn: about a millisecond.
_SLICE = 256

_RECEIVING = (SplitState.RECEIVING, SplitState.SYNCED)


class Sink(Interface):
    """Where a split's messages go."""

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Take the events of messages; ``split.acked(delivery)`` once per record."""

    def dead(self, split: RunningSplit, action: Dead) -> None:
        """Keep a bad message; ``split.acked(delivery)`` once it is kept."""

    def stopped(self, split: RunningSplit, reason: str) -> None:
        """The split ended for a reason that needs a person."""


class RunningSplit(Standing):
    """One split of a source, being read by this process.

    Everything runs on the event loop it was started in.

    Arguments:
        source: name of the source, for logs.
        split: the declaration.
        partition: the partition that its events belong to.
        protocol: its life as a state machine.
        connection: the gRPC channel to call on.
        sink: where messages go.
        buffer: bounds.
        reader: which kind of reader.
        streams: returns how many splits run in this process, for ``reader="auto"``.
        metadata: asked before every call.
        observers: told about its calls.
    """

    def __init__(
        self,
        source: str,
        split: Split,
        partition: int,
        protocol: DeclaredProtocol,
        connection: Connection,
        sink: Sink,
        *,
        buffer: Buffer,
        reader: ReaderKind = "auto",
        streams: Callable[[], int] = lambda: 1,
        metadata: MetadataProvider | None = None,
        observers: SplitObservers | None = None,
    ) -> None:
        super().__init__()
        self.source = source
        self.name = split.name
        self.partition = partition
        #: Its events may still be processed: it was not cancelled. Asked for every event.
        self.is_live = True
        #: For the sink: what it wants to find with every delivery.
        self.tag: Any = None
        #: Events given to the sink, and the event time and the time of receipt of the last one.
        self.events = 0
        self.last_event: tuple[float, float] | None = None
        self._observers = observers or SplitObservers.nobody()
        self._connection = connection
        self._buffer = buffer
        self._calls = Calls(
            connection,
            buffer,
            reader,
            streams,
            metadata,
            wake=self._wake,
            failed=self._ended,
            perform=self._perform,
        )
        self._pump_soon = False
        self._held = False
        #: How often a call was to be made again since the last message.
        self._retries = 0
        self._begin(protocol, sink)

    def _begin(self, protocol: DeclaredProtocol, sink: Sink) -> None:
        """Begin a life: nothing that was read before counts."""
        self.protocol = self._calls.protocol = protocol
        self._sink = sink
        self._window = Window(protocol.mark, self._buffer, self._drop)

    def __repr__(self) -> str:
        return f"<RunningSplit {self.source}/{self.name} {self.state.value}>"

    # Life

    def start(self) -> None:
        """Open the first call."""
        self._open_anew()

    def pause(self, reason: str = "on request") -> None:
        """End the call and make no other until :meth:`resume`; agents keep what they hold."""
        if self._state is not SplitState.CLOSED:
            self._calls.drop()
            self._observers.over("given up", reason)
            self._become(SplitState.PAUSED, reason)

    def stop(self, reason: str) -> None:
        """End the call and make no other: a person must look.

        Arguments:
            reason: what is wrong, and what to do.
        """
        if self._state is not SplitState.CLOSED:
            self._perform_one(Stop(reason))

    def resume(self, *, skip: bool = False) -> None:
        """Read again, behind the newest message that was received, after a pause or a stop.

        Does nothing to a split that is reading.

        Arguments:
            skip: pass over the bad message that it halted on. It was kept as a dead letter.

        Raises:
            DataError: ``skip`` was asked for, and it did not halt on a message that is known.
        """
        if skip:
            self.protocol.skip()
        if self._state in AT_REST and self._state is not SplitState.CLOSED:
            self._open_anew()

    def restart(self) -> None:
        """Drop the call, whatever its state, and make a new one at once."""
        if self._state is not SplitState.CLOSED:
            self._calls.drop()
            self._observers.over("renewed", "on request")
            self._open_anew()

    def hold(self) -> None:
        """Deliver nothing until :meth:`release`; the call stays open and reads ahead."""
        self._held = True

    def release(self) -> None:
        """Deliver again."""
        self._held = False
        self._pump()

    async def drained(self) -> None:
        """Wait until nothing that was delivered is un-acked."""
        await self._window.is_idle.wait()

    def cancel(self) -> None:
        """End the call and deliver nothing more. What is un-acked stays with the agents."""
        self._become(SplitState.CLOSED, "")
        self.is_live = False
        self._held = True
        self._calls.drop()
        self._observers.over("given up")

    async def closed(self) -> None:
        """Wait until nothing of a cancelled split runs any more."""
        await self._calls.closed()

    # What others see

    @property
    def unacked(self) -> int:
        """Messages delivered and not acked."""
        return self._window.unacked

    @property
    def cursor(self) -> CursorValue | None:
        """Where a restart would resume."""
        return self.protocol.mark.cursor()

    @property
    def buffered(self) -> int:
        """Messages read ahead."""
        reader = self._calls.reader
        return self._window.waiting + (reader.buffered if reader is not None else 0)

    @property
    def received_bytes(self) -> int:
        """Bytes of the messages that were received."""
        return self._calls.received_bytes

    @property
    def buffer_fill(self) -> float:
        """How much of the read-ahead buffer is used, from 0 to 1."""
        return min(1.0, self.buffered / self._buffer.messages)

    def adapt(self, seconds: float, wanted_seconds: float) -> None:
        """A barrier took so long; as :meth:`Window.adapt`."""
        self._window.adapt(seconds, wanted_seconds)

    def acked(self, delivery: Delivery) -> None:
        """All subscriptions finished one record of a delivery."""
        delivery.parts -= 1
        if delivery.parts > 0:
            return
        self.protocol.acked(delivery)
        if self._window.finished():
            self._schedule_pump()

    def timed(self, seconds: float) -> None:
        """A sampled event was finished by every agent, so long after it was received."""
        self._observers.acked(seconds)

    # From the reader to the sink

    def _wake(self) -> None:
        """The reader has news."""
        reader = self._calls.reader
        if reader is None:
            return
        if reader.is_open and self._state is SplitState.CONNECTING:
            self._become(SplitState.OPEN, "")
            self._perform(self.protocol.opened(self._calls.now()))
            self._calls.watch()
        self._pump()

    def _pump(self) -> None:
        self._pump_soon = False
        if self._held:
            return
        window, reader = self._window, self._calls.reader
        if window.waiting:
            self._hand_over(window.admit())
        if reader is None:
            return
        room = window.intake()
        if room > 0 and reader.buffered:
            self.protocol.heard(self._calls.now())
            if self._state not in _RECEIVING:
                self._become(SplitState.RECEIVING, "")
                self._calls.watch()
                if self._retries > 1:
                    self._say(f"receiving again, at attempt {self._retries + 1}", logging.INFO)
                self._retries = 0
            self._deliver(reader, min(room, _SLICE))
            if self._calls.reader is not reader:
                return
        if reader.buffered:
            if window.intake() > 0:
                self._schedule_pump()
            else:
                window.is_starved = True
        elif reader.status is not None:
            self._calls.ended()
            self._ended(reader.status)

    def _deliver(self, reader: Reader, limit: int) -> None:
        message, backlog = self.protocol.message, self._window.backlog
        deliveries: list[Delivery] = []
        room = self._window.room()
        for raw in reader.take(limit):
            for action in message(raw):
                if type(action) is Delivery:
                    if backlog is None or (not backlog and len(deliveries) < room):
                        deliveries.append(action)
                    else:
                        backlog.add(action, len(raw))
                else:
                    deliveries = self._hand_over(deliveries)  # first what came before it
                    self._perform_one(action)
                    room = self._window.room()
            if self._calls.reader is not reader:
                break  # the call was dropped: what it still brought is read again
        self._hand_over(deliveries)
        self._hand_over(self._window.admit())

    def _hand_over(self, deliveries: list[Delivery]) -> list[Delivery]:
        if deliveries and self.is_live:
            self._window.is_idle.clear()
            self._sink.deliver(self, deliveries)
        return []

    def _drop(self, delivery: Delivery, events: int) -> None:
        """The overflow policy throws events away."""
        policy = self._buffer.overflow
        if policy not in self.protocol.counts.dropped:
            self._say(
                "agents are slower than the stream: events are dropped "
                f"(Buffer(overflow={policy!r})); counted in the status"
            )
        self.protocol.dropped(delivery, policy, events)
        self._window.dropped()

    def _schedule_pump(self) -> None:
        if not self._pump_soon:
            self._pump_soon = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _perform(self, actions: Iterable[Action]) -> None:
        for action in actions:
            self._perform_one(action)

    def _perform_one(self, action: Action) -> None:
        match action:
            case Delivery():
                self._hand_over([action])
            case Dead():
                self._window.is_idle.clear()
                self._sink.dead(self, action)
            case Call():
                self._become(SplitState.CONNECTING, "")
                self._calls.open(self._observed(action))
            case Send():
                if self._calls.reader is not None:
                    self._calls.reader.send(action.request)
            case Wait():
                self._wait(action)
            case Warn():
                self._say(action.text)
            case Close():
                self._calls.close()
            case Synced():
                self._become(SplitState.SYNCED, "")
            case Finish():
                self._calls.drop()
                self._observers.over("finish", action.reason)
                self._become(SplitState.FINISHED, action.reason)
                self._say(f"finished: {action.reason}", logging.INFO)
            case Stop():
                self._calls.drop()
                self._observers.over("stop", action.reason)
                self._become(SplitState.FATAL, action.reason)
                self._sink.stopped(self, action.reason)

    # Calls

    def _open_anew(self) -> None:
        self._perform(self.protocol.start(self._calls.now()))

    def _ended(self, status: Status) -> None:
        if self._state is SplitState.CLOSED:
            return
        advice = self._connection.explain(status)
        details = self._calls.sent.hide(status.details)  # a server may repeat a token
        if advice:
            details = f"{details} [{advice}]"
        status = Status(status.code, details, status.ours)
        self._observers.ended(status)
        self._perform(self.protocol.ended(status, self._calls.now()))

    def _wait(self, action: Wait) -> None:
        self._calls.drop()
        attempt = action.attempt
        self._observers.over("retry", action.reason, seconds=action.seconds, attempt=attempt)
        self._become(SplitState.WAITING, action.reason)
        self.backoff_seconds, self._retries = action.seconds, attempt
        if attempt & (attempt - 1) == 0:  # 1, 2, 4, 8, …: log lines grow slower than attempts
            next_one = f"attempt {attempt + 1} in {action.seconds:.2f} s"
            self._say(f"call ended: {action.reason}; {next_one}")
        self._calls.wait(action.seconds)

    def _observed(self, call: Call) -> Call:
        """Tell that a call is made; return it with what observers want to send."""
        self._observers.over("renewed")
        metadata = self._observers.started()
        return replace(call, metadata=(*call.metadata, *metadata)) if metadata else call

    def _say(self, text: str, level: int = logging.WARNING) -> None:
        logger.log(level, "%s/%s: %s", self.source, self.name, text)
