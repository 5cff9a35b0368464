"""A source behind nginx and behind Envoy: what their time-outs, restarts and a dead server are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias, get_args

import pytest
from consuming import CURSOR, QUICK, Kind, consuming, in_turn, names_page, send_ticks
from h2_server import H2Server, Stream
from support.proxies import Envoy, Nginx
from test_cases_wire_proxies import one_more

from faust_grpc.testing import free_port

Proxy: TypeAlias = "Envoy | Nginx"
Start: TypeAlias = "Callable[..., Proxy]"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """``start(Nginx, upstream, ...)`` starts a proxy."""
    with ExitStack() as started:

        def start_one(family: type[Proxy], upstream: int, *args: Any, **settings: Any) -> Proxy:
            proxy = family(tmp_path, upstream, *args, **settings)
            started.callback(proxy.close)
            proxy.start()
            return proxy

        yield start_one


both = pytest.mark.parametrize("family", [Nginx, Envoy])


@both
async def test_a_stream_passes(kind: Kind, start: Start, family: type[Proxy]) -> None:
    async def script(stream: Stream) -> None:
        await send_ticks(stream, 1000)

    async with H2Server(script) as server:
        proxy = await asyncio.to_thread(start, family, server.port)
        async with consuming(proxy.target, kind, cursor=CURSOR) as rig:
            await rig.has_seen(*range(1, 1001))


@both
async def test_W21_restarts(kind: Kind, start: Start, family: type[Proxy]) -> None:
    async with H2Server(one_more) as server:
        proxy = await asyncio.to_thread(start, family, server.port)
        async with consuming(proxy.target, kind, cursor=CURSOR) as rig:
            await rig.until(lambda: rig.seen == [1])
            await asyncio.to_thread(proxy.kill)
            await asyncio.to_thread(proxy.start)
            await rig.until(lambda: rig.seen == [1, 2])
            proxy.terminate()
            await asyncio.to_thread(proxy.wait)
            await asyncio.to_thread(proxy.start)
            await rig.until(lambda: rig.seen == [1, 2, 3])
            assert set(rig.split.endings) == {"UNAVAILABLE"}


async def cut_off(proxy: Proxy, kind: Kind) -> str:
    """Read until the proxy ended four calls, each resumed at once; return the hint about them."""
    async with consuming(proxy.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: len(rig.seen) == 5)
        assert rig.seen == [1, 2, 3, 4, 5]
        assert {ended.attempt for ended in rig.ended} == {2}
        assert all(ended.seconds <= QUICK.initial_seconds for ended in rig.ended)
        assert all("RST_STREAM with error code" in ended.reason for ended in rig.ended)
        return str(rig.split.hint)


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"connections": {"stream_idle_timeout": "1.2s"}}, "calls end after 1 s without data"),
        ({"route": {"timeout": "1.2s"}}, "calls end after 1 s without data"),
        ({"route": {"max_stream_duration": {"max_stream_duration": "1.2s"}}}, "calls end after"),
    ],
    ids=["idle", "response", "duration"],
)
async def test_W10_time_outs_of_envoy(start: Start, settings: dict[str, Any], hint: str) -> None:
    """Both readers at the same time: these tests wait for what they are about."""
    async with H2Server(one_more) as server:
        envoy = await asyncio.to_thread(start, Envoy, server.port, **settings)
        for told in await asyncio.gather(*(cut_off(envoy, kind) for kind in get_args(Kind))):
            assert hint in told


async def test_W11_idle_time_out_of_nginx(start: Start) -> None:
    async with H2Server(one_more) as server:
        nginx = await asyncio.to_thread(start, Nginx, server.port, "grpc_read_timeout 1200ms")
        for told in await asyncio.gather(*(cut_off(nginx, kind) for kind in get_args(Kind))):
            assert "calls end after 1 s without data" in told


async def test_W12_server_down_behind_nginx(kind: Kind, start: Start) -> None:
    nginx = await asyncio.to_thread(start, Nginx, free_port())
    async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: rig.ended)
        cause = "a proxy answered: the gRPC server behind it is down or not ready"
        assert names_page(rig.ended[0].reason, 502, cause)


async def test_W12_server_down_behind_envoy(kind: Kind, start: Start) -> None:
    envoy = await asyncio.to_thread(start, Envoy, free_port())
    async with consuming(envoy.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: rig.ended)
        assert rig.ended[0].reason.startswith("UNAVAILABLE: upstream connect error")
        assert "[Envoy cannot reach the gRPC server behind it" in rig.ended[0].reason


async def test_W12_server_that_does_not_answer_nginx(kind: Kind, start: Start) -> None:
    async def nothing(stream: Stream) -> None:
        await stream.wait()

    async with H2Server(in_turn(nothing, one_more)) as server:
        nginx = await asyncio.to_thread(start, Nginx, server.port, "grpc_read_timeout 500ms")
        async with consuming(nginx.target, kind, cursor=CURSOR) as rig:
            await rig.until(lambda: rig.seen == [1])
            cause = "a proxy answered: the gRPC server behind it kept it waiting"
            assert names_page(rig.ended[0].reason, 504, cause)
