"""A checkpoint waits for what agents sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from faust_grpc.exceptions import HostError, WriteFailed
from faust_grpc.sends import Sends


async def test_nothing_to_wait_for() -> None:
    await Sends().arrived(lambda: True)


async def test_it_waits_for_what_was_sent_and_not_for_later() -> None:
    sends, loop = Sends(), asyncio.get_running_loop()
    first: asyncio.Future[Any] = loop.create_future()
    sends.follow(first)
    waiting = asyncio.ensure_future(sends.arrived(lambda: True))
    await asyncio.sleep(0)
    later: asyncio.Future[Any] = loop.create_future()
    sends.follow(later)
    assert not waiting.done()
    first.set_result(None)
    await asyncio.wait_for(waiting, 10)
    assert not later.done()


async def test_a_record_that_was_refused_is_an_error_for_good() -> None:
    sends = Sends()
    sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    sends.follow(sent)
    sent.set_exception(RuntimeError("no leader"))
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(HostError, match="was lost: RuntimeError"):
            await sends.arrived(lambda: True)


async def test_a_broker_that_is_away_is_waited_for_so_long() -> None:
    sends = Sends(timeout_seconds=0.01)
    sends.follow(asyncio.get_running_loop().create_future())
    with pytest.raises(WriteFailed, match="1 records that agents sent have not arrived"):
        await sends.arrived(lambda: True)


async def test_without_the_lease_there_is_no_waiting() -> None:
    sends = Sends(timeout_seconds=3600)
    sends.follow(asyncio.get_running_loop().create_future())
    with pytest.raises(WriteFailed):
        await sends.arrived(lambda: False)
