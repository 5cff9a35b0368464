"""Dirty keys: what is written once, what is kept, and when there are too many."""

from __future__ import annotations

from typing import Any

import faust
import pytest

from faust_grpc.changelog import Changelog, encode
from faust_grpc.exceptions import HostError, PartitionNotOwned


@pytest.fixture
def app() -> faust.App:
    return faust.App("changelog", broker="kafka://127.0.0.1:1", store="memory://")


def add(changelog: Changelog, table: Any, partition: int, key: Any, value: Any) -> None:
    changelog.add(table, partition, key, (value, None, None))


async def test_the_last_value_of_a_key_is_written_once(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog()
    changelog.own([0, 1])
    for value in (1, 2, 3):
        add(changelog, table, 0, "a", value)
    add(changelog, table, 1, "b", 7)
    batches = changelog.snapshot()
    assert [batch.partition for batch in batches] == [0, 1]
    records = await encode(batches)
    assert [(part.partition, part.items) for part in records] == [
        (0, [(b'"a"', b"3", None)]),
        (1, [(b'"b"', b"7", None)]),
    ]
    assert changelog.snapshot() == []


def test_some_partitions_are_taken_and_others_stay(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog()
    changelog.own([0, 1])
    add(changelog, table, 0, "a", 1)
    add(changelog, table, 1, "b", 1)
    assert [batch.partition for batch in changelog.snapshot({0})] == [0]
    assert [batch.partition for batch in changelog.snapshot()] == [1]


def test_what_was_not_written_is_dirty_again_and_newer_values_win(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog()
    changelog.own([0])
    add(changelog, table, 0, "a", 1)
    add(changelog, table, 0, "b", 1)
    batches = changelog.snapshot()
    add(changelog, table, 0, "a", 2)
    changelog.put_back(batches)
    (batch,) = changelog.snapshot()
    (writes,) = batch.writes
    assert {key: value for key, (value, _, _) in writes.items()} == {"a": 2, "b": 1}


def test_partitions_that_are_given_up_are_dropped(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog()
    changelog.own([0, 1])
    add(changelog, table, 0, "a", 1)
    batches = changelog.snapshot()
    changelog.own([1])
    changelog.put_back(batches)
    assert changelog.snapshot() == []
    with pytest.raises(PartitionNotOwned, match="does not own partition 0"):
        add(changelog, table, 0, "a", 2)


def test_the_bound_on_keys_counts_keys_not_writes(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog(most_keys=3)
    changelog.own([0])
    for value in range(100):
        add(changelog, table, 0, value % 2, value)
    assert not changelog.is_full.is_set()
    add(changelog, table, 0, "third", 1)
    assert changelog.is_full.is_set()
    batches = changelog.snapshot()
    assert not changelog.is_full.is_set()
    changelog.put_back(batches)
    assert changelog.is_full.is_set(), "it could not be written: still too many"


def test_the_bound_on_bytes_learns_from_what_was_written(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog(most_keys=1000, most_bytes=1000)
    changelog.own([0])
    changelog.measured(records=2, size_bytes=400)
    changelog.snapshot()
    for key in range(4):
        add(changelog, table, 0, key, 1)
    assert not changelog.is_full.is_set()
    add(changelog, table, 0, 4, 1)
    assert changelog.is_full.is_set(), "five records of some 200 bytes"


def test_operations_of_set_tables_are_kept_and_counted(app: faust.App) -> None:
    table: Any = app.SetTable("members", start_manager=False)
    changelog = Changelog(most_keys=2)
    changelog.own([0])
    add(changelog, table, 0, (0, "a"), "x")
    add(changelog, table, 0, (0, "a"), "x")
    assert changelog.is_full.is_set()
    (batch,) = changelog.snapshot()
    (writes,) = batch.writes
    assert len(writes) == 2


async def test_what_cannot_be_serialized_names_the_table(app: faust.App) -> None:
    table: Any = app.Table("stock", default=int)
    changelog = Changelog()
    changelog.own([0])
    add(changelog, table, 0, "a", object())
    with pytest.raises(HostError, match=r"table 'stock': key 'a' or its value cannot be serial"):
        await encode(changelog.snapshot())


def test_the_first_write_of_a_table_is_told(app: faust.App) -> None:
    """By identity: empty tables are equal."""
    told: list[Any] = []
    changelog = Changelog()
    changelog.first_written = told.append
    changelog.own([0])
    first, second = app.Table("first", default=int), app.Table("second", default=int)
    for table in (first, second, first):
        add(changelog, table, 0, "a", 1)
    assert [table.name for table in told] == ["first", "second"]
    assert [table.name for table in changelog.tables] == ["first", "second"]
