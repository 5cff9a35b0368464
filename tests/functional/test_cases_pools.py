"""The acceptance case about services whose files share their names, on sources of one app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import faust
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.messages import SETS
from support_app import until

from faust_grpc import GrpcSource
from faust_grpc.feeds import Assigned
from faust_grpc.schema import DescriptorSet
from faust_grpc.seams import restart_agents
from faust_grpc.testing import ScriptedServer, Send, Stall

WATCH = "cases.uses.Bills/Watch"
HEALTH = "grpc.health.v1.Health/Watch"


def files(*names: str) -> FileDescriptorSet:
    """The first file of each name, of these sets."""
    found = FileDescriptorSet()
    for name in names:
        for file in FileDescriptorSet.FromString((SETS / f"{name}.binpb").read_bytes()).file:
            if file.name not in {known.name for known in found.file}:
                found.file.append(file)
    return found


OURS = files("uses_common")
#: The same names, the same packages: another Money.
THEIRS = files("odd_other_money", "uses_common")


def bill(described: FileDescriptorSet, **total: Any) -> bytes:
    pool = DescriptorSet(described.SerializeToString()).pool
    message = GetMessageClass(pool.FindMessageTypeByName("cases.uses.Bill"))(total=total)
    raw: bytes = message.SerializeToString()
    return raw


@asynccontextmanager
async def reading(app: faust.App, *sources: GrpcSource) -> AsyncIterator[dict[str, list[Any]]]:
    """Read sources with an agent each; yield the events' values, by source."""
    seen: dict[str, list[Any]] = {source.name: [] for source in sources}

    def agent_of(source: GrpcSource) -> None:
        @app.agent(source, name=f"read-{source.name}")
        async def read(stream: Any) -> None:
            async for event in stream.events():
                seen[source.name].append((event.key, event.value))

    async with AsyncExitStack() as stack:
        for source in sources:
            agent_of(source)
            restart_agents(app, source)
            stack.push_async_callback(source._feed.close, 3.0)
        app.flow_control.resume()
        for agent in app.agents.values():
            stack.push_async_callback(agent.stop)
            await agent.start()
        for source in sources:
            await source._feed.prepare()
            source._feed.assign({"main": Assigned(0, None)})
            source._feed.release()
        yield seen


@pytest.mark.parametrize("reflected", ["ours", "theirs", "both", "none"])
async def test_S02_sources_whose_files_share_their_names(reflected: str) -> None:
    """… in one app, with a third whose generated code is in the default pool."""
    app = faust.App("pools", broker="kafka://127.0.0.1:9", store="memory://")
    with (
        ScriptedServer(files=OURS) as ours,
        ScriptedServer(files=THEIRS) as theirs,
        ScriptedServer() as third,
    ):
        ours.script(WATCH, (Send(bill(OURS, units=5, cur="EUR")), Stall()))
        theirs.script(WATCH, (Send(bill(THEIRS, cur="EUR", units=5, nanos=7)), Stall()))
        serving = health_pb2.HealthCheckResponse(status="SERVING")  # type: ignore[attr-defined, unused-ignore]  # no stubs
        third.script(HEALTH, (Send(serving), Stall()))

        def source(name: str, server: ScriptedServer, described: FileDescriptorSet) -> GrpcSource:
            asked = reflected in (name, "both")
            schema = None if asked else described.SerializeToString()
            options: dict[str, Any] = {"key": "total.cur", "value_type": dict, "schema": schema}
            return GrpcSource(app, server.target, WATCH, name=name, **options)

        health = GrpcSource(
            app, third.target, HEALTH, name="third", value_type=dict, schema=health_pb2_grpc
        )
        async with reading(
            app, source("ours", ours, OURS), source("theirs", theirs, THEIRS), health
        ) as seen:
            await until(lambda: all(seen.values()), lambda: str(seen))
    assert seen == {
        "ours": [("EUR", {"total": {"units": 5, "cur": "EUR"}})],
        "theirs": [("EUR", {"total": {"units": 5, "cur": "EUR", "nanos": 7}})],
        "third": [(None, {"status": "SERVING"})],
    }
    for name in ("common_a.proto", "uses_common.proto"):
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindFileByName(name)
