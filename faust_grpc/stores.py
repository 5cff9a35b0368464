"""What differs between stores: purging, persisted offsets, applying changelog records.

Records are decoded exactly as Faust does it. What this module does not know (stores, tables or
schemas that do it in a way of their own) is left to Faust's recovery.
"""

from __future__ import annotations

import gc
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from collections.abc import Collection as AnyCollection
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Message
from faust.exceptions import DecodeError
from faust.serializers.codecs import get_codec
from faust.serializers.codecs import json as JsonCodec
from faust.serializers.registry import Registry
from faust.serializers.schemas import Schema
from faust.stores.memory import Store as MemoryStore
from faust.stores.rocksdb import Store as RocksStore
from faust.tables.base import Collection
from faust.tables.objects import ChangeloggedObjectManager
from faust.types.tuples import TP, ConsumerMessage
from faust.utils.json import loads as loads_json

__all__ = [
    "StoreLoader",
    "is_marked_open",
    "key_partitions",
    "mark_closed",
    "mark_open",
    "store_loader",
    "wipe",
]

logger = logging.getLogger(__name__)

#: Bytes of a key or value, and the message it comes from, to what Faust would make of it.
Decode = Callable[[Any, Message], Any]


class StoreLoader(ABC):
    """Loads one table's changelog into its store. Used by one thread at a time.

    Arguments:
        table: the table.
    """

    def __init__(self, table: Collection) -> None:
        self.table = table

    @abstractmethod
    def purge(self, keep: AnyCollection[int]) -> None:
        """Forget what is in memory of all partitions but these."""

    @abstractmethod
    def apply(self, tp: TP, messages: Sequence[Message]) -> None:
        """Apply records of one partition, in order."""

    def persisted(self, tp: TP) -> int | None:
        """Return the offset of the last record that is in the store on disk."""
        return self.table.persisted_offset(tp)

    def finish(self, tp: TP, offset: int) -> None:
        """Note that the store has everything up to an offset."""
        self.table.data.set_persisted_offset(tp, offset)


class MemoryLoader(StoreLoader):
    """Values in a dict. Every assignment is atomic: views may read meanwhile."""

    def __init__(self, table: Collection, decoders: tuple[Decode, Decode]) -> None:
        super().__init__(table)
        self._decode_key, self._decode_value = decoders
        self._store: Any = table.data

    def purge(self, keep: AnyCollection[int]) -> None:
        store = self._store
        for key in _keys_of_others(store._key_partition, keep):
            store.data.pop(key, None)

    def apply(self, tp: TP, messages: Sequence[Message]) -> None:
        data, partitions = self._store.data, self._store._key_partition
        decode_key, decode_value = self._decode_key, self._decode_value
        to_key, to_value = self.table._to_key, self.table._to_value
        partition = tp.partition
        for message in messages:
            raw = message.value()
            try:
                key = to_key(decode_key(message.key(), message))
                if raw is None:
                    data.pop(key, None)
                    partitions.pop(key, None)
                else:
                    data[key] = to_value(decode_value(raw, message))
                    partitions[key] = partition
            except DecodeError as exc:
                _undecodable(self.table, message, exc)


class RocksLoader(StoreLoader):
    """Bytes into RocksDB, as they are: by Faust's own method."""

    def purge(self, keep: AnyCollection[int]) -> None:
        pass  # each partition is a folder of its own, which Faust closes when it is revoked

    def apply(self, tp: TP, messages: Sequence[Message]) -> None:
        entries = [Entry(None, None, faust_message(tp, message)) for message in messages]
        self.table.apply_changelog_batch(entries)  # type: ignore[arg-type]  # all that it reads


class SetLoader(StoreLoader):
    """Operations on the sets of a set table, which are objects in memory.

    Faust writes their contents to the store beneath when an event changes them, and reads them
    back when a recovery is over; what the recovery itself changed it forgets to write.
    """

    def __init__(self, table: Collection, decoders: tuple[Decode, Decode]) -> None:
        super().__init__(table)
        self._decode_key, self._decode_value = decoders
        self._manager: Any = table.data
        self._partitions = key_partitions(table)

    def purge(self, keep: AnyCollection[int]) -> None:
        if self._partitions is None:
            self._manager.data.clear()  # all of it is on disk
            return
        for key in _keys_of_others(self._partitions, keep):
            self._manager.data.pop(key, None)
            self._manager.storage.data.pop(key, None)

    def apply(self, tp: TP, messages: Sequence[Message]) -> None:
        touched = {}
        for message in messages:
            try:
                operation, key = self._decode_key(message.key(), message)
                key = self.table._to_key(key)
                raw = message.value()
                value = None if raw is None else self._decode_value(raw, message)
            except DecodeError as exc:
                _undecodable(self.table, message, exc)
                continue
            found = self._set_of(key, tp.partition)
            found.apply_changelog_event(operation, self.table._to_value(value))
            touched[key] = found
        if self._partitions is None and messages:
            self._store(tp, touched, int(messages[-1].offset() or 0))

    def _set_of(self, key: Any, partition: int) -> Any:
        manager, partitions = self._manager, self._partitions
        if partitions is not None:
            if key not in partitions:  # what is there nobody knows the age of: a standby's
                manager.data.pop(key, None)
                partitions[key] = partition
        elif key not in manager.data:
            storage = manager.storage
            raw = storage._db_for_partition(partition).get(storage._encode_key(key))
            if raw is not None:
                manager[key].sync_from_storage(storage._decode_value(raw))
        return manager[key]

    def _store(self, tp: TP, touched: dict[Any, Any], offset: int) -> None:
        storage = self._manager.storage
        database = storage._db_for_partition(tp.partition)
        for key, found in touched.items():
            database.put(storage._encode_key(key), storage._encode_value(found.as_stored_value()))
        storage.set_persisted_offset(tp, offset)


class Entry(NamedTuple):
    """What Faust reads of a changelog event."""

    key: Any
    value: Any
    message: ConsumerMessage


def store_loader(table: Collection) -> StoreLoader | None:
    """Return what loads a table; ``None`` if it must be left to Faust.

    Left are global tables, tables whose author looks at every changelog event, and stores, tables
    and schemas that override how a changelog is read.
    """
    if table.is_global or table._on_changelog_event is not None:
        return None
    own = type(table)
    if (
        own.apply_changelog_batch is not Collection.apply_changelog_batch
        or own.on_changelog_event is not Collection.on_changelog_event
    ):
        return None
    store: Any = table.data
    if isinstance(store, RocksStore):
        return RocksLoader(table)
    decoders = _decoders(table)
    if decoders is None:
        return None
    if type(store).apply_changelog_batch is MemoryStore.apply_changelog_batch:
        return MemoryLoader(table, decoders)
    objects = ChangeloggedObjectManager.apply_changelog_batch
    if type(store).apply_changelog_batch is objects and isinstance(
        store.storage, (MemoryStore, RocksStore)
    ):
        return SetLoader(table, decoders)
    return None


def key_partitions(table: Collection) -> MutableMapping[Any, int] | None:
    """Return the partition of each key of a store in memory; ``None`` for other stores.

    Faust itself enters only keys that it recovers. Touches ``_key_partition``.
    """
    store: Any = table.data
    if isinstance(store, ChangeloggedObjectManager):
        store = store.storage
    return store._key_partition if isinstance(store, MemoryStore) else None


def faust_message(tp: TP, message: Message) -> ConsumerMessage:
    """Return a message as Faust's consumer makes it."""
    kind, milliseconds = message.timestamp()
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        int(message.offset() or 0),
        milliseconds / 1000.0,
        kind,
        message.headers() or (),  # type: ignore[arg-type]  # confluent_kafka states it too widely
        message.key(),
        message.value(),
        None,
        tp=tp,
    )


# Decoding, as Faust's Schema and Registry do it


def _decoders(table: Collection) -> tuple[Decode, Decode] | None:
    """Return how keys and values of a table's changelog are decoded; ``None``: Faust only knows."""
    schema: Any = table.changelog_topic.schema
    kind = type(schema)
    if kind.compile is not Schema.compile or kind.decode is not Schema.decode:
        return None
    registry: Any = table.app.serializers
    app = table.app

    def schema_key(_raw: Any, message: Message) -> Any:
        return schema.loads_key(app, _as_faust(message), loads=registry.loads_key)

    def schema_value(_raw: Any, message: Message) -> Any:
        return schema.loads_value(app, _as_faust(message), loads=registry.loads_value)

    plain = type(registry) is Registry
    key: Decode = schema_key
    value: Decode = schema_value
    if plain and kind.loads_key is Schema.loads_key:
        serializer = schema.key_serializer or registry.key_serializer
        key = _decode(schema.key_type, serializer, registry.loads_key)
    if plain and kind.loads_value is Schema.loads_value:
        serializer = schema.value_serializer or registry.value_serializer
        value = _decode(schema.value_type, serializer, registry.loads_value)
    return key, value


def _as_faust(message: Message) -> ConsumerMessage:
    return faust_message(TP(str(message.topic()), int(message.partition() or 0)), message)


def _decode(kind: Any, serializer: Any, loads: Callable[..., Any]) -> Decode:
    """Return a decoder of one type: JSON without detours, others by Faust's registry."""

    def by_registry(raw: Any, _message: Message) -> Any:
        return loads(kind, raw, serializer=serializer)

    codec = get_codec(serializer) if serializer else None
    if type(codec) is not JsonCodec or len(codec.nodes) != 1 or kind not in (None, int, str):
        return by_registry
    # These come out of Faust's registry as they came out of JSON; others (Records written with
    # their name, text for an int, a null) go through it.
    simple: tuple[type, ...] = (str, int, float, bool, list) if kind is None else (kind,)
    json = loads_json

    def by_json(raw: Any, message: Message) -> Any:
        try:
            value = json(raw)
        except (TypeError, ValueError):
            return by_registry(raw, message)
        return value if type(value) in simple else by_registry(raw, message)

    return by_json


def _undecodable(table: Collection, message: Message, error: Exception) -> None:
    logger.error(
        "Table %r: record %s of partition %s cannot be decoded and is passed over: %s",
        table.name,
        message.offset(),
        message.partition(),
        error,
    )


def _keys_of_others(
    partitions: MutableMapping[Any, int], keep: AnyCollection[int]
) -> Iterable[Any]:
    """Take the keys of all partitions but some out of a map, and return them."""
    others = [key for key, partition in partitions.items() if partition not in keep]
    for key in others:
        del partitions[key]
    return others


# Stores on disk, exactly once: a store that was not closed in order is ahead of its changelog


def mark_open(table: Collection, partition: int) -> None:
    """Note on disk that a partition's store is being written; nothing for stores in memory."""
    if _rocks(table) is not None:
        marker = _marker(table, partition)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def mark_closed(table: Collection, partition: int) -> None:
    """Note that a partition's store is as its changelog says: all is committed."""
    _marker(table, partition).unlink(missing_ok=True)


def is_marked_open(table: Collection, partition: int) -> bool:
    """Return whether a partition's store was left without :func:`mark_closed`."""
    return _rocks(table) is not None and _marker(table, partition).exists()


def wipe(table: Collection, partition: int) -> None:
    """Delete a partition's store on disk; it is recovered from its changelog.

    Touches ``_dbs``, ``_key_index`` and ``partition_path`` of Faust's RocksDB store.
    """
    store = _rocks(table)
    if store is None:
        return
    database = store._dbs.pop(partition, None)
    if hasattr(database, "close"):
        database.close()
    del database
    gc.collect()  # the other driver closes only so
    store._key_index.clear()
    if isinstance(table.data, ChangeloggedObjectManager):
        table.data.data.clear()
    shutil.rmtree(store.partition_path(partition), ignore_errors=True)
    logger.info("Table %r: the store of partition %d was not closed: wiped", table.name, partition)


def _rocks(table: Collection) -> Any:
    store: Any = table.data
    if isinstance(store, ChangeloggedObjectManager):
        store = store.storage
    return store if isinstance(store, RocksStore) else None


def _marker(table: Collection, partition: int) -> Path:
    return Path(table.app.conf.tabledir) / f"{table.name}-{partition}.open"
