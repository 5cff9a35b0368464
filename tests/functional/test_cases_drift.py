"""The acceptance case about a schema that changes on the server, on a whole source."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from support_app import FILES, METHOD, in_process, orders, until

from faust_grpc.schema import DriftWatch
from faust_grpc.testing import ScriptedServer, Send, Stall

STRING = 9


def changed() -> FileDescriptorSet:
    """The orders' files of a newer server: one field more."""
    files = FileDescriptorSet.FromString(FILES.SerializeToString())
    for file in files.file:
        for message in file.message_type:
            if message.name == "Order":
                message.field.add(name="note", number=99, type=STRING, label=1)
    return files


async def test_S16_a_changed_server_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    history = orders(2)
    old, new = ScriptedServer(files=FILES), ScriptedServer(files=changed())
    new.port = old.port
    async with in_process(history, old, schema=None, value_type=dict) as rig:
        seen: list[Any] = []

        @rig.app.agent(rig.source)
        async def read(stream: Any) -> None:
            async for order in stream:
                seen.append(order)

        await rig.feed.prepare()
        await rig.start()
        await until(lambda: len(seen) == 2)
        rig.feed.prune(10.0)
        # The server is replaced by its next version.
        await asyncio.to_thread(old.stop)
        new.script(METHOD, (Send(*orders(4)[2:]), Stall()))
        with new:
            await until(lambda: len(seen) == 4)
            for _ in range(3):
                rig.feed.prune(10.0)
            await until(lambda: "the server's types changed" in caplog.text)
            rig.feed.prune(10.0)
    warnings = [r for r in caplog.records if "the server's types changed" in r.getMessage()]
    assert len(warnings) == 1
    assert "shop.v1.Order: new field 'string note = 99'" in warnings[0].getMessage()
    # Values are those of the schema that was known.
    assert all("note" not in order for order in seen)


async def test_S16_how_often_it_looks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers: list[Any] = [["a"], ["a"], ["b"], [], ["b"], RuntimeError("down")]
    looked = 0

    async def ask() -> list[str]:
        nonlocal looked
        looked += 1
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    watch = DriftWatch("orders", ask, interval_seconds=0.0)
    watch.look(0)
    for reopened in (1, 1, 2, 3, 4, 5, 6):
        watch.look(reopened)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    watch.close()
    assert looked == 6
    told = [r.getMessage().rpartition(": ")[2] for r in caplog.records]
    assert told == ["a", "b", "b", "down"]
    # And once an hour at most.
    answers.extend([["c"], ["d"]])
    hourly = DriftWatch("orders", ask)
    hourly.look(1)
    hourly.look(2)
    await asyncio.sleep(0)
    hourly.close()
    assert looked == 7
