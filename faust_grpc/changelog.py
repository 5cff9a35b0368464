"""The write-behind changelog: table records and checkpoints of a source's events.

Faust sends every table write through its producer at once; that costs more than all the rest of
an event's way. Here a write only marks its key as dirty, and the last value of each key is written
once per checkpoint, before the checkpoint: a saved cursor is never ahead of the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaException, Message, Producer
from faust.tables.base import Collection
from faust.tables.objects import ChangeloggedObjectManager
from faust.types.tuples import TP

from .exceptions import HostError, PartitionNotOwned

__all__ = ["Batch", "Changelog", "Record", "Write", "WriteFailed", "encode"]

#: Records serialized before the event loop gets its turn: about a millisecond.
_SLICE = 100


class WriteFailed(HostError):
    """The broker did not take a batch in time; nothing was lost, it is tried again."""


class Write(NamedTuple):
    """One table write, as Faust's ``send_changelog`` is called."""

    table: Collection
    key: Any
    value: Any
    key_serializer: Any
    value_serializer: Any


class Batch(NamedTuple):
    """What is to be written for one partition, in order."""

    partition: int
    dirty: Mapping[tuple[Collection, Any], Write]
    #: Set tables log operations, not values: every one is kept.
    operations: list[Write]

    def writes(self) -> Iterable[Write]:
        """Yield all of them."""
        yield from self.dirty.values()
        yield from self.operations

    def __len__(self) -> int:
        return len(self.dirty) + len(self.operations)


class Record(NamedTuple):
    """One serialized changelog record."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: Any


class Changelog:
    """Dirty keys of every table, by partition, and the producer that writes them.

    Table writes are taken on the event loop. Records are serialized exactly as Faust does it, so
    that Faust's recovery, standbys and tools read them.

    Arguments:
        producer: makes the librdkafka producer when the first batch is written.
        timeout_seconds: how long the broker may take for a batch.
    """

    def __init__(self, producer: Callable[[], Producer], *, timeout_seconds: float = 20.0) -> None:
        self._make_producer = producer
        self._producer: Producer | None = None
        self._timeout = timeout_seconds
        self._owned: frozenset[int] = frozenset()
        self._dirty: dict[int, dict[tuple[Collection, Any], Write]] = {}
        self._operations: dict[int, list[Write]] = {}

    def own(self, partitions: Iterable[int]) -> None:
        """Take writes for these partitions only; what others had not written is dropped.

        A partition that is given up was either written before, or its new owner reads the events
        behind the checkpoint again.
        """
        self._owned = frozenset(partitions)
        for partition in set(self._dirty) - self._owned:
            del self._dirty[partition]
        for partition in set(self._operations) - self._owned:
            del self._operations[partition]

    def add(self, partition: int, write: Write) -> None:
        """Mark a key as dirty.

        Raises:
            PartitionNotOwned: this worker does not own the partition (any more).
        """
        if partition not in self._owned:
            raise PartitionNotOwned(
                f"table {write.table.name!r}: this worker does not own partition {partition} "
                "(any more); its owner will process the event again"
            )
        if isinstance(write.table.data, ChangeloggedObjectManager):
            self._operations.setdefault(partition, []).append(write)
        else:
            self._dirty.setdefault(partition, {})[write.table, write.key] = write

    def snapshot(self) -> list[Batch]:
        """Take what is dirty now."""
        dirty, self._dirty = self._dirty, {}
        operations, self._operations = self._operations, {}
        return [
            Batch(partition, dirty.get(partition, {}), operations.get(partition, []))
            for partition in sorted({*dirty, *operations})
        ]

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Make a batch dirty again that could not be written; newer values win."""
        for batch in batches:
            if batch.partition not in self._owned:
                continue
            newer = self._dirty.get(batch.partition, {})
            self._dirty[batch.partition] = {**batch.dirty, **newer}
            self._operations.setdefault(batch.partition, [])[:0] = batch.operations

    def write(
        self, records: Iterable[Record], may_write: Callable[[], bool] = lambda: True
    ) -> dict[TP, int]:
        """Write records and wait until the broker has them all. Blocks: runs in a thread.

        Arguments:
            records: encoded table writes, in order.
            may_write: asked before each record: a process that was halted in the middle must not
                go on, its partitions are with another worker.

        Returns:
            The offset of the last record per changelog partition.

        Raises:
            WriteFailed: some record was refused, or not taken in time.
        """
        if self._producer is None:
            self._producer = self._make_producer()
        producer = self._producer
        failures: list[str] = []
        offsets: dict[TP, int] = {}

        def reported(error: Any, message: Message) -> None:
            if error is not None:
                failures.append(f"{message.topic()}: {error}")
            else:
                tp = TP(str(message.topic()), int(message.partition() or 0))
                offsets[tp] = max(offsets.get(tp, -1), int(message.offset() or 0))

        try:
            for record in records:
                if not may_write():
                    raise WriteFailed("no heartbeat was answered for too long")
                _produce(producer, record, reported)
            waiting = producer.flush(self._timeout)
        except KafkaException as exc:
            raise WriteFailed(f"changelog write failed: {exc}") from exc
        if waiting or failures:
            first = failures[0] if failures else f"{waiting} records were not taken"
            raise WriteFailed(f"changelog write failed: {first} in {self._timeout:g} s")
        return offsets

    def discard(self) -> None:
        """Forget what waits in the producer: its partitions are given up."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)

    def close(self) -> None:
        """Let the producer go."""
        self._producer = None


async def encode(batches: Iterable[Batch]) -> list[Record]:
    """Serialize batches as Faust does, on the event loop and in slices.

    Not in a thread: an agent may change a value in place while it is being serialized. What it
    changes between two slices is written too; tables may be ahead of the cursors, never behind.

    Raises:
        HostError: a key or value cannot be serialized; the text names the table.
    """
    records: list[Record] = []
    for batch in batches:
        for write in batch.writes():
            records.append(_encoded(batch.partition, write))
            if not len(records) % _SLICE:
                await asyncio.sleep(0)
    return records


def _encoded(partition: int, write: Write) -> Record:
    table = write.table
    topic: Any = table.changelog_topic  # its interface lacks the headers argument
    try:
        key, headers = topic.prepare_key(
            write.key, write.key_serializer or table.key_serializer, None, {}
        )
        value, headers = topic.prepare_value(
            write.value, write.value_serializer or table.value_serializer, None, headers
        )
    except Exception as exc:  # any of the user's codecs
        raise HostError(
            f"table {table.name!r}: key {write.key!r} or its value cannot be serialized: {exc!r}"
        ) from exc
    return Record(topic.get_topic_name(), partition, key, value, list(headers.items()) or None)


def _produce(producer: Producer, record: Record, reported: Callable[..., None]) -> None:
    while True:
        try:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                headers=record.headers,
                on_delivery=reported,
            )
            return
        except BufferError:
            producer.poll(0.1)  # its queue is full: let it send some
