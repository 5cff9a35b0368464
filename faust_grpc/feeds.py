"""A source at work in this worker: its running splits, delivered into subscriptions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from faust.types.tuples import TP

from .acks import Delivery
from .channels import SourceChannel
from .connection import Connection
from .credentials import ask
from .deadletters import DeadLetters
from .declaration import Declaration, Plan
from .discovery import Discovery
from .exceptions import FaustGrpcError, HostError
from .holders import who_holds
from .messages import SourceMessage, TimedMessage
from .observers import Observers, SplitObservers, Where
from .protocol import Dead, DeclaredProtocol
from .schema import DriftWatch, Method, ReflectionSchema
from .splits import RunningSplit, Sink, SplitState
from .targets import Target, TargetOption, parse_targets
from .types import CursorValue, DeadLetter, Split

__all__ = ["Assigned", "Feed"]

logger = logging.getLogger(__name__)


class Assigned(NamedTuple):
    """A split that is to run here."""

    partition: int
    resume: CursorValue | None
    #: Why it is not read until somebody resumes it, or empty.
    paused: str = ""
    #: Why nobody knows where to begin, or empty.
    lost: str = ""


class Feed:
    """Runs the splits of one source that this worker owns.

    Arguments:
        channel: where events go.
        declaration: what was declared.
        plan: the declaration bound to the method's types, when its schema is static.
    """

    #: Its cursors are saved with what it writes, not with the tables.
    saves_itself = False

    def __init__(self, channel: SourceChannel, declaration: Declaration, plan: Plan | None) -> None:
        self.channel = channel
        self.declaration = declaration
        self.plan = plan
        self.splits: dict[str, RunningSplit] = {}
        #: Ended here though their partition stays: tables may hold events that are not below their
        #: saved cursors yet.
        self.parted: list[RunningSplit] = []
        self.dead_letters = DeadLetters(declaration.dead_letter)
        #: Those of the application, once its runner knows this source.
        self.observers = Observers()
        #: Why nothing runs, for people.
        self.waiting_for = ""
        #: Called with an error that ends the worker.
        self.on_failed: Callable[[FaustGrpcError], None] = _nobody
        self._assigned: Mapping[str, Assigned] = {}
        self._connections: dict[tuple[Target, ...], Connection] = {}
        self._ending: list[RunningSplit] = []
        self._drift: DriftWatch | None = None
        self._event_class: Any = None
        self._held = True
        self._closed = False

    def __iter__(self) -> Iterator[RunningSplit]:
        # Of a copy: another thread may ask for the status.
        return iter(list(self.splits.values()))

    @property
    def _has_readers(self) -> bool:
        return bool(self.channel.subscriptions)

    @property
    def bad_timestamps(self) -> int:
        """Event times that were there and could not be used."""
        return self.plan.decoder.bad_timestamps.count if self.plan is not None else 0

    @property
    def proxy(self) -> str:
        """The HTTP proxy that connections go through, or empty."""
        proxies = (connection.proxy for connection in self._connections.values())
        return next(filter(None, proxies), "")

    # Before the first call

    async def declare(self) -> None:
        """Make what must be there before the group meets. Raises as :meth:`prepare`."""

    async def prepare(self) -> None:
        """Read the credentials; ask the server for the method's types, for as long as it takes.

        Raises:
            ConfigurationError: the declaration does not fit what the server has, or a certificate
                cannot be used.
            ReflectionFailed: the server cannot tell.
        """
        for split in self.declaration.splits:
            self._connection(split.target)
        if self.plan is None:
            self.waiting_for = "the server's schema"
            discovery = Discovery(self.declaration, self._connection(None))
            self.plan = await discovery.plan(self._undiscovered)
            self._drift = discovery.watch(self._reload)
        self.waiting_for = ""
        self._reconcile()

    def _undiscovered(self, reason: str) -> None:
        self.waiting_for = f"the server's schema: {reason}"

    def _reload(self, method: Method) -> None:
        """Read with the types of a method from now on.

        Raises:
            ConfigurationError: the declaration does not fit them.
        """
        assert self.plan is not None
        plan = self.declaration.plan(method)
        plan.take_over(self.plan, {split.name: split.protocol for split in self})
        self.plan = plan

    # Tried out by people

    def trial(self, name: str, sink: Sink) -> RunningSplit:
        """Return a split that delivers elsewhere, from the start; after :meth:`prepare`.

        Arguments:
            name: which split.
            sink: where its messages go.
        """
        assert self.plan is not None
        (split,) = [one for one in self.declaration.splits if one.name == name]
        protocol = self.plan.protocol(split, None)
        return self._new_split(split, 0, protocol, self._connection(split.target), sink)

    async def served(self) -> Method:
        """Return the method as its server describes it, whatever the declared schema is.

        Raises:
            ReflectionFailed: the server does not say.
            SchemaError: it has no such method.
        """
        declared = self.declaration
        metadata = await ask(declared.metadata)
        with self._connection(None).acquire("aio") as aio:
            return await ReflectionSchema().fetch(declared.method, aio, metadata)

    # Which splits run

    def assign(self, assigned: Mapping[str, Assigned]) -> None:
        """Run exactly these splits; those that run already go on as they are."""
        self._assigned = assigned
        self.parted.clear()  # saved, or given up, before partitions changed hands
        # One that had stopped for a person gets another try.
        self.drop([split.name for split in self if split.state is SplitState.FATAL])
        self._reconcile()

    def drop(self, names: Iterable[str]) -> None:
        """End splits; what agents still hold of them is not processed."""
        for name in names:
            split = self.splits.pop(name, None)
            if split is not None:
                split.cancel()
                self._ending.append(split)

    def _part(self, name: str) -> None:
        """End a split whose cursor is still to be saved here."""
        self.parted.append(self.splits[name])
        self.drop([name])

    def _reconcile(self) -> None:
        self.drop([name for name in self.splits if name not in self._assigned])
        if self.plan is None or self._closed or not self._assigned:
            return
        if not self._has_readers:
            self.waiting_for = "an agent that reads it"
            return
        self.waiting_for = ""
        for index, split in enumerate(self.declaration.splits):
            assigned = self._assigned.get(split.name)
            if assigned is not None and split.name not in self.splits:
                self._start(index, assigned)

    def _new_split(
        self,
        split: Split,
        partition: int,
        protocol: DeclaredProtocol,
        connection: Connection,
        sink: Sink,
        kind: Callable[..., RunningSplit] = RunningSplit,
    ) -> RunningSplit:
        declaration = self.declaration
        return kind(
            declaration.name,
            split,
            partition,
            protocol,
            connection,
            sink,
            buffer=declaration.buffer,
            reader=declaration.reader,
            streams=self.splits.__len__,
            metadata=declaration.metadata,
            observers=SplitObservers(
                self.observers,
                Where(self.channel.app.conf.id, declaration.name, split.name),
                declaration.method,
                str(connection.targets[0]),
            ),
        )

    def _start(self, index: int, assigned: Assigned) -> None:
        plan, declaration = self.plan, self.declaration
        assert plan is not None
        split = declaration.splits[index]
        running = self._new_split(
            split,
            assigned.partition,
            plan.protocol(split, assigned.resume),
            self._connection(split.target),
            self,
        )
        self.splits[split.name] = running
        self._event_class = self.channel.app.conf.Event
        running.tag = TP(declaration.name, assigned.partition)
        logger.info(
            "%s/%s: reading %s from %s, partition %d, %s",
            declaration.name,
            split.name,
            declaration.method,
            ", ".join(map(str, self._connection(split.target).targets)),
            assigned.partition,
            "from the start" if assigned.resume is None else f"behind cursor {assigned.resume!r}",
        )
        if self._held:
            running.hold()
        if assigned.lost:
            running.stop(assigned.lost)
        elif assigned.paused:
            running.pause(assigned.paused)
        else:
            running.start()

    def _note(self, name: str, **changed: Any) -> None:
        """Change with what a split is started again."""
        self._assigned = {**self._assigned, name: self._assigned[name]._replace(**changed)}

    # Control by people

    def pause(self, name: str, reason: str) -> None:
        """End the call of a split; agents finish what they have."""
        self._note(name, paused=reason)
        self.splits[name].pause(reason)

    def resume(self, name: str, *, skip: bool) -> None:
        """Read a split again that rests; ``skip`` passes over the message that halted it.

        Raises:
            HostError: nobody knows where.
            DataError: it did not halt at a message.
        """
        self._refuse_lost(name)
        self.splits[name].resume(skip=skip)
        self._note(name, paused="")

    def restart(self, name: str) -> None:
        """Drop the call of a split, whatever its state, and make a new one.

        Raises:
            HostError: nobody knows where.
        """
        self._refuse_lost(name)
        self._note(name, paused="")
        self.splits[name].restart()

    def _refuse_lost(self, name: str) -> None:
        lost = self._assigned[name].lost
        if lost:
            raise HostError(f"{self.declaration.name}/{name}: {lost}")

    async def set_aside(self, name: str, close_seconds: float) -> Assigned:
        """End a split once everything it delivered is finished; return how it would go on.

        Arguments:
            name: the split.
            close_seconds: how long its call may take to end.

        Raises:
            HostError: agents did not finish within ``drain_seconds``; it was not ended.
        """
        split, seconds = self.splits[name], self.declaration.checkpoint.drain_seconds
        split.hold()
        try:
            await asyncio.wait_for(split.drained(), seconds)
        except asyncio.TimeoutError:
            if not self._held:
                split.release()
            raise HostError(
                f"{self.declaration.name}/{name}: agents did not finish within {seconds:g} s"
            ) from None
        assigned = self._assigned[name]._replace(resume=split.protocol.mark.cursor())
        self._assigned = {other: a for other, a in self._assigned.items() if other != name}
        self._part(name)
        await self.closed(close_seconds)
        return assigned

    def put_back(self, name: str, assigned: Assigned) -> None:
        """Let a split go on that was set aside."""
        self._assigned = {**self._assigned, name: assigned}
        self._reconcile()

    def subscribed(self) -> None:
        """An agent or stream began to read: start what waited for one."""
        self._reconcile()

    def prune(self, returned_seconds: float) -> None:
        """Stop waiting for agents that returned: nobody will ever ack what they were given.

        And look now and then whether a server that told its types still has them.

        Arguments:
            returned_seconds: how long an iteration must be over; a crashed agent is back sooner.
        """
        self.parted = [split for split in self.parted if split.protocol.checkpoint() is not None]
        now = time.monotonic()
        for subscription in self.channel.subscriptions:
            ended = subscription.ended_at
            if ended is not None and subscription.events and now - ended > returned_seconds:
                logger.warning(
                    "%s: an agent or stream returned while events wait for it; they and later "
                    "ones are dropped for it, so that the checkpoint can move",
                    self.declaration.name,
                )
                self.channel.unsubscribe(subscription)
        if not self.saves_itself:  # else no agents hold its events
            for split in self:
                self._look_whether_stuck(split, now)
        if self._drift is not None:
            self._drift.look(sum(max(0, split.protocol.counts.calls - 1) for split in self))

    def _look_whether_stuck(self, split: RunningSplit, now: float) -> None:
        oldest = split.protocol.mark.oldest if not self._held else None
        seconds = split.standstill.seconds(oldest.position if oldest is not None else None, now)
        if oldest is None or seconds < self.declaration.checkpoint.stuck_seconds:
            split.stuck = ""
        elif not split.stuck:
            where = "" if oldest.cursor is None else f" at cursor {oldest.cursor!r}"
            held = f"message {oldest.position}{where} is not finished for {seconds:.0f} s"
            split.stuck = f"{held}: {who_holds(self.channel, oldest)}"
            logger.warning("%s/%s: stuck: %s", self.declaration.name, split.name, split.stuck)

    # Delivering

    def hold(self) -> None:
        """Deliver nothing until :meth:`release`."""
        self._held = True
        for subscription in self.channel.subscriptions:
            subscription.hurry(True)
        for split in self:
            split.hold()

    def release(self) -> None:
        """Deliver again."""
        self._held = False
        for subscription in self.channel.subscriptions:
            subscription.hurry(False)
        for split in self:
            split.release()

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Put the events of messages into every subscription."""
        subscriptions = self.channel.subscriptions
        if not subscriptions:
            self._unread(split)
            return
        app, tp, event_class = self.channel.app, split.tag, self._event_class
        now, received = time.time(), time.monotonic()
        adds = [subscription.events.append for subscription in subscriptions]
        count = len(adds)
        for delivery in deliveries:
            split.events += len(delivery.records)
            for key, value, timestamp, headers in delivery.records:
                if timestamp is None:
                    timestamp = now
                message = SourceMessage(split, tp, delivery, key, value, timestamp, received, count)
                if headers is not None:
                    message.headers = headers
                event = event_class(app, key, value, headers, message)
                for add in adds:
                    add(event)
            delivery.records = ()  # the events have them; fewer objects to look at for the GC
        split.last_event = message.timestamp, now
        if self.observers:
            # The last one of the batch, made already: nothing is asked for each event.
            message.__class__ = TimedMessage
        for subscription in subscriptions:
            subscription.wake()

    def _unread(self, split: RunningSplit) -> None:
        """The last reader went away: go on from what was finished when one is back."""
        self._note(split.name, resume=split.protocol.mark.cursor())
        self._part(split.name)
        self.waiting_for = "an agent that reads it"

    def dead(self, split: RunningSplit, action: Dead) -> None:
        """Keep a bad message."""
        letter = DeadLetter(
            source=self.declaration.name,
            split=split.name,
            position=action.delivery.position,
            cursor=split.protocol.mark.cursor(),
            reason=action.reason,
            raw=action.raw,
        )
        self.dead_letters.add(letter, lambda: split.acked(action.delivery))

    def stopped(self, split: RunningSplit, reason: str) -> None:
        """Say that a split needs a person; the others go on."""
        logger.error(
            "%s/%s: stopped: %s (it is tried again after a restart or a rebalance)",
            self.declaration.name,
            split.name,
            reason,
        )

    # Ending

    async def drained(self, seconds: float) -> bool:
        """Wait until everything delivered is acked; return whether it is."""
        waits = [asyncio.ensure_future(split.drained()) for split in self if split.unacked]
        if not waits:
            return True
        _, pending = await asyncio.wait(waits, timeout=seconds)
        for wait in pending:
            wait.cancel()
        return not pending

    async def closed(self, seconds: float) -> None:
        """Wait until no call of a dropped split runs any more: only then may another read it."""
        ending, self._ending = self._ending, []
        waits = [asyncio.ensure_future(split.closed()) for split in ending]
        if waits:
            _, pending = await asyncio.wait(waits, timeout=seconds)
            for wait in pending:
                wait.cancel()

    async def close(self, seconds: float) -> None:
        """End all splits and connections."""
        self._closed = True
        self.drop(list(self.splits))
        self.dead_letters.close()
        if self._drift is not None:
            self._drift.close()
        await self.closed(seconds)
        for connection in self._connections.values():
            await connection.close()
        self._connections.clear()

    def _connection(self, target: TargetOption | None) -> Connection:
        key = parse_targets(target) if target is not None else self.declaration.targets
        if key not in self._connections:
            self._connections[key] = self._new_connection(key)
        return self._connections[key]

    def _new_connection(self, targets: tuple[Target, ...]) -> Connection:
        declaration = self.declaration
        return Connection(
            targets,
            tls=declaration.tls,
            call_credentials=declaration.call_credentials,
            proxy=declaration.proxy,
            balance=declaration.balance,
            streams_per_connection=declaration.streams_per_connection,
            connect_seconds=declaration.timeouts.connect_seconds,
            keepalive=declaration.keepalive,
            buffer=declaration.buffer,
            backoff=declaration.backoff,
        )


def _nobody(error: FaustGrpcError) -> None:
    raise error
