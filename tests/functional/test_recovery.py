"""Loading changelogs from a broker, and its controller as Faust calls it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import Producer
from faust.tables.base import Collection
from faust.types.tuples import TP

from faust_grpc import loading, recovery, stores
from faust_grpc.loading import Load, LoadFailed
from faust_grpc.recovery import BulkRecovery, bulk_recovery
from faust_grpc.seams import installed_load
from faust_grpc.stores import store_loader
from faust_grpc.testing import Broker, broker, eventually

ROCKS = "rocksdb://?driver=rocksdict"


@pytest.fixture(scope="module")
def kafka() -> Iterator[Broker]:
    with broker("mock") as started:
        yield started


@pytest.fixture
def make_app(
    kafka: Broker, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., faust.App]]:
    """Each test has topics of its own: the application has the test's name."""
    apps: list[faust.App] = []

    def make(**settings: Any) -> faust.App:
        name = f"{request.node.name[:60].strip('[]')}-{len(apps)}"
        defaults = {**kafka.faust_settings(), "store": "memory://", "datadir": str(tmp_path)}
        apps.append(faust.App(name, **{**defaults, **settings}))
        return apps[-1]

    yield make
    for app in apps:  # Faust makes a loop for a consumer thread, also when it is never started
        if app._consumer is not None:
            app._consumer._thread.thread_loop.close()  # type: ignore[attr-defined]


def write(kafka: Broker, table: Collection, rows: dict[Any, Any], *, partition: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for key, value in rows.items():
        producer.produce(
            table.changelog_topic_name,
            None if value is None else json.dumps(value).encode(),
            json.dumps(key).encode(),
            partition,
        )
    assert producer.flush(30) == 0


def tp(table: Collection, partition: int) -> TP:
    return TP(table.changelog_topic_name, partition)


def load_of(
    kafka: Broker, *wanted: tuple[Collection, int], kept: tuple[TP, ...] = (), **options: Any
) -> Load:
    loaders = {table: store_loader(table) for table, _ in wanted}
    return Load(
        {"bootstrap.servers": kafka.bootstrap, **options},
        {tp(table, partition): loaders[table] for table, partition in wanted},  # type: ignore[misc]
        kept,
    )


# Load


def test_partitions_are_loaded_up_to_their_ends(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    one, two = app.Table("one"), app.Table("two")
    write(kafka, one, {f"k{number}": number for number in range(3000)}, partition=0)
    write(kafka, one, {"x": 1, "k": 2}, partition=1)
    write(kafka, two, {"a": "b"}, partition=3)
    load = load_of(kafka, (one, 0), (one, 1), (one, 2), (two, 3))

    end, parts = load.run()

    assert end == {tp(one, 0): 3000, tp(one, 1): 2, tp(one, 2): 0, tp(two, 3): 1}
    assert dict(one.data) == {**{f"k{number}": number for number in range(3000)}, "x": 1, "k": 2}
    assert dict(two.data) == {"a": "b"}
    assert {part.tp: part.last and part.last.offset() for part in parts} == {
        tp(one, 0): 2999,
        tp(one, 1): 1,
        tp(one, 2): None,
        tp(two, 3): 0,
    }
    progress = load.progress()
    assert (progress.is_loading, progress.loaded, progress.left) == (False, 3003, 0)
    assert progress.seconds_left == 0
    assert progress.per_second > 0
    assert str(progress).startswith("3,003 records loaded, 0 to go at most, ")


def test_of_kept_partitions_nothing_is_read(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    table = make_app().Table("counts")
    write(kafka, table, {"a": "written"}, partition=0)
    write(kafka, table, {"b": "written"}, partition=1)
    table.data.data.update(a="kept", b="outdated", c="outdated")
    table.data._key_partition.update(a=0, b=1, c=1)

    end, _ = load_of(kafka, (table, 1), kept=(tp(table, 0),)).run()

    assert end == {tp(table, 0): 1, tp(table, 1): 1}
    assert dict(table.data) == {"a": "kept", "b": "written"}


def test_a_store_on_disk_goes_on_behind_its_offset(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    table: Any = make_app(store=ROCKS).Table("disk")
    write(kafka, table, {"a": 1, "b": 1}, partition=0)
    first = load_of(kafka, (table, 0))
    first.run()
    write(kafka, table, {"b": 2}, partition=0)
    second = load_of(kafka, (table, 0))
    second.run()

    assert (first.records, second.records) == (2, 1)
    assert table.persisted_offset(tp(table, 0)) == 2
    assert table.data._db_for_partition(0).get(b'"b"') == b"2"


def test_a_load_that_is_stopped_ends_soon(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    table = make_app().Table("counts")
    write(kafka, table, {number: number for number in range(50_000)}, partition=0)
    load = load_of(kafka, (table, 0))
    taken = load._loaders[tp(table, 0)].apply

    def apply(of: TP, messages: Any) -> None:
        taken(of, messages)
        load.stop()

    load._loaders[tp(table, 0)].apply = apply  # type: ignore[method-assign]
    load.run()
    assert load.is_stopped
    assert 0 < load.records <= loading.BATCH
    assert load.progress().left == 50_000 - load.records


def test_a_broker_that_does_not_answer_is_an_error(
    make_app: Callable[..., faust.App], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "STALL_SECONDS", 0.5)
    table = make_app().Table("counts")
    with broker("mock") as other:
        write(other, table, dict.fromkeys(range(50_000), "v" * 200), partition=0)
        # So little is fetched ahead that most of it still is with the broker.
        load = load_of(other, (table, 0), **{"queued.max.messages.kbytes": 1_000})
        apply = load._loaders[tp(table, 0)].apply

        def apply_and_kill(of: TP, messages: Any) -> None:
            other.kill()
            apply(of, messages)

        load._loaders[tp(table, 0)].apply = apply_and_kill  # type: ignore[method-assign]
        # What was fetched before is loaded, then nothing comes.
        with pytest.raises(LoadFailed, match=r"partition 0: nothing came for 0\.5 s at offset"):
            load.run()
        monkeypatch.setattr(loading, "ANSWER_SECONDS", 0.5)
        with pytest.raises(LoadFailed, match="changelogs cannot be loaded"):
            load_of(other, (table, 0)).run()


# BulkRecovery, as Faust calls it


class Prepared:
    """What is done before a recovery; answers with the partitions that were kept."""

    def __init__(self) -> None:
        self.kept: frozenset[int] = frozenset()
        self.asked: list[frozenset[TP]] = []

    async def __call__(self, tps: frozenset[TP]) -> frozenset[int]:
        self.asked.append(tps)
        return self.kept


async def test_only_what_was_loaded_completely_is_kept(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    table, newer = app.Table("counts"), app.Table("newer")
    write(kafka, table, {"a": 1}, partition=0)
    write(kafka, table, {"b": 1}, partition=1)
    write(kafka, newer, {"c": 1}, partition=0)
    prepared = Prepared()
    bulk = BulkRecovery(app, prepared, {})

    assert await bulk({tp(table, 0): table}) == {tp(table, 0): 1}
    assert bulk.status().loaded == 1
    prepared.kept = frozenset({0, 1})
    table.data["a"] = 7  # written here, and not yet in the changelog
    tables = {tp(table, 0): table, tp(table, 1): table, tp(newer, 0): newer}
    assert await bulk(tables) == dict.fromkeys(tables, 1)
    assert dict(table.data) == {"a": 7, "b": 1}
    assert dict(newer.data) == {"c": 1}
    assert bulk.status().loaded == 2
    prepared.kept = frozenset()
    await bulk(tables)
    assert dict(table.data) == {"a": 1, "b": 1}
    assert prepared.asked == [{tp(table, 0)}, set(tables), set(tables)]


async def test_a_partition_that_was_away_is_loaded_again(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    table = app.Table("counts")
    write(kafka, table, {"a": 1, "gone": 1}, partition=0)
    prepared = Prepared()
    prepared.kept = frozenset({0, 1})
    bulk = BulkRecovery(app, prepared, {})
    await bulk({tp(table, 0): table})
    await bulk({tp(table, 1): table})
    write(kafka, table, {"gone": None}, partition=0)
    await bulk({tp(table, 0): table})
    assert dict(table.data) == {"a": 1}


async def test_special_tables_are_faust_s_unless_everything_is_ours(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    plain, narrow = app.Table("plain"), app.Table("narrow", partitions=1)
    spread, everywhere = app.Table("spread", use_partitioner=True), app.GlobalTable("everywhere")
    for table in (plain, narrow, spread, everywhere):
        write(kafka, table, {"a": 1}, partition=0)
    tables: dict[TP, Any] = {tp(table, 0): table for table in (plain, narrow, spread, everywhere)}
    bulk = BulkRecovery(app, Prepared(), {})
    assert set(await bulk(tables)) == {tp(plain, 0)}
    assert await bulk({tp(everywhere, 0): everywhere}) == {}
    bulk.everything = True
    assert set(await bulk(tables)) == {tp(plain, 0), tp(narrow, 0), tp(spread, 0)}
    assert not everywhere.data


async def test_a_rebalance_interrupts_a_load_and_the_next_begins_anew(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    table = app.Table("counts")
    rows = {number: number for number in range(60_000)}
    write(kafka, table, rows, partition=0)
    bulk = BulkRecovery(app, Prepared(), {})
    bulk.install()
    first = asyncio.create_task(bulk({tp(table, 0): table}))  # type: ignore[arg-type]  # awaitable
    await eventually(lambda: bulk.status().loaded, timeout=20)
    await app.on_partitions_revoked.send({tp(table, 0)})

    loaded, there = bulk.status().loaded, len(table.data)
    assert 0 < loaded < 60_000
    assert not bulk.status().is_loading
    await asyncio.sleep(0)
    assert not first.done()  # Faust cancels it when the partitions are assigned
    first.cancel()
    assert len(table.data) == there  # nothing touches the store any more

    await bulk({tp(table, 0): table})
    assert dict(table.data) == rows
    assert bulk.status().loaded == 60_000


async def test_revoked_while_it_is_prepared_nothing_is_loaded(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    table = app.Table("counts")
    write(kafka, table, {"a": 1}, partition=0)

    async def prepare(tps: frozenset[TP]) -> frozenset[int]:
        await app.on_partitions_revoked.send(set(tps))
        return frozenset()

    bulk = BulkRecovery(app, prepare, {})
    bulk.install()
    recovering = asyncio.ensure_future(bulk({tp(table, 0): table}))
    done, _ = await asyncio.wait([recovering], timeout=0.5)
    assert not done
    assert not table.data
    recovering.cancel()


async def test_a_broker_that_comes_back_ends_the_retries(
    make_app: Callable[..., faust.App],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    kafka: Broker,
) -> None:
    monkeypatch.setattr(loading, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(recovery, "RETRY_FIRST_SECONDS", 0.1)
    app = make_app()
    table = app.Table("counts")
    write(kafka, table, {"a": 1}, partition=0)
    options = {"bootstrap.servers": "127.0.0.1:1"}
    bulk = BulkRecovery(app, Prepared(), options)
    recovering = asyncio.ensure_future(bulk({tp(table, 0): table}))
    await eventually(lambda: "trying again in 0.1 s" in caplog.text, timeout=20)
    options["bootstrap.servers"] = kafka.bootstrap
    assert await asyncio.wait_for(recovering, 20) == {tp(table, 0): 1}
    assert dict(table.data) == {"a": 1}


async def test_progress_is_told_while_it_loads(
    kafka: Broker,
    make_app: Callable[..., faust.App],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "REPORT_SECONDS", 0.02)
    app = make_app()
    table = app.Table("counts")
    write(kafka, table, {number: number for number in range(30_000)}, partition=0)
    with caplog.at_level(logging.INFO):
        await BulkRecovery(app, Prepared(), {})({tp(table, 0): table})
    lines = [record.getMessage() for record in caplog.records if record.name == recovery.__name__]
    assert "to go at most" in lines[0]
    assert lines[-1].startswith("Tables loaded: 30000 records of 1 partitions, ")


async def test_an_unclean_store_is_wiped_before_it_is_loaded(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app(store=ROCKS)
    table: Any = app.Table("disk")
    write(kafka, table, {"a": 1}, partition=0)
    bulk = BulkRecovery(app, Prepared(), {})
    bulk.wipe_unclean = True
    await bulk({tp(table, 0): table})
    # As the first write of a source's event does.
    stores.mark_open(table, 0)
    table.data._db_for_partition(0).put(b'"ahead"', b"1")
    await bulk({tp(table, 0): table})
    assert table.data._db_for_partition(0).get(b'"ahead"') is None
    assert table.data._db_for_partition(0).get(b'"a"') == b"1"
    assert not stores.is_marked_open(table, 0)
    await bulk({tp(table, 0): table})
    assert bulk.status().loaded == 0  # nobody wrote it, or it was closed in order


# The option for every table


@pytest.mark.parametrize("sources_first", [True, False])
async def test_everything_is_loaded_with_sources_and_without(
    make_app: Callable[..., faust.App], sources_first: bool
) -> None:
    app = make_app()
    table = app.Table("counts")
    bulk_recovery(app)
    bulk_recovery(app)
    sensors = [sensor for sensor in app.sensors if type(sensor).__name__ == "_WholeRecovery"]
    assert len(sensors) == 1
    of_sources = BulkRecovery(app, Prepared(), {})
    if sources_first:
        of_sources.install()
    await sensors[0].on_first_start()
    if not sources_first:
        of_sources.install()
    assert installed_load(app) is of_sources
    assert of_sources.everything
    assert table.data is not None


async def test_without_sources_a_member_keeps_its_partitions(
    kafka: Broker, make_app: Callable[..., faust.App]
) -> None:
    app = make_app()
    table = app.Table("counts")
    write(kafka, table, {"a": 1}, partition=0)
    bulk_recovery(app)
    for sensor in app.sensors:
        if type(sensor).__name__ == "_WholeRecovery":
            await sensor.on_first_start()
    bulk: Any = installed_load(app)
    loaded = []
    for generation in (5, 6, 8):  # 7 was missed: another worker may have been the owner
        app.consumer_generation_id = generation
        await bulk({tp(table, 0): table})
        loaded.append(bulk.status().loaded)
    assert loaded == [1, 0, 1]
