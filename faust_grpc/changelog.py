"""The write-behind changelog: table records and checkpoints of a source's events.

Faust sends every table write through its producer at once; that costs more than all the rest of
an event's way. Here a write only marks its key as dirty, and the last value of each key is written
once per checkpoint, before the checkpoint: a saved cursor is never ahead of the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from faust.tables.base import Collection
from faust.tables.objects import ChangeloggedObjectManager

from .exceptions import HostError, PartitionNotOwned
from .serializing import TableSerializer

__all__ = ["Batch", "Changelog", "Record", "Unsealed", "Write", "encode"]

#: Records serialized before the event loop gets its turn: about a millisecond.
_SLICE = 100


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
    #: By the table's identity (tables compare by their contents) and the key.
    dirty: Mapping[tuple[int, Any], Write]
    #: Set tables log operations, not values: every one is kept.
    operations: list[Write]

    def writes(self) -> Iterable[Write]:
        """Yield all of them."""
        yield from self.dirty.values()
        yield from self.operations

    def __len__(self) -> int:
        return len(self.dirty) + len(self.operations)


class Unsealed(NamedTuple):
    """A changelog partition that ends in a transaction's marker.

    Arguments:
        record: the last one.
        end: the offset behind the marker; there may be more by now.
    """

    record: Record
    end: int


class Record(NamedTuple):
    """One serialized changelog record."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: Any


class Changelog:
    """Dirty keys of every table, by partition.

    Table writes are taken on the event loop.

    Arguments:
        most_keys: dirty keys (and operations of set tables) at which :attr:`is_full` is set.
        most_bytes: the same for what they take in the topic, estimated by the last ones.
    """

    def __init__(self, most_keys: int = 100_000, most_bytes: int = 64 * 1024 * 1024) -> None:
        self._most_keys = most_keys
        self._most_bytes = most_bytes
        #: The partitions whose writes are taken.
        self.owned: frozenset[int] = frozenset()
        self._dirty: dict[int, dict[tuple[int, Any], Write]] = {}
        self._operations: dict[int, list[Write]] = {}
        self._limit = most_keys
        self._room = most_keys
        #: Set at the bound: it is time to write.
        self.is_full = asyncio.Event()
        #: Called with a table before the first write of it is taken.
        self.first_written: Callable[[Collection], None] = _nobody
        #: By identity: each table, and whether it logs operations instead of values.
        self._tables: dict[int, tuple[Collection, bool]] = {}

    @property
    def tables(self) -> list[Collection]:
        """The tables that a source's events have written in this process."""
        return [table for table, _ in self._tables.values()]

    def bound(self, most_keys: int, most_bytes: int) -> None:
        """Set the bounds."""
        self._most_keys, self._most_bytes = most_keys, most_bytes
        self._limit = self._room = most_keys

    def measured(self, records: int, size_bytes: int) -> None:
        """Learn how large records are: with so many there were so many bytes."""
        if records:
            average = max(1, size_bytes // records)
            self._limit = max(1, min(self._most_keys, self._most_bytes // average))

    def own(self, partitions: Iterable[int]) -> None:
        """Take writes for these partitions only; what others had not written is dropped.

        A partition that is given up was either written before, or its new owner reads the events
        behind the checkpoint again.
        """
        self.owned = frozenset(partitions)
        for partition in set(self._dirty) - self.owned:
            del self._dirty[partition]
        for partition in set(self._operations) - self.owned:
            del self._operations[partition]
        self._count()

    def add(self, partition: int, write: Write) -> None:
        """Mark a key as dirty.

        Raises:
            PartitionNotOwned: this worker does not own the partition (any more).
        """
        if partition not in self.owned:
            raise PartitionNotOwned(
                f"table {write.table.name!r}: this worker does not own partition {partition} "
                "(any more); its owner will process the event again"
            )
        identity = id(write.table)
        known = self._tables.get(identity) or self._meet(write.table)
        if known[1]:
            self._operations.setdefault(partition, []).append(write)
        else:
            dirty = self._dirty.get(partition)
            if dirty is None:
                dirty = self._dirty[partition] = {}
            before = len(dirty)
            dirty[identity, write.key] = write
            if len(dirty) == before:
                return
        self._room -= 1
        if self._room <= 0:
            self.is_full.set()

    def _meet(self, table: Collection) -> tuple[Collection, bool]:
        known = table, isinstance(table.data, ChangeloggedObjectManager)
        self._tables[id(table)] = known
        self.first_written(table)
        return known

    def snapshot(self, partitions: Iterable[int] | None = None) -> list[Batch]:
        """Take what is dirty now.

        Arguments:
            partitions: of these only; default: of all.
        """
        if partitions is None:
            partitions = {*self._dirty, *self._operations}
        batches = [
            Batch(partition, self._dirty.pop(partition, {}), self._operations.pop(partition, []))
            for partition in sorted(partitions)
        ]
        self._count()
        return [batch for batch in batches if len(batch)]

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Make a batch dirty again that could not be written; newer values win."""
        for batch in batches:
            if batch.partition not in self.owned:
                continue
            newer = self._dirty.get(batch.partition, {})
            self._dirty[batch.partition] = {**batch.dirty, **newer}
            self._operations.setdefault(batch.partition, [])[:0] = batch.operations
        self._count()

    def _count(self) -> None:
        dirty = sum(map(len, self._dirty.values())) + sum(map(len, self._operations.values()))
        self._room = self._limit - dirty
        if self._room > 0:
            self.is_full.clear()
        else:
            self.is_full.set()


def _nobody(_table: Collection) -> None:
    """For a changelog that nobody watches."""


async def encode(batches: Iterable[Batch]) -> list[Record]:
    """Serialize batches as Faust does, on the event loop and in slices.

    Not in a thread: an agent may change a value in place while it is being serialized. What it
    changes between two slices is written too; tables may be ahead of the cursors, never behind.

    Raises:
        HostError: a key or value cannot be serialized; the text names the table.
    """
    records: list[Record] = []
    # By identity: tables compare by their contents.
    serializers: dict[int, TableSerializer] = {}
    for batch in batches:
        for write in batch.writes():
            serializer = serializers.get(id(write.table))
            if serializer is None:
                serializer = serializers[id(write.table)] = TableSerializer(write.table)
            records.append(_encoded(serializer, batch.partition, write))
            if not len(records) % _SLICE:
                await asyncio.sleep(0)
    return records


def _encoded(serializer: TableSerializer, partition: int, write: Write) -> Record:
    table, *rest = write
    try:
        key, value, headers = serializer(*rest)
    except Exception as exc:  # any of the user's codecs
        raise HostError(
            f"table {table.name!r}: key {write.key!r} or its value cannot be serialized: {exc!r}"
        ) from exc
    return Record(serializer.topic_name, partition, key, value, headers)
