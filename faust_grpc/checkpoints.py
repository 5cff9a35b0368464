"""Saving: what the events did to the tables, and the cursors behind them."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import KafkaException, Producer
from faust.types import AppT
from faust.types.tuples import TP

from .changelog import Batch, Changelog, Records, Unsealed, Writes, encode
from .changes import Change, Changes
from .exceptions import WriteFailed
from .kafka import check_transactions, connection_options, end_offsets, producer
from .protocol import Checkpoint
from .saved import Saved
from .seams import CheckpointTable
from .sends import Sends
from .splits import RunningSplit
from .subscriptions import Lease
from .writers import PlainWriter, TransactionalWriter

__all__ = ["LEASE_PART", "Checkpoints", "Cut"]

logger = logging.getLogger(__name__)

#: Nothing is taken, delivered or saved when the last heartbeat is older than this part of the
#: session time-out: at the whole of it the group gives our partitions to another worker.
LEASE_PART = 0.7

#: How long what is written plainly may stay in the producer, unless it is flushed.
_LINGER_MS = 500

#: A transaction is open only while it is written; the broker ends one that was left open.
_TRANSACTION_SECONDS = 30.0

_T = TypeVar("_T")


class Cut(NamedTuple):
    """What is saved of one partition at one moment: encoded, so that it can be written again."""

    partition: int
    tables: list[Records]
    cursors: list[Records]
    moved: list[tuple[RunningSplit, Checkpoint]]
    changes: list[Change]
    #: What the cursors' records say, by source and split.
    saved: dict[tuple[str, str], Saved]
    batch: Batch | None


class Checkpoints:
    """The cursors of all sources of an application, one table per source.

    Arguments:
        app: the application.
        lease: nothing is written without it.
    """

    def __init__(self, app: AppT, lease: Lease) -> None:
        self.app = app
        self.lease = lease
        self.kafka_options: dict[str, Any] = {}
        self.changelog = Changelog()
        self._changes = Changes()
        self.sends = Sends()
        self.plain = PlainWriter(self._new_producer)
        #: Of an application with an exactly-once source; then it writes everything.
        self.transactions: TransactionalWriter | None = None
        self._exactly_once = ""
        self._tables: dict[str, CheckpointTable] = {}
        self._fencing: asyncio.Future[None] | None = None
        self._stop_fencing = threading.Event()

    def add(self, source: str) -> None:
        """Make the table of a source; before Faust starts its tables."""
        app = self.app
        self._tables[source] = app.tables.add(  # type: ignore[assignment]
            CheckpointTable.of(app, source, beacon=app.tables.beacon)
        )

    def use_transactions(self, source: str) -> None:
        """Write tables and cursors in transactions.

        Arguments:
            source: who wants it.
        """
        self._exactly_once = source
        prefix = self.transactional_prefix
        self.transactions = TransactionalWriter(self._new_transactional_producer, prefix)

    @property
    def transactional_prefix(self) -> str:
        """How transactional ids begin; ``-`` and the partition follow."""
        return f"{self.app.conf.id}-faust-grpc"

    @property
    def topics(self) -> list[str]:
        """The changelog topics of the tables."""
        return [table.changelog_topic_name for table in self._tables.values()]

    def topic(self, source: str) -> str:
        """Return the topic that holds a source's cursors."""
        return self._tables[source].changelog_topic_name

    def saved(self, source: str) -> Mapping[str, Saved]:
        """Return what is saved for a source, by split."""
        table: Any = self._tables[source].data
        return {split: Saved.load(stored) for split, stored in table.data.items()}

    def partitions(self, source: str) -> Mapping[str, int]:
        """Return where what is saved for a source was found, by split."""
        table: Any = self._tables[source].data
        return {split: table._key_partition[split] for split in table.data}

    def change(
        self, source: str, split: str, partition: int, apply: Callable[[Saved], Saved]
    ) -> asyncio.Future[None]:
        """Have a record changed with the next checkpoint.

        Arguments:
            source: its name.
            split: its name.
            partition: where it belongs.
            apply: what is saved → what is to be saved.

        Returns:
            Done when it is written; a ``HostError`` if the partition goes away before.
        """
        change = Change(source, split, partition, apply)
        self._changes.add(change)
        return change.done

    # One checkpoint: cut, then write

    async def cut(
        self, splits: Iterable[RunningSplit], partitions: Collection[int] | None = None
    ) -> list[Cut]:
        """Take what is to be saved now, serialized.

        Arguments:
            splits: whose cursors.
            partitions: of these only; default: of all.

        Raises:
            HostError: a table's key or value cannot be serialized.
        """
        # First the cursors: tables may be ahead of them, never behind.
        moved: dict[int, list[tuple[RunningSplit, Checkpoint]]] = {}
        for split in splits:
            if partitions is None or split.partition in partitions:
                checkpoint = split.protocol.checkpoint()
                if checkpoint is not None:
                    moved.setdefault(split.partition, []).append((split, checkpoint))
        changes = self._changes.take(partitions)
        batches = {batch.partition: batch for batch in self.changelog.snapshot(partitions)}
        cuts = []
        for partition in sorted({*moved, *changes, *batches}):
            batch = batches.get(partition)
            ours, changed = moved.get(partition, []), changes.get(partition, [])
            saved = self._to_be_saved(ours, changed)
            tables = await encode([batch]) if batch is not None else []
            cursors = await encode([self._cursors(partition, saved)])
            cuts.append(Cut(partition, tables, cursors, ours, changed, saved, batch))
        self._measure(cuts)
        return cuts

    def _to_be_saved(
        self, moved: Iterable[tuple[RunningSplit, Checkpoint]], changes: Sequence[Change]
    ) -> dict[tuple[str, str], Saved]:
        saved: dict[tuple[str, str], Saved] = {}
        for split, checkpoint in moved:
            record = self._record(split.source, split.name)
            saved[split.source, split.name] = replace(record, cursor=checkpoint.cursor)
        for change in changes:
            key = change.source, change.split
            saved[key] = change.apply(saved.get(key) or self._record(*key))
        return saved

    def _record(self, source: str, split: str) -> Saved:
        table: Any = self._tables[source].data
        stored = table.data.get(split)
        return Saved() if stored is None else Saved.load(stored)

    def _cursors(self, partition: int, saved: Mapping[tuple[str, str], Saved]) -> Batch:
        writes: dict[str, Writes] = {}
        for (source, split), record in saved.items():
            if source not in writes:
                writes[source] = Writes(self._tables[source])
            writes[source].values[split] = record.dump(), None, None
        return Batch(partition, writes.values())

    def _measure(self, cuts: Iterable[Cut]) -> None:
        sizes = [
            len(key) + len(value or b"")
            for cut in cuts
            for part in cut.tables
            for key, value, _ in part.items
        ]
        self.changelog.measured(len(sizes), sum(sizes))

    async def write(self, cuts: list[Cut]) -> bool:
        """Write what was taken; return whether it worked, or is to be tried again.

        Raises:
            HostError: another worker has a partition, or what an agent sent was refused.
            WriteFailed: the lease was lost in the middle of a transaction: whether it was
                committed is not known, and the partitions must be given up.
        """
        if not cuts:
            return True
        if self.transactions is not None:
            await self.sends.arrived(self._may_write)
            commits = [self._commit(self.transactions, cut) for cut in cuts]
            # All of them, also when one fails: a store must know what was committed.
            for failure in await asyncio.gather(*commits, return_exceptions=True):
                if failure is not None:
                    raise failure
            return True
        try:
            await self.sends.arrived(self._may_write)
            offsets = await self._write_plainly(cuts)
        except WriteFailed as exc:
            logger.error("Checkpoint not saved, trying again: %s", exc)
            self.changelog.put_back(cut.batch for cut in cuts if cut.batch is not None)
            self._changes.put_back(change for cut in cuts for change in cut.changes)
            return False
        self._note_persisted(offsets)
        for cut in cuts:
            self._note_saved(cut)
        return True

    async def _commit(self, transactions: TransactionalWriter, cut: Cut) -> None:
        records = [*cut.tables, *cut.cursors]
        may_write = self._may_write
        offsets = await in_thread(transactions.commit, cut.partition, records, may_write)
        self._note_persisted(offsets)
        self._note_saved(cut)

    async def _write_plainly(self, cuts: list[Cut]) -> dict[TP, int]:
        tables = [part for cut in cuts for part in cut.tables]
        offsets = await in_thread(self.plain.write, tables, self._may_write)
        cursors = [part for cut in cuts for part in cut.cursors]
        await in_thread(self.plain.write, cursors, self._may_write)
        return offsets

    def _may_write(self) -> bool:
        return self.lease.is_held

    def _note_saved(self, cut: Cut) -> None:
        for split, checkpoint in cut.moved:
            split.protocol.saved(checkpoint)
        for (source, name), record in cut.saved.items():
            self._tables[source].remember(name, cut.partition, record.dump())
        for change in cut.changes:
            change.written()

    def _note_persisted(self, offsets: Mapping[TP, int]) -> None:
        """Tell the stores on disk how far their changelog is written: recovery starts there."""
        for table in self.app.tables.values():
            for tp, offset in offsets.items():
                if tp.topic == table.changelog_topic_name:
                    table.data.set_persisted_offset(tp, offset)

    # Owning partitions

    async def fence(self, partitions: Collection[int]) -> None:
        """Make sure that no earlier owner of these partitions can commit any more.

        Raises:
            ConfigurationError: the broker has no transactions worth the name.
            HostError: the broker does not let us.
        """
        if self.transactions is None or not partitions:
            return
        options = connection_options(self.app, self.kafka_options)
        await in_thread(check_transactions, options, self._exactly_once)
        await self.stop_fencing()
        stop = self._stop_fencing = threading.Event()

        def may_fence() -> bool:
            return self.lease.is_held and not stop.is_set()

        while True:
            fence = in_thread(self.transactions.fence, partitions, may_fence)
            self._fencing = asyncio.ensure_future(fence)
            try:
                await asyncio.shield(self._fencing)
                return
            except WriteFailed as exc:
                if stop.is_set():  # a rebalance ends this recovery, and begins another
                    await asyncio.Event().wait()
                logger.warning("Partitions %s: %s; trying again", sorted(partitions), exc)
                await self.lease.renewed()

    async def stop_fencing(self) -> None:
        """Partitions are given up: end what is under way, and wait for it.

        Its thread would go on and fence off whoever has them by then, perhaps ourselves.
        """
        self._stop_fencing.set()
        if self._fencing is not None:
            await asyncio.wait([self._fencing])
            if not self._fencing.cancelled():
                self._fencing.exception()  # whoever waited for it has it, or was cancelled

    def own(self, partitions: frozenset[int]) -> None:
        """Take table writes for these partitions only."""
        self.changelog.own(partitions)
        self._changes.keep(partitions)
        if self.transactions is not None:
            self.transactions.keep(partitions)

    def give_up(self) -> None:
        """Own nothing any more, and write nothing of what was not written."""
        self.own(frozenset())
        self.plain.discard()

    async def seal(self, partitions: Collection[int], others: Mapping[TP, Unsealed]) -> None:
        """End every changelog of ours with a record, not with a transaction's marker.

        A plain Faust worker waits for the record before the end of a changelog, which a marker is
        not. The last record is written again, outside of any transaction; but only if it still is
        the last one. A split with a sink writes its checkpoints by itself, and Faust the tables
        that no source writes.

        Arguments:
            partitions: those that are ours, and have been since their last record.
            others: changelogs that were only read here.

        Raises:
            WriteFailed: they were not taken in time.
        """
        if self.transactions is None:
            return
        last = {**others, **self.transactions.last}
        ours = {tp: one for tp, one in last.items() if tp.partition in partitions}
        ends = await in_thread(self._ends, list(ours))
        records = [one.last for tp, one in ours.items() if ends[tp] <= one.end]
        await in_thread(self.plain.write, records, self._may_write)
        self.transactions.last.clear()

    def _ends(self, partitions: Sequence[TP]) -> Mapping[TP, int]:
        options = connection_options(self.app, self.kafka_options)
        try:
            return end_offsets(options, partitions)
        except KafkaException as exc:
            raise WriteFailed(f"how far changelogs go is not known: {exc.args[0].str()}") from exc

    def close(self) -> None:
        """Let the producers go."""
        self.plain.close()
        if self.transactions is not None:
            self.transactions.close()

    def _new_producer(self) -> Producer:
        # A record is written while the lease is held. Should this process be halted with it, it
        # must not be sent once another worker may have written newer values.
        timeout_ms = int(1000 * (1 - LEASE_PART) * self.app.conf.broker_session_timeout)
        # Time to look whether it was halted just now, and to take the record back. Nothing waits
        # for it: a write ends with a flush.
        options = {"message.timeout.ms": timeout_ms, "linger.ms": min(_LINGER_MS, timeout_ms // 2)}
        return producer(self.app, {**options, **self.kafka_options})

    def _new_transactional_producer(self, transactional_id: str) -> Producer:
        options = {
            "transactional.id": transactional_id,
            "transaction.timeout.ms": int(1000 * _TRANSACTION_SECONDS),
            "queue.buffering.max.messages": 1_000_000,
        }
        return producer(self.app, {**options, **self.kafka_options})


async def in_thread(function: Callable[..., _T], *arguments: Any) -> _T:
    """Run a function that blocks; it finishes even when nobody waits for it any more."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)
