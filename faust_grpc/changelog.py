"""The write-behind changelog: table records and checkpoints of a source's events.

Faust sends every table write through its producer at once; that costs more than all the rest of
an event's way. Here a write only marks its key as dirty, and the last value of each key is written
once per checkpoint, before the checkpoint: a saved cursor is never ahead of the tables.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple, TypeAlias

from faust.tables.base import Collection as Table
from faust.tables.objects import ChangeloggedObjectManager

from .exceptions import HostError, PartitionNotOwned
from .serializing import Serialized, TableSerializer

__all__ = ["Batch", "Changelog", "Records", "Unsealed", "Value", "Writes", "encode"]

#: Records serialized before the event loop gets its turn: about a millisecond.
_SLICE = 100

#: A value, the serializer of its key, and its own, as Faust's ``send_changelog`` gets them. Here
#: and in :class:`Records` plain tuples: there is one for each write, and the garbage collector
#: forgets those that hold nothing it has to follow.
Value: TypeAlias = "tuple[Any, Any, Any]"


class Writes:
    """What is to be written of one table, for one partition.

    Arguments:
        table: the table.

    Attributes:
        values: the last value of each key.
        operations: set tables log operations, not values: every one is kept, in order.
    """

    __slots__ = ("operations", "table", "values")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.values: dict[Any, Value] = {}
        self.operations: list[tuple[Any, Value]] = []

    def __len__(self) -> int:
        return len(self.values) + len(self.operations)

    def items(self) -> Iterable[tuple[Any, Value]]:
        """Yield keys with what is to be written of them."""
        yield from self.values.items()
        yield from self.operations

    def put_back(self, older: Writes) -> None:
        """Add what came before these; newer values win."""
        self.values = {**older.values, **self.values}
        self.operations = older.operations + self.operations


class Batch(NamedTuple):
    """What is to be written for one partition, by table."""

    partition: int
    writes: Collection[Writes]


class Records(NamedTuple):
    """Serialized records for one partition of a topic, in order."""

    topic: str
    partition: int
    items: list[Serialized]


class Unsealed(NamedTuple):
    """A changelog partition that ends in a transaction's marker.

    Arguments:
        last: its last record.
        end: the offset behind the marker; there may be more by now.
    """

    last: Records
    end: int


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
        #: By partition and the table's identity (tables compare by their contents).
        self._dirty: dict[int, dict[int, Writes]] = {}
        self._limit = most_keys
        self._room = most_keys
        #: Set at the bound: it is time to write.
        self.is_full = asyncio.Event()
        #: Called with a table before the first write of it is taken.
        self.first_written: Callable[[Table], None] = _nobody
        #: By identity: each table, and whether it logs operations instead of values.
        self._tables: dict[int, tuple[Table, bool]] = {}

    @property
    def tables(self) -> list[Table]:
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
        self._count()

    def add(self, table: Table, partition: int, key: Any, value: Value) -> None:
        """Mark a key as dirty.

        Raises:
            PartitionNotOwned: this worker does not own the partition (any more).
        """
        identity = id(table)
        try:
            writes = self._dirty[partition][identity]
        except KeyError:
            writes = self._begin(table, partition)
        if self._tables[identity][1]:
            writes.operations.append((key, value))
        else:
            values = writes.values
            before = len(values)
            values[key] = value
            if len(values) == before:
                return
        self._room -= 1
        if self._room <= 0:
            self.is_full.set()

    def _begin(self, table: Table, partition: int) -> Writes:
        if partition not in self.owned:
            raise PartitionNotOwned(
                f"table {table.name!r}: this worker does not own partition {partition} "
                "(any more); its owner will process the event again"
            )
        if id(table) not in self._tables:
            logs_operations = isinstance(table.data, ChangeloggedObjectManager)
            self._tables[id(table)] = table, logs_operations
            self.first_written(table)
        return self._dirty.setdefault(partition, {}).setdefault(id(table), Writes(table))

    def snapshot(self, partitions: Iterable[int] | None = None) -> list[Batch]:
        """Take what is dirty now.

        Arguments:
            partitions: of these only; default: of all.
        """
        taken = sorted(self._dirty if partitions is None else self._dirty.keys() & partitions)
        batches = [Batch(partition, self._dirty.pop(partition).values()) for partition in taken]
        self._count()
        return batches

    def put_back(self, batches: Iterable[Batch]) -> None:
        """Make a batch dirty again that could not be written; newer values win."""
        for batch in batches:
            if batch.partition not in self.owned:
                continue
            for writes in batch.writes:
                self._begin(writes.table, batch.partition).put_back(writes)
        self._count()

    def _count(self) -> None:
        dirty = sum(len(writes) for of in self._dirty.values() for writes in of.values())
        self._room = self._limit - dirty
        if self._room > 0:
            self.is_full.clear()
        else:
            self.is_full.set()


def _nobody(_table: Table) -> None:
    """For a changelog that nobody watches."""


async def encode(batches: Iterable[Batch]) -> list[Records]:
    """Serialize batches as Faust does, on the event loop and in slices.

    Not in a thread: an agent may change a value in place while it is being serialized. What it
    changes between two slices is written too; tables may be ahead of the cursors, never behind.

    Raises:
        HostError: a key or value cannot be serialized; the text names the table.
    """
    # By identity: tables compare by their contents.
    serializers: dict[int, TableSerializer] = {}
    encoded: list[Records] = []
    for batch in batches:
        for writes in batch.writes:
            table = writes.table
            serializer = serializers.setdefault(id(table), TableSerializer(table))
            items = await _serialized(writes, serializer)
            encoded.append(Records(serializer.topic_name, batch.partition, items))
    return encoded


async def _serialized(writes: Writes, serializer: TableSerializer) -> list[Serialized]:
    items: list[Serialized] = []
    key: Any = None
    try:
        for key, (value, key_serializer, value_serializer) in writes.items():
            items.append(serializer(key, value, key_serializer, value_serializer))
            if not len(items) % _SLICE:
                await asyncio.sleep(0)
    except Exception as exc:  # any of the user's codecs
        raise HostError(
            f"table {writes.table.name!r}: key {key!r} or its value cannot be serialized: {exc!r}"
        ) from exc
    return items
