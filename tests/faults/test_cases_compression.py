"""The acceptance case about compression that cannot be undone: named, never in a loop."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from h2_server import H2Server, Stream

from faust_grpc.config import Buffer
from faust_grpc.connection import Connection
from faust_grpc.explain import explain
from faust_grpc.protocol.base import Call
from faust_grpc.readers import open_reader
from faust_grpc.status import Verdict, judge

#: What older cores do not tell: they end the call with "Stream removed", or take the bytes as sent.
GRPC = tuple(map(int, grpc.__version__.split(".")[:2]))


@pytest.mark.parametrize(
    ("headers", "advice", "verdict"),
    [
        pytest.param(
            (("grpc-encoding", "zstd"),),
            "compresses in a way that gRPC for Python does not know",
            Verdict.FATAL,
            marks=pytest.mark.skipif(GRPC < (1, 81), reason="grpcio 1.81 and later tell it"),
            id="zstd",
        ),
        pytest.param(
            (("grpc-encoding", "gzip"),),
            "sent a message that cannot be decompressed",
            Verdict.POISON,
            id="broken gzip",
        ),
        pytest.param(
            (),
            "sent a message that cannot be decompressed",
            Verdict.POISON,
            marks=pytest.mark.skipif(GRPC < (1, 85), reason="grpcio 1.85 and later tell it"),
            id="no encoding",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["threaded", "aio"])
async def test_D13_what_cannot_be_decompressed_is_named(
    kind: str, headers: tuple[tuple[str, str], ...], advice: str, verdict: Verdict
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
    assert judge(reader.status).verdict is verdict, reader.status
