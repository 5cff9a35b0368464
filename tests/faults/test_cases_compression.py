"""The acceptance case about compression that cannot be undone: named, and tried again."""

from __future__ import annotations

import asyncio

import pytest
from h2_server import H2Server, Stream

from faust_grpc.config import Buffer
from faust_grpc.connection import Connection
from faust_grpc.explain import explain
from faust_grpc.protocol.base import Call
from faust_grpc.readers import open_reader
from faust_grpc.status import Verdict, judge


@pytest.mark.parametrize(
    ("headers", "advice"),
    [
        ((("grpc-encoding", "zstd"),), "compresses in a way that gRPC for Python does not know"),
        ((("grpc-encoding", "gzip"),), "sent a message that cannot be decompressed"),
        ((), "sent a message that cannot be decompressed"),
    ],
    ids=["zstd", "broken gzip", "no encoding"],
)
@pytest.mark.parametrize("kind", ["threaded", "aio"])
async def test_D13_what_cannot_be_decompressed_is_named_and_tried_again(
    kind: str, headers: tuple[tuple[str, str], ...], advice: str
) -> None:
    async def script(stream: Stream) -> None:
        await stream.headers(*headers)
        await stream.data(b"\x01" + (5).to_bytes(4, "big") + b"hello")
        await stream.trailers()

    changed = asyncio.Event()
    async with H2Server(script) as server:
        connection = Connection(server.target)
        reader = open_reader(kind, connection, Call("/a.B/C", (b"",)), Buffer(), (), changed.set)  # type: ignore[arg-type]  # a literal
        while reader.status is None:
            changed.clear()
            await asyncio.wait_for(changed.wait(), 20)
        await reader.closed()
        await connection.close()
    assert reader.take(10) == []
    assert advice in explain(reader.status)
    assert judge(reader.status).verdict is Verdict.RETRY
