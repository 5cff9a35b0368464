"""The acceptance case about a schema that changes on the server, on a whole source."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import faust
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from support_app import FILES, METHOD, InProcess, in_process, until

from faust_grpc import Reflection
from faust_grpc.exceptions import SchemaError
from faust_grpc.schema import Drift, DriftWatch, schema_from
from faust_grpc.testing import ScriptedServer, Send, Stall

STRING = FieldDescriptorProto.TYPE_STRING
SAID = "the server's types changed"


def with_a_note(messages: dict[str, Any]) -> None:
    """One field more."""
    messages["Order"].field.add(name="note", number=99, type=STRING, label=1)


def without_its_id(messages: dict[str, Any]) -> None:
    """What the key is read from is gone."""
    fields = messages["Order"].field
    fields.remove(named(fields, "order_id"))


def with_text_positions(messages: dict[str, Any]) -> None:
    """The cursor is of another kind, at both ends."""
    named(messages["Order"].field, "sequence").type = STRING
    named(messages["StreamOrdersRequest"].field, "after_sequence").type = STRING


def named(fields: Any, name: str) -> Any:
    return next(field for field in fields if field.name == name)


def changed(change: Callable[[dict[str, Any]], None]) -> FileDescriptorSet:
    """The orders' files of the server's next version."""
    files = FileDescriptorSet.FromString(FILES.SerializeToString())
    change({message.name: message for file in files.file for message in file.message_type})
    return files


def order(files: FileDescriptorSet, **fields: Any) -> bytes:
    """An order as a server with these files sends it."""
    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    message = GetMessageClass(pool.FindMessageTypeByName("shop.v1.Order"))(**fields)
    raw: bytes = message.SerializeToString()
    return raw


class Replaced:
    """A source whose server is replaced, in the middle, by its next version."""

    def __init__(self, rig: InProcess, new: ScriptedServer) -> None:
        self.rig = rig
        self.new = new
        self.seen: list[Any] = []
        self.keys: list[Any] = []

    async def received(self, count: int) -> None:
        """Wait until an agent has so many."""
        await until(lambda: len(self.seen) >= count, lambda: f"{self.seen} {self.rig.waiting_for}")


@asynccontextmanager
async def replaced(
    files: FileDescriptorSet, *sent: bytes, **options: Any
) -> AsyncIterator[Replaced]:
    """Read two orders, then these of the server that has these files."""
    old, new = ScriptedServer(files=FILES), ScriptedServer(files=files)
    new.port = old.port
    history = [order(FILES, sequence=n, order_id=f"o{n}") for n in (1, 2)]
    async with in_process(history, old, **{"value_type": dict, **options}) as rig:
        state = Replaced(rig, new)

        @rig.app.agent(rig.source)
        async def read(stream: Any) -> None:
            async for event in stream.events():
                state.seen.append(event.value)
                state.keys.append(event.key)

        await rig.feed.prepare()
        await rig.start()
        await state.received(2)
        await asyncio.to_thread(old.stop)
        new.script(METHOD, (Send(*sent), Stall()))
        with new:
            await state.received(2 + len(sent))
            yield state


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if SAID in r.getMessage()]


async def told(state: Replaced, caplog: pytest.LogCaptureFixture) -> str:
    """Look, as the runner does, until the change was told; return how, which is once."""

    def is_told() -> bool:
        state.rig.feed.look_after(10.0)
        return SAID in caplog.text

    await until(is_told)
    state.rig.feed.look_after(10.0)
    (warning,) = warnings(caplog)
    return warning


async def more(state: Replaced, *sent: bytes) -> list[Any]:
    """Let the server send more on the open call; return what became of it."""
    before = len(state.seen)
    call = await asyncio.to_thread(state.new.wait_for_calls, 1)
    call.send(*sent)
    await state.received(before + len(sent))
    return state.seen[before:]


NOTED = changed(with_a_note)


async def test_S16_a_changed_server_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    raw = order(NOTED, sequence=3, order_id="o3", note="new")
    async with replaced(NOTED, raw, schema=None) as state:
        warning = await told(state, caplog)
        await more(state, order(NOTED, sequence=4, order_id="o4", note="new"))
    assert "this worker goes on with those it has until it restarts: " in warning
    assert "shop.v1.Order: new field 'string note = 99'" in warning
    # Values are those of the schema that was known.
    assert [value["sequence"] for value in state.seen] == [1, 2, 3, 4]
    assert all("note" not in value for value in state.seen)


async def test_S16_a_changed_server_is_read_with_its_new_types(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raw = order(NOTED, sequence=3, order_id="o3", note="new")
    async with replaced(
        NOTED, raw, schema=Reflection(on_drift="reload"), timestamp="created_at"
    ) as state:
        warning = await told(state, caplog)
        (value,) = await more(state, order(NOTED, sequence=4, order_id="o4", note="new"))
        assert value["note"] == "new"
        # The next call, too: from where this one was.
        state.new.script(METHOD, (Send(order(NOTED, sequence=5, note="x")), Stall()))
        state.new.calls[-1].proceed()
        await state.received(5)
        assert state.seen[-1]["note"] == "x"
        assert len(warnings(caplog)) == 1
    assert "this worker reads with the new ones from now on: " in warning
    assert "shop.v1.Order: new field 'string note = 99'" in warning
    assert [value["sequence"] for value in state.seen] == [1, 2, 3, 4, 5]
    assert state.keys == ["o1", "o2", "o3", "o4", ""]


class Order(faust.Record):
    order_id: str
    sequence: int


async def test_S16_records_are_the_same_after_a_reload(caplog: pytest.LogCaptureFixture) -> None:
    raw = order(NOTED, sequence=3, order_id="o3", note="new")
    reload = Reflection(on_drift="reload")
    async with replaced(NOTED, raw, schema=reload, value_type=Order) as state:
        assert "reads with the new ones" in await told(state, caplog)
        await more(state, order(NOTED, sequence=4, order_id="o4", note="new"))
    assert state.seen == [Order(order_id=f"o{n}", sequence=n) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("change", "fields", "reason"),
    [
        (without_its_id, {"sequence": 3}, "do not fit: key='order_id': "),
        (
            with_text_positions,
            {"order_id": "o3"},
            "do not fit: orders/main: the saved cursor 2 is int, but 'sequence' is str",
        ),
    ],
)
async def test_S16_types_that_no_longer_fit_are_not_used(
    caplog: pytest.LogCaptureFixture,
    change: Callable[[dict[str, Any]], None],
    fields: dict[str, Any],
    reason: str,
) -> None:
    files = changed(change)
    reload = Reflection(on_drift="reload")
    async with replaced(files, order(files, **fields), schema=reload) as state:
        plan = state.rig.feed.plan
        warning = await told(state, caplog)
        await more(state, order(FILES, sequence=4, order_id="o4"))
        assert state.rig.feed.plan is plan
    assert f"goes on with those it has, as the new ones {reason}" in warning
    assert state.seen[-1]["sequence"] == 4


def test_S16_another_word_than_warn_or_reload() -> None:
    with pytest.raises(SchemaError, match=r"on_drift='restart'\): must be one of 'warn', 'rel"):
        schema_from(Reflection(on_drift="restart"))  # type: ignore[arg-type]  # that is the test


async def test_S16_how_often_it_looks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers: list[Any] = [["a"], ["a"], ["b"], [], ["b"], RuntimeError("down"), ["b"]]
    looked = 0

    async def ask() -> Drift:
        nonlocal looked
        looked += 1
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Drift(list(answer))

    watch = DriftWatch("orders", ask, interval_seconds=0.0)
    watch.look(0)
    # After a look that told nothing there is another one, for the same call.
    for reopened in (1, 1, 2, 3, 4, 5, 6, 6, 6):
        watch.look(reopened)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    watch.close()
    assert looked == 7
    told = [r.getMessage().rpartition(": ")[2] for r in caplog.records]
    assert told == ["a", "b", "b", "down"]
    # And once an hour at most.
    answers.extend([["c"], ["d"]])
    hourly = DriftWatch("orders", ask)
    hourly.look(1)
    hourly.look(2)
    await asyncio.sleep(0)
    hourly.close()
    assert looked == 8
