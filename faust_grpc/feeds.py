"""A source at work in this worker: its running splits."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .acks import Delivery
from .assigned import Assigned
from .channels import SourceChannel
from .connection import Connection
from .connections import Connections
from .deadletters import DeadLetters
from .declaration import Declaration, Plan
from .exceptions import FaustGrpcError, HostError
from .observers import Observers, SplitObservers, Where
from .protocol import Dead, DeclaredProtocol
from .schema import Method
from .splits import RunningSplit, Sink, SplitState
from .terms import Terms
from .types import DeadLetter, Split

__all__ = ["Assigned", "Feed"]

logger = logging.getLogger(__name__)


class Feed(ABC):
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
        #: Of a feed that saves itself: called with a split and its partition when there is a record
        #: of it.
        self.on_recorded: Callable[[str, int], object] = lambda _split, _partition: None
        self._assigned: Mapping[str, Assigned] = {}
        self.terms = Terms(declaration, plan)
        self._ending: list[RunningSplit] = []
        self._held = True
        self._closed = False

    def __iter__(self) -> Iterator[RunningSplit]:
        # Of a copy: another thread may ask for the status.
        return iter(list(self.splits.values()))

    @property
    @abstractmethod
    def _has_readers(self) -> bool:
        """There is somebody to read for."""

    @property
    def plan(self) -> Plan | None:
        """The declaration bound to the method's types; ``None`` until they are known."""
        return self.terms.plan

    @plan.setter
    def plan(self, plan: Plan) -> None:
        self.terms.plan = plan

    @property
    def connections(self) -> Connections:
        """One to each target."""
        return self.terms.connections

    def transactional_ids(self) -> list[str]:
        """Return those with which its splits write by themselves."""
        return []

    @property
    def commit_age_seconds(self) -> float:
        """Of a feed that saves itself: since when something may wait to be saved, at most."""
        return 0.0

    # Before the first call

    @abstractmethod
    async def declare(self) -> None:
        """Make what must be there before the group meets. Raises as :meth:`prepare`."""

    async def prepare(self) -> None:
        """Wait until the method's types are known; raises as :meth:`Terms.settle`."""
        await self.terms.settle(self._wait_for, self._reload)
        self._wait_for("")
        self._reconcile()

    def _wait_for(self, what: str) -> None:
        self.waiting_for = what

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
        return self._new_split(split, 0, protocol, self.connections.to(split.target), sink)

    async def served(self) -> Method:
        """Return the method as its server describes it; as :meth:`Terms.served`."""
        return await self.terms.served()

    # Which splits run

    def assign(self, assigned: Mapping[str, Assigned]) -> None:
        """Run exactly these splits; those that run already go on as they are."""
        self._assigned = assigned
        self.parted.clear()  # saved, or given up, before partitions changed hands
        # One that had stopped for a person gets another try.
        self.drop([split.name for split in self if split.state is SplitState.FATAL])
        self._reconcile()

    def keep_only(self, partitions: Collection[int]) -> None:
        """End the splits of all other partitions; none of them begins before :meth:`assign`."""
        self._assigned = {
            name: assigned
            for name, assigned in self._assigned.items()
            if assigned.partition in partitions
        }
        self.drop([split.name for split in self if split.partition not in partitions])

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

    @abstractmethod
    def _start(self, index: int, assigned: Assigned) -> None:
        """Start the split at an index of the declaration."""

    def _begin(self, running: RunningSplit, assigned: Assigned) -> None:
        """Let a split run, unless it must not."""
        self.splits[running.name] = running
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
        """End the call of a split; agents finish what they have.

        Raises:
            HostError: nobody knows where it would go on.
        """
        self._refuse_lost(name)  # a pause is saved, and would look like a place to begin at
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

    async def kept(self, name: str) -> None:
        """Wait until what people last did to a split is saved, in a feed that saves itself.

        Raises:
            HostError: it cannot be.
        """
        await self.splits[name].drained()

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

    # Delivering

    def hold(self) -> None:
        """Deliver nothing until :meth:`release`."""
        self._held = True
        for split in self:
            split.hold()

    def release(self) -> None:
        """Deliver again."""
        self._held = False
        for split in self:
            split.release()

    def look_after(self, returned_seconds: float) -> None:
        """Look, now and then, at what only time shows.

        Arguments:
            returned_seconds: how long an agent's iteration must be over to count as ended for
                good; a crashed agent is back sooner.
        """
        self.parted = [split for split in self.parted if split.protocol.checkpoint() is not None]
        self.terms.look([split.protocol.counts.calls for split in self])

    @abstractmethod
    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Take the events of messages; as :class:`Sink`."""

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
        return await _over((split.drained() for split in self if split.unacked), seconds)

    async def closed(self, seconds: float) -> None:
        """Wait until no call of a dropped split runs any more: only then may another read it."""
        ending, self._ending = self._ending, []
        await _over((split.closed() for split in ending), seconds)

    async def close(self, seconds: float) -> None:
        """End all splits and connections."""
        self._closed = True
        self.drop(list(self.splits))
        self.dead_letters.close()
        self.terms.close()
        await self.closed(seconds)
        await self.connections.close()


async def _over(ends: Iterable[Coroutine[Any, Any, None]], seconds: float) -> bool:
    """Wait for all of them, but not for ever; return whether all came."""
    waits = [asyncio.ensure_future(end) for end in ends]
    if not waits:
        return True
    _, pending = await asyncio.wait(waits, timeout=seconds)
    for wait in pending:
        wait.cancel()
    return not pending


def _nobody(error: FaustGrpcError) -> None:
    raise error
