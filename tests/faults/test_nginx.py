"""A source behind nginx: what its time-outs, its restarts and a dead server look like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import pytest
from consuming import CURSOR, Kind, consuming, in_turn, names_page, send_ticks
from h2_server import H2Server, Stream
from support.proxies import Nginx
from test_cases_wire_proxies import one_more

from faust_grpc.testing import free_port

StartNginx = Callable[..., Nginx]


@pytest.fixture
def start_nginx(tmp_path: Path) -> Iterator[StartNginx]:
    """``start_nginx(upstream, *settings)`` starts an nginx."""
    with ExitStack() as started:

        def start(upstream: int, *settings: str) -> Nginx:
            nginx = Nginx(tmp_path, upstream, *settings)
            started.callback(nginx.close)
            nginx.start()
            return nginx

        yield start


async def test_a_stream_passes(kind: Kind, start_nginx: StartNginx) -> None:
    async def script(stream: Stream) -> None:
        await send_ticks(stream, 1000)

    async with H2Server(script) as server:
        nginx = await asyncio.to_thread(start_nginx, server.port)
        async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
            await rig.has_seen(*range(1, 1001))


async def test_W11_idle_time_out(start_nginx: StartNginx) -> None:
    """Both readers at the same time: this test waits for what it is about."""
    async with H2Server(one_more) as server:
        nginx = await asyncio.to_thread(start_nginx, server.port, "grpc_read_timeout 1200ms")
        await asyncio.gather(*(cut_off(nginx, kind) for kind in get_args(Kind)))


async def cut_off(nginx: Nginx, kind: Kind) -> None:
    async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: len(rig.seen) == 5)
        assert rig.seen == [1, 2, 3, 4, 5]
        assert {ended.attempt for ended in rig.ended} == {2}
        assert all("RST_STREAM with error code" in ended.reason for ended in rig.ended)
        assert "calls end after 1 s without data" in rig.split.hint


async def test_W12_server_down(kind: Kind, start_nginx: StartNginx) -> None:
    nginx = await asyncio.to_thread(start_nginx, free_port())
    async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: rig.ended)
        cause = "a proxy answered: the gRPC server behind it is down or not ready"
        assert names_page(rig.ended[0].reason, 502, cause)


async def test_W12_server_that_does_not_answer(kind: Kind, start_nginx: StartNginx) -> None:
    async def nothing(stream: Stream) -> None:
        await stream.wait()

    async with H2Server(in_turn(nothing, one_more)) as server:
        nginx = await asyncio.to_thread(start_nginx, server.port, "grpc_read_timeout 500ms")
        async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
            await rig.until(lambda: rig.seen == [1])
            cause = "a proxy answered: the gRPC server behind it kept it waiting"
            assert names_page(rig.ended[0].reason, 504, cause)


async def test_W02_restarts(kind: Kind, start_nginx: StartNginx) -> None:
    async with H2Server(one_more) as server:
        nginx = await asyncio.to_thread(start_nginx, server.port)
        async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
            await rig.until(lambda: rig.seen == [1])
            await asyncio.to_thread(nginx.kill)
            await asyncio.to_thread(nginx.start)
            await rig.until(lambda: rig.seen == [1, 2])
            nginx.terminate()
            await asyncio.to_thread(nginx.wait)
            await asyncio.to_thread(nginx.start)
            await rig.until(lambda: rig.seen == [1, 2, 3])
            assert set(rig.split.endings) == {"UNAVAILABLE"}
