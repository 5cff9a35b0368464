"""What an agent has yet to finish, and the lease it needs to take it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import faust
import pytest
from faust.types.tuples import TP

from faust_grpc.acks import Delivery
from faust_grpc.messages import SourceMessage
from faust_grpc.subscriptions import Lease, Subscription


class Finished:
    """Stands for a split: told when a message is finished."""

    is_live = True

    def __init__(self) -> None:
        self.positions: list[int] = []

    def acked(self, delivery: Delivery) -> None:
        self.positions.append(delivery.position)


def event(split: Any, position: int, subscriptions: int = 1) -> faust.Event:
    delivery = Delivery(position, position, ((None, None, None),))  # type: ignore[arg-type]
    message = SourceMessage(split, TP("orders", 0), delivery, None, None, 0.0, 0.0, subscriptions)
    app: Any = None
    return faust.Event(app, None, None, None, message)


async def test_what_comes_before_a_wait_begins_is_not_missed() -> None:
    """``wait_for`` begins to wait one turn of the loop after it was asked."""
    subscription = Subscription(Lease())
    waiting = asyncio.ensure_future(asyncio.wait_for(subscription.wait(), 60))
    subscription.events.append(event(Finished(), 1))
    subscription.wake()
    await asyncio.wait_for(waiting, 5)


async def test_an_error_before_a_wait_begins_is_not_missed() -> None:
    subscription = Subscription(Lease())
    waiting = asyncio.ensure_future(asyncio.wait_for(subscription.wait(), 60))
    subscription.throw(StopAsyncIteration())
    await asyncio.wait_for(waiting, 5)


async def test_every_waiter_is_woken() -> None:
    subscription = Subscription(Lease())
    waiting = [asyncio.ensure_future(subscription.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    subscription.wake()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)


def test_what_nobody_will_take_is_finished() -> None:
    split = Finished()
    first, second = Subscription(Lease()), Subscription(Lease())
    for position in (1, 2):
        shared = event(split, position, subscriptions=2)
        first.events.append(shared)
        second.events.append(shared)
    first.close()
    assert split.positions == [], "the other subscription has not finished them"
    second.close()
    assert split.positions == [1, 2]


async def test_a_lease_is_held_until_it_ends_and_again_when_renewed() -> None:
    lease = Lease()
    assert lease.is_held, "nothing is leased yet"
    lease.until = time.monotonic() - 1
    assert not lease.is_held
    renewed = asyncio.ensure_future(lease.renewed())
    await asyncio.sleep(0)
    assert not renewed.done()
    lease.renew(60)
    await asyncio.wait_for(renewed, 5)
    assert lease.is_held
    assert lease.until == pytest.approx(time.monotonic() + 60, abs=5)


def test_an_old_answer_renews_no_lease() -> None:
    """A process that was halted finds the group's answer long after it came."""
    lease = Lease()
    lease.renew(4.0, since=time.monotonic() - 8.0)
    assert not lease.is_held
    lease.renew(4.0)
    assert lease.is_held
