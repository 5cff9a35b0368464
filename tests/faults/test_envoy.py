"""A source behind Envoy: what its time-outs and a dead server look like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import pytest
from consuming import CURSOR, QUICK, Kind, consuming, send_ticks
from h2_server import H2Server, Stream
from support.proxies import Envoy
from test_cases_wire_proxies import one_more

from faust_grpc.testing import free_port

StartEnvoy = Callable[..., Envoy]


@pytest.fixture
def start_envoy(tmp_path: Path) -> Iterator[StartEnvoy]:
    """``start_envoy(upstream, ...)`` starts an Envoy."""
    with ExitStack() as started:

        def start(upstream: int, **settings: Any) -> Envoy:
            envoy = Envoy(tmp_path, upstream, **settings)
            started.callback(envoy.close)
            envoy.start()
            return envoy

        yield start


async def test_a_stream_passes(kind: Kind, start_envoy: StartEnvoy) -> None:
    async def script(stream: Stream) -> None:
        await send_ticks(stream, 1000)

    async with H2Server(script) as server:
        envoy = await asyncio.to_thread(start_envoy, server.port)
        async with consuming(envoy.target, kind, cursor=CURSOR) as rig:
            await rig.has_seen(*range(1, 1001))


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"connections": {"stream_idle_timeout": "1.2s"}}, "calls end after 1 s without data"),
        ({"route": {"timeout": "1.2s"}}, "calls end after 1 s without data"),
        ({"route": {"max_stream_duration": {"max_stream_duration": "1.2s"}}}, "calls end after"),
    ],
    ids=["idle", "response", "duration"],
)
async def test_W10_time_outs(start_envoy: StartEnvoy, settings: dict[str, Any], hint: str) -> None:
    """Both readers at the same time: these tests wait for what they are about."""
    async with H2Server(one_more) as server:
        envoy = await asyncio.to_thread(start_envoy, server.port, **settings)
        await asyncio.gather(*(cut_off(envoy, kind, hint) for kind in get_args(Kind)))


async def cut_off(envoy: Envoy, kind: Kind, hint: str) -> None:
    async with consuming(envoy.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: len(rig.seen) == 5)
        assert rig.seen == [1, 2, 3, 4, 5]
        assert {ended.attempt for ended in rig.ended} == {2}
        assert all(ended.seconds <= QUICK.initial_seconds for ended in rig.ended)
        assert all("RST_STREAM with error code 2" in ended.reason for ended in rig.ended)
        assert hint in rig.split.hint


async def test_W12_server_down(kind: Kind, start_envoy: StartEnvoy) -> None:
    envoy = await asyncio.to_thread(start_envoy, free_port())
    async with consuming(envoy.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: rig.ended)
        assert rig.ended[0].reason.startswith("UNAVAILABLE: upstream connect error")
        assert "[Envoy cannot reach the gRPC server behind it" in rig.ended[0].reason


async def test_W21_restarts(kind: Kind, start_envoy: StartEnvoy) -> None:
    async with H2Server(one_more) as server:
        envoy = await asyncio.to_thread(start_envoy, server.port)
        async with consuming(envoy.target, kind, cursor=CURSOR) as rig:
            await rig.until(lambda: rig.seen == [1])
            await asyncio.to_thread(envoy.kill)
            await asyncio.to_thread(envoy.start)
            await rig.until(lambda: rig.seen == [1, 2])
            envoy.terminate()
            await asyncio.to_thread(envoy.wait)
            await asyncio.to_thread(envoy.start)
            await rig.until(lambda: rig.seen == [1, 2, 3])
            assert set(rig.split.endings) == {"UNAVAILABLE"}
