"""A source with a sink, at work in this worker: its splits are written into a topic."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from confluent_kafka import KafkaException, Producer
from faust.tables.base import Collection
from faust.types import TopicT

from .. import seams
from ..acks import Delivery
from ..births import assigned_lost
from ..channels import SourceChannel
from ..connections import Connections
from ..declaration import Declaration, Plan
from ..exceptions import HostError, WriteFailed
from ..feeds import Assigned, Feed
from ..kafka import check_transactions, connection_options, is_mock, producer
from ..protocol import DeclaredProtocol
from ..schema import Method
from ..sinks import TopicSink
from ..splits import RunningSplit
from ..subscriptions import Lease
from ..types import CursorValue, DeadLetter, Split
from .outlet import MayWrite, Outlet
from .posting import Posting
from .saved import checkpoint_record, last_saved
from .splits import DurableSplit
from .thread import LoopThread
from .topics import create_topic, partition_count, retention_seconds
from .writers import ExactlyOnceWriter, PlainWriter, SplitWriter, Writing

__all__ = ["DurableFeed"]

logger = logging.getLogger(__name__)

#: After so long the broker aborts what a crashed worker left open; until then nobody who reads
#: committed records sees what came after it in the same partition.
_TRANSACTION_SECONDS = 15.0
#: A checkpoint is not sent later than this part of the session time-out after it was made.
_CHECKPOINT_PART = 0.25
#: Splits that may wait for the broker at the same time.
_MOST_WORKERS = 32


class DurableFeed(Feed):
    """Runs the splits of one source that this worker owns, into a topic.

    Arguments:
        channel: of the source; its agents read the topic.
        declaration: what was declared.
        plan: the declaration bound to the method's types, when its schema is static.
        sink: where records go.
        lease: nothing is committed without it.
        kafka_options: librdkafka settings that the app's settings cannot express.
    """

    saves_itself = True

    def __init__(
        self,
        channel: SourceChannel,
        declaration: Declaration,
        plan: Plan | None,
        *,
        sink: TopicSink,
        lease: Lease,
        kafka_options: Mapping[str, Any],
    ) -> None:
        super().__init__(channel, declaration, plan)
        self.sink = sink
        self._lease = lease
        self._kafka_options = kafka_options
        self._thread: LoopThread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: gRPC's asyncio channels belong to the loop that uses them: these to the thread's.
        self._reading = Connections(declaration)
        self._checkpoint_producer: Producer | None = None
        self._lock = threading.Lock()
        self._retention_seconds = math.inf

    @property
    def _has_readers(self) -> bool:
        return True  # agents read the topic, now or later, here or elsewhere

    @property
    def _topic(self) -> TopicT:
        return self.sink.topic

    def _options(self) -> dict[str, Any]:
        return connection_options(self.channel.app, self._kafka_options)

    def _transactional_id(self, split: Split) -> str:
        return f"{self.channel.app.conf.id}-{self.declaration.name}-{split.name}"

    def transactional_ids(self) -> list[str]:
        """As :meth:`Feed.transactional_ids`."""
        if self.declaration.guarantee != "exactly_once":
            return []
        return [self._transactional_id(split) for split in self.declaration.splits]

    # Before the first call

    async def declare(self) -> None:
        """Make the topic if it is not there: before the group is asked who reads it.

        Raises:
            ConfigurationError: ``exactly_once`` on a broker that has no transactions.
            HostError: the broker refuses to make the topic.
        """
        app = self.channel.app
        seams.redirect_agents(app, self.channel, self._topic)
        if self.declaration.guarantee == "exactly_once":
            # Agents here must not see what is aborted later.
            seams.read_committed(app)
            name = self.declaration.name
            await asyncio.to_thread(check_transactions, self._options(), name)
        try:
            await asyncio.to_thread(self._declare_topic)
        except KafkaException as exc:
            # Every split looks again before it writes.
            logger.warning(
                "%s: whether topic %s is there is not known: %s",
                self.declaration.name,
                self.sink.name,
                exc.args[0].str(),
            )

    def _declare_topic(self) -> None:
        options, name = self._options(), self.sink.name
        if create_topic(self._topic, options):
            logger.info("%s: made the topic %s", self.declaration.name, name)
        if self.declaration.timestamp is not None and not is_mock(options):
            self._retention_seconds = retention_seconds(name, options)

    async def prepare(self) -> None:
        """As :meth:`Feed.prepare`; from here on there is a thread."""
        declaration = self.declaration
        self._loop = asyncio.get_running_loop()
        workers = min(len(declaration.splits) + 1, _MOST_WORKERS)
        self._thread = LoopThread(f"faust-grpc {declaration.name}", workers)
        await super().prepare()

    def _reload(self, method: Method) -> None:
        assert self.plan is not None
        assert self._thread is not None
        plan, old = self.declaration.plan(method), self.plan

        async def take_over() -> None:
            plan.take_over(old, {split.name: split.protocol for split in self})

        # Not between two lines of a message's decoding: there, and waited for (about 1 ms).
        self._thread.submit(take_over()).result()
        self.plan = plan

    # Which splits run

    def _start(self, index: int, assigned: Assigned) -> None:
        assert self.plan is not None
        assert self._thread is not None
        declared, partition = self.declaration.splits[index], assigned.partition
        outlet = self._outlet(index, declared, partition)
        split = self._new_split(
            declared,
            partition,
            self.plan.protocol(declared, None),
            self._reading.to(declared.target),
            self,  # until it has a sink of its own
            kind=partial(DurableSplit, thread=self._thread, outlet=outlet, is_known=assigned.known),
        )
        self._begin(split, assigned)

    def _begin(self, running: RunningSplit, assigned: Assigned) -> None:
        """As :meth:`Feed._begin`; its checkpoint says whether it is paused, or lost."""
        self.splits[running.name] = running
        if self._held:
            running.hold()
        running.start()

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Refuse: a split has a sink of its own before it reads.

        Raises:
            HostError: always.
        """
        raise HostError(f"{self.declaration.name}/{split.name}: delivered before it could write")

    def _outlet(self, index: int, split: Split, partition: int) -> Outlet:
        declaration, options = self.declaration, self._options()
        table: Collection = self.channel.app.tables[f"{declaration.name}-checkpoint"]  # type: ignore[assignment]  # an app's tables are Collections

        def protocol(resume: CursorValue | None) -> DeclaredProtocol:
            assert self.plan is not None
            return self.plan.protocol(split, resume)

        return Outlet(
            protocol=protocol,
            writer=lambda may_write: self._writer(index, split, options, may_write),
            saved=lambda may: last_saved(table, partition, split.name, options, may),
            begin=lambda known: self._where_to_begin(split.name, partition, known, table),
            recorded=lambda: self._soon(self._note_recorded, split.name, partition),
            record=lambda saved: checkpoint_record(table, partition, split.name, saved),
            posting=lambda writer: self._posting(split, writer),
            interval_seconds=declaration.checkpoint.interval_seconds,
            lease=lambda: self._lease.is_held,
            failed=lambda error: self._soon(self.on_failed, error),
            stopped=lambda reason: self._soon(self._tell_stopped, split.name, reason),
        )

    def _where_to_begin(
        self, split: str, partition: int, known: bool, table: Collection
    ) -> CursorValue | None:
        name, cursor = self.declaration.name, self.declaration.cursor
        if not known or cursor is None:
            return None
        found = assigned_lost(name, split, partition, table.changelog_topic_name, cursor)
        if found.lost:
            self._soon(self._note_if_here, split, found)
            raise HostError(found.lost)
        return found.resume

    def _note_recorded(self, split: str, partition: int) -> None:
        if self._note_if_here(split, Assigned(partition, None)):
            self.on_recorded(split, partition)

    def _note_if_here(self, split: str, found: Assigned) -> bool:
        """A takeover found out whether a split's checkpoint is there; it may have gone away."""
        assigned = self._assigned.get(split)
        if assigned is None or assigned.partition != found.partition:
            return False
        self._note(split, lost=found.lost, known=True)
        return True

    def _tell_stopped(self, name: str, reason: str) -> None:
        split = self.splits.get(name)
        if split is not None:
            self.stopped(split, reason)

    def _posting(self, split: Split, writer: SplitWriter) -> Posting:
        keep = self.declaration.dead_letter
        return Posting(
            writer,
            source=self.declaration.name,
            split=split.name,
            with_headers=self.sink.headers,
            dead_topic=keep.get_topic_name() if isinstance(keep, TopicT) else None,
            retention_seconds=self._retention_seconds,
            dead=lambda letter, kept: self._soon(self._keep, letter, kept),
            stopped=lambda reason: self._soon(self._tell_stopped, split.name, reason),
        )

    def _keep(self, letter: DeadLetter, kept: Callable[[], None]) -> None:
        thread = self._thread
        assert thread is not None
        self.dead_letters.add(letter, lambda: thread.call(kept))

    def _soon(self, function: Callable[..., object], *arguments: Any) -> None:
        """From the thread: call on Faust's loop."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(function, *arguments)

    # Writing; called in the source's thread, or in one that may block

    def _writer(
        self, index: int, split: Split, options: dict[str, Any], may_write: MayWrite
    ) -> SplitWriter:
        declaration = self.declaration
        try:
            create_topic(self._topic, options)
            writing = Writing(
                topic=self.sink.name,
                partition=self._fixed_partition(index, options),
                transactional_id=self._transactional_id(split),
                transaction_seconds=max(
                    _TRANSACTION_SECONDS, 2 * declaration.checkpoint.interval_seconds
                ),
                new_producer=self._new_producer,
                may_write=may_write,
            )
        except KafkaException as exc:
            raise WriteFailed(f"topic {self.sink.name}: {exc.args[0].str()}") from exc
        if declaration.guarantee == "exactly_once":
            return ExactlyOnceWriter(writing)
        return PlainWriter(writing, self._checkpoints())

    def _fixed_partition(self, index: int, options: dict[str, Any]) -> int:
        by = self.sink.partition_by or ("split" if self.declaration.key is None else "key")
        if by == "key":
            return -1
        return index % partition_count(self.sink.name, options)

    def _new_producer(self, settings: Mapping[str, Any]) -> Producer:
        return producer(self.channel.app, {**settings, **self._kafka_options})

    def _checkpoints(self) -> Producer:
        """Return what writes the checkpoints of all splits, at least once."""
        with self._lock:
            if self._checkpoint_producer is None:
                session = self.channel.app.conf.broker_session_timeout
                timeout_ms = int(1000 * _CHECKPOINT_PART * session)
                self._checkpoint_producer = self._new_producer({"message.timeout.ms": timeout_ms})
            return self._checkpoint_producer

    # Control by people

    def _durable(self, name: str) -> DurableSplit:
        return cast(DurableSplit, self.splits[name])

    async def kept(self, name: str) -> None:
        """As :meth:`Feed.kept`."""
        await self._durable(name).kept()

    async def set_aside(self, name: str, close_seconds: float) -> Assigned:
        """As :meth:`Feed.set_aside`; raises a ``HostError`` too while the split is taken over."""
        split = self._durable(name)
        if split.is_taking_over:
            raise HostError(f"{self.declaration.name}/{name}: is being taken over: try again")
        assigned = await super().set_aside(name, close_seconds)
        return assigned._replace(paused=split.paused)

    @property
    def commit_age_seconds(self) -> float:
        """As :attr:`Feed.commit_age_seconds`."""
        ages = (cast(DurableSplit, split).commit_age_seconds for split in self)
        return max(ages, default=0.0)

    # Ending

    async def drained(self, seconds: float) -> bool:
        """Wait until everything read so far is committed; return whether it is."""
        waits = [asyncio.ensure_future(split.drained()) for split in self]
        if not waits:
            return True
        done, pending = await asyncio.wait(waits, timeout=seconds)
        for wait in pending:
            wait.cancel()
        return not pending and not any(wait.exception() for wait in done)

    async def close(self, seconds: float) -> None:
        """As :meth:`Feed.close`; ends the thread too."""
        await super().close(seconds)
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.run(self._reading.close())
            await thread.close()
