"""Thousands of failed reconnects to a dead server leave nothing behind.

In CI 2,000 for each reader; ``FAUST_GRPC_RECONNECTS=10000`` for all. gRPC's asyncio stack leaks
some 500 bytes a call in such a loop (grpc/grpc#38499): our reader does not make calls that cannot
go out.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import NamedTuple

import psutil
from consuming import CURSOR, Consumer, Kind, consuming, threads
from h2_server import H2Server
from relay import Mode, Relay
from test_cases_wire_proxies import one_more

from faust_grpc import Backoff
from faust_grpc.testing import free_port

RECONNECTS = int(os.environ.get("FAUST_GRPC_RECONNECTS", "2000"))
#: The first ones fill pools, caches and arenas.
WARM_UP = RECONNECTS // 4
HURRIED = Backoff(initial_seconds=0.0005, maximum_seconds=0.001)


class Held(NamedTuple):
    """What this process holds."""

    resident: int
    threads: int
    system_threads: int
    files: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        process = psutil.Process()
        return cls(
            process.memory_info().rss,
            threads(),
            process.num_threads(),
            process.num_fds(),
        )


async def held_over(rig: Consumer, calls: Callable[[], int]) -> tuple[Held, Held]:
    """Return what is held after the warm-up and after all."""
    await rig.until(lambda: calls() >= WARM_UP, 240)
    before = Held.now()
    await rig.until(lambda: calls() >= RECONNECTS, 240)
    return before, Held.now()


def check(before: Held, after: Held, calls: int) -> None:
    grown = after.resident - before.resident
    print(f"{calls} calls: {before} -> {after}, {grown / (calls - WARM_UP):.0f} bytes a call")
    assert grown < 200 * (calls - WARM_UP) + 128 * 1024  # gRPC's own: 500 a call
    assert after.threads <= before.threads
    assert after.system_threads <= before.system_threads + 4  # pools of gRPC and of the loop
    assert after.files <= before.files + 2


async def test_a_closed_port(kind: Kind) -> None:
    target = f"127.0.0.1:{free_port()}"
    async with consuming(target, kind, cursor=CURSOR, backoff=HURRIED) as rig:
        before, after = await held_over(rig, lambda: rig.split.calls)
        check(before, after, rig.split.calls)
        # Lines of the log grow slower than attempts.
        assert len(rig.ended) <= RECONNECTS.bit_length() + 1


async def test_a_port_that_accepts_and_drops(kind: Kind) -> None:
    """Each attempt that core makes is a connection."""
    async with H2Server(one_more) as server, Relay(server.port) as relay:
        relay.mode = Mode.DROP
        async with consuming(relay.target, kind, cursor=CURSOR, backoff=HURRIED) as rig:
            before, after = await held_over(rig, lambda: rig.split.calls)
            check(before, after, rig.split.calls)
            relay.mode = Mode.PASS
            await rig.has_seen(1)
