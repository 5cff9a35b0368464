"""Tables: the partitions of keys in memory, and what may not be written."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.streams import _current_event
from faust.types.tuples import TP

from faust_grpc import seams
from faust_grpc.acks import Delivery
from faust_grpc.changelog import Changelog
from faust_grpc.exceptions import HostError
from faust_grpc.messages import SourceMessage
from faust_grpc.stores import key_partitions

PARTITION = 2


@pytest.fixture
def app(tmp_path: Path) -> Iterator[faust.App]:
    made = faust.App(
        "tables", broker="kafka://127.0.0.1:1", store="memory://", datadir=str(tmp_path)
    )
    yield made
    thread = getattr(made._consumer, "_thread", None)
    if thread is not None:  # Faust makes its loop also when it is never started
        thread.thread_loop.close()


def enter(app: faust.App, message: Any) -> Any:
    """Go on as if inside the processing of an event, as an agent does."""
    event: Any = faust.Event(app, None, None, None, message)
    _current_event.set(weakref.ref(event))
    return event


def of_a_source(app: faust.App) -> Any:
    delivery = Delivery(1, 1, ((None, None, None),))  # type: ignore[arg-type]
    split: Any = SimpleNamespace(is_live=True)
    return enter(
        app,
        SourceMessage(split, TP("orders", PARTITION), delivery, None, None, 0.0, 0.0, 1),
    )


def write_all(app: faust.App, plain: Any, windowed: Any, sets: Any) -> None:
    """Write and delete in tables of each kind."""
    plain["a"] = 1
    plain["b"] = 1
    del plain["b"]
    windowed["a"] = 1
    sets["a"].add("x")


@pytest.mark.parametrize("ours", [True, False], ids=["of a source", "of a topic"])
async def test_keys_in_memory_are_known_by_partition(app: faust.App, ours: bool) -> None:
    """Faust enters a key only when it recovers it, and forgets to delete the others."""
    plain, sets = app.Table("plain"), app.SetTable("sets")
    windowed = app.Table("windowed").tumbling(10.0)
    changelog = Changelog()
    changelog.own([PARTITION])
    tables: list[Any] = [plain, windowed.table, sets]
    for table in tables:
        if ours:
            seams.take_over_changelog(table, changelog, pytest.fail)
            continue
        # Where Faust's producer would be.
        table.send_changelog = lambda partition, *_: SimpleNamespace(
            message=SimpleNamespace(partition=partition)
        )
        seams.note_partitions(table)
    event = (
        of_a_source(app)
        if ours
        else enter(app, SimpleNamespace(topic="t", partition=PARTITION, timestamp=0.0, offset=1))
    )

    write_all(app, plain, windowed, sets)

    assert key_partitions(plain) == {"a": PARTITION}
    assert set((key_partitions(windowed.table) or {}).values()) == {PARTITION}
    assert key_partitions(sets) == {"a": PARTITION}
    del event


async def test_a_table_that_reads_its_changelog_all_the_time_is_refused(app: faust.App) -> None:
    table = app.Table("counts", recovery_buffer_size=1)
    refused: list[HostError] = []
    seams.take_over_changelog(table, Changelog(), refused.append)
    event = of_a_source(app)
    with pytest.raises(HostError, match="'counts' has recovery_buffer_size=1"):
        table["a"] = 1
    assert len(refused) == 1
    del event
