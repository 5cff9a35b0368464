"""What differs between stores."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import Message
from faust.stores.memory import Store as MemoryStore
from faust.streams import current_event
from faust.tables.base import Collection
from faust.types.tuples import TP

from faust_grpc import stores
from faust_grpc.stores import MemoryLoader, RocksLoader, SetLoader, store_loader

ROCKS = "rocksdb://?driver=rocksdict"


class Item(faust.Record):
    """A value with a type."""

    sku: str


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return faust.App("stores", datadir=str(tmp_path), store="memory://")


def record(key: Any, value: Any, *, offset: int = 0, partition: int = 0) -> Message:
    return Message(
        topic="changelog",
        partition=partition,
        offset=offset,
        key=json.dumps(key).encode(),
        value=None if value is None else json.dumps(value).encode(),
        headers=[],
        timestamp=(1, 0),
    )


def load(table: Collection, *messages: Message) -> Any:
    loader = store_loader(table)
    assert loader is not None
    for message in messages:
        loader.apply(TP("changelog", message.partition() or 0), [message])
    return loader


# What is loaded, and what is left to Faust


async def test_stores_we_know_have_a_loader(app: faust.App) -> None:
    assert isinstance(store_loader(app.Table("plain")), MemoryLoader)
    assert isinstance(store_loader(app.SetTable("sets")), SetLoader)
    assert isinstance(store_loader(app.Table("disk", store=ROCKS)), RocksLoader)
    assert isinstance(store_loader(app.SetTable("disk-sets", store=ROCKS)), SetLoader)


async def test_what_is_special_is_left_to_faust(app: faust.App) -> None:
    async def look(event: Any) -> None: ...

    class Theirs(MemoryStore):
        def apply_changelog_batch(self, *args: Any, **kwargs: Any) -> None: ...

    class Schema(faust.Schema):
        def compile(self, *args: Any, **kwargs: Any) -> Any: ...

    class Table(faust.Table):
        def apply_changelog_batch(self, batch: Any) -> None: ...

    stored = app.Table("stored")
    stored._data = Theirs("memory://", app, stored)
    assert store_loader(app.GlobalTable("everywhere")) is None
    assert store_loader(app.Table("watched", on_changelog_event=look)) is None
    assert store_loader(app.Table("schema", schema=Schema())) is None
    assert store_loader(Table(app, name="table")) is None
    assert store_loader(stored) is None


# Memory


async def test_values_come_out_as_faust_decodes_them(app: faust.App) -> None:
    untyped = app.Table("untyped")
    load(
        untyped,
        record("dict", {"a": [1, None]}),
        record("named", Item(sku="x").asdict() | {"__faust": {"ns": Item._options.namespace}}),
        record("null", None),
        record(["a", "pair"], 1.5),
    )
    assert dict(untyped.data) == {"dict": {"a": [1, None]}, "named": Item("x"), ("a", "pair"): 1.5}

    numbers = app.Table("numbers", key_type=int, value_type=int)
    load(numbers, record(1, 2), record("3", "4"))
    assert dict(numbers.data) == {1: 2, 3: 4}

    items = app.Table("items", value_type=Item)
    load(items, record("a", {"sku": "x"}))
    assert dict(items.data) == {"a": Item("x")}


async def test_a_windowed_key_is_hashable(app: faust.App) -> None:
    table = app.Table("windowed", default=int).tumbling(10).table
    load(table, record(["a", [0.0, 9.9]], 3))
    assert dict(table.data) == {("a", (0.0, 9.9)): 3}


async def test_a_tombstone_deletes_and_the_key_may_come_again(app: faust.App) -> None:
    """With a value that is false, too: Faust deletes it again when both are in one batch."""
    table = app.Table("counts")
    loader: Any = store_loader(table)
    loader.apply(TP("changelog", 0), [record("a", 1), record("a", None), record("a", 0)])
    loader.apply(TP("changelog", 0), [record("b", 1), record("b", None)])
    assert dict(table.data) == {"a": 0}
    assert stores.key_partitions(table) == {"a": 0}


async def test_what_cannot_be_decoded_is_told_and_passed_over(
    app: faust.App, caplog: pytest.LogCaptureFixture
) -> None:
    table = app.Table("items", value_type=Item)
    with caplog.at_level(logging.ERROR):
        load(table, record("a", {"sku": "x"}), record("b", 5, offset=77), record("c", {"sku": "y"}))
    assert dict(table.data) == {"a": Item("x"), "c": Item("y")}
    assert "record 77 of partition 0" in caplog.text
    assert "'items'" in caplog.text


async def test_purging_keeps_the_partitions_that_are_kept(app: faust.App) -> None:
    table = app.Table("counts")
    loader = load(table, record("a", 1, partition=0), record("b", 2, partition=1))
    loader.purge({1})
    assert dict(table.data) == {"b": 2}
    assert stores.key_partitions(table) == {"b": 1}


# Set tables


async def test_operations_on_sets_are_replayed(app: faust.App) -> None:
    table = app.SetTable("sets")
    add, discard, update = 1, 2, 15
    loader = load(
        table,
        record([add, "a"], "x", partition=0),
        record([update, "a"], [["y", "z"], ["x"]], partition=0),
        record([discard, "a"], "z", partition=0),
        record([add, "b"], "x", partition=1),
    )
    assert {key: set(found) for key, found in table.data.data.items()} == {"a": {"y"}, "b": {"x"}}
    loader.purge({0})
    assert set(table.data.data) == {"a"}


async def test_a_set_of_unknown_age_begins_anew(app: faust.App) -> None:
    """A standby's sets are in memory, but which partition they belong to nobody wrote down."""
    table = app.SetTable("sets")
    table.data["a"].data.add("old")
    load(table, record([1, "a"], "x"), record([1, "a"], "y"))
    assert table.data["a"].data == {"x", "y"}


async def test_sets_on_disk_have_what_was_recovered(app: faust.App) -> None:
    """Faust forgets it: its next recovery begins behind what the store does not have."""
    table = app.SetTable("sets", store=ROCKS)
    load(table, record([1, "a"], "x", offset=3), record([1, "a"], "y", offset=4))
    assert current_event() is None
    assert dict(table.data.storage.items()).keys() == set()  # not ours to see yet: not assigned
    storage: Any = table.data.storage
    raw = storage._db_for_partition(0).get(b'"a"')
    assert sorted(json.loads(raw)) == ["x", "y"]
    assert table.persisted_offset(TP("changelog", 0)) == 4

    loader = load(table)
    loader.purge(())
    assert table.data.data == {}
    load(table, record([2, "a"], "x", offset=5))
    assert table.data["a"].data == {"y"}


# RocksDB


async def test_rocksdb_gets_bytes_and_offsets(app: faust.App) -> None:
    table: Any = app.Table("disk", store=ROCKS)
    load(table, record("a", 1, offset=7), record("b", 2, offset=8), record("a", None, offset=9))
    database = table.data._db_for_partition(0)
    assert database.get(b'"a"') is None
    assert database.get(b'"b"') == b"2"
    assert table.persisted_offset(TP("changelog", 0)) == 9


@pytest.mark.parametrize("kind", ["Table", "SetTable"])
async def test_an_unclean_store_is_wiped(app: faust.App, kind: str) -> None:
    table: Any = getattr(app, kind)("disk", store=ROCKS)
    rows = [record([1, "a"], "x", offset=5), record([1, "b"], "x", offset=6, partition=1)]
    load(table, *rows)
    store = table.data if kind == "Table" else table.data.storage
    store._key_index[b'"a"'] = 0

    assert not stores.is_marked_open(table, 0)
    stores.mark_open(table, 0)
    assert stores.is_marked_open(table, 0)
    stores.wipe(table, 0)
    stores.mark_closed(table, 0)

    assert not stores.is_marked_open(table, 0)
    assert table.persisted_offset(TP("changelog", 0)) is None
    assert table.persisted_offset(TP("changelog", 1)) == 6
    assert not store._key_index


def test_stores_in_memory_have_no_marks(app: faust.App) -> None:
    table = app.Table("counts")
    stores.mark_open(table, 0)
    assert not stores.is_marked_open(table, 0)
    stores.wipe(table, 0)
    stores.mark_closed(table, 0)
    assert not Path(app.conf.tabledir).exists()
