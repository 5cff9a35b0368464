"""The acceptance cases about giving up, slow consumers, limits, and rules for what servers say."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import grpc
import pytest
from consuming import CURSOR, TICKS, Kind, asked_after, consuming, scripted, tick
from h2_server import Stream
from relay import Mode
from support.messages import case_bytes
from test_cases_wire_proxies import one_more, relayed

from faust_grpc import Backoff, Buffer, Rule
from faust_grpc.status import Verdict
from faust_grpc.testing import ScriptedServer, Send, Stall


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"max_attempts": 5}, "gave up after 5 attempts (Backoff(max_attempts=5)): UNAVAILABLE: "),
        ({"give_up_after_seconds": 0.5}, "(Backoff(give_up_after_seconds=0.5)): UNAVAILABLE: "),
    ],
    ids=["attempts", "seconds"],
)
async def test_W05_giving_up_has_a_name(kind: Kind, limit: dict[str, Any], text: str) -> None:
    backoff = Backoff(initial_seconds=0.02, maximum_seconds=0.1, **limit)
    async with relayed(one_more, kind, backoff=backoff) as (server, relay, rig):
        await rig.until(lambda: rig.seen == [1])
        relay.mode = Mode.DROP
        relay.reset()
        await rig.until(lambda: rig.split.state == "fatal")
        assert text in rig.split.reason
        assert any("stopped: gave up" in line for line in rig.warnings)
        # A person may have it tried again, from where it was.
        relay.mode = Mode.PASS

        def tried_again() -> bool:
            if rig.split.state == "fatal":  # gRPC's core may not have dialled meanwhile
                rig.feed.resume("main", skip=False)
            return len(rig.seen) == 2

        await rig.until(tried_again)
        assert rig.seen == [1, 2]
        assert len(server.streams) == 2


async def test_W06_nothing_is_left_of_a_call_that_failed(kind: Kind) -> None:
    """A start that failed, a pause, a message that is none: each time reading goes on."""
    garbage = case_bytes("bad_garbage")
    server = ScriptedServer()
    server.script(TICKS, [Send(tick(1), garbage, tick(2)), Stall()], [Send(tick(3)), Stall()])
    async with consuming(server.target, kind, cursor=CURSOR) as rig:
        await rig.until(lambda: rig.ended)
        rig.feed.pause("main", "maintenance")
        assert (rig.split.state, rig.split.reason) == ("paused", "maintenance")
        with server:
            rig.feed.resume("main", skip=False)
            await rig.has_seen(1, 2)
            await rig.until(lambda: rig.dead_letters)
            assert [letter.raw for letter in rig.dead_letters] == [garbage]
            assert len(server.calls) == 1, "a bad message is no reason for another call"

            rig.feed.pause("main", "maintenance")
            await rig.until(lambda: server.calls[0].over)
            rig.feed.resume("main", skip=False)
            await rig.has_seen(1, 2, 3)
            assert rig.agent.started


class Lagging:
    """A server that drops readers who fall too far behind what it makes.

    Arguments:
        total: messages that it makes, from the first call on.
        rate: messages a second.
        queue: new messages that may wait for one reader.
    """

    def __init__(self, total: int, rate: float, queue: int) -> None:
        self.total, self.rate, self.queue = total, rate, queue
        self.dropped = 0
        self._began: float | None = None

    @property
    def made(self) -> int:
        """Messages that exist now."""
        if self._began is None:
            self._began = time.monotonic()
        return min(self.total, int((time.monotonic() - self._began) * self.rate))

    async def from_cursor(self, stream: Stream) -> None:
        """Send from where the reader asks."""
        await self.send(stream, await asked_after(stream))

    async def from_now(self, stream: Stream) -> None:
        """Send what is made from now on."""
        await self.send(stream, self.made)

    async def send(self, stream: Stream, position: int) -> None:
        """Send, until the reader is too far behind."""
        await stream.headers()
        backlog = self.made - position
        while self.made - position <= backlog + self.queue:
            if position < self.made:
                position += 1
                await stream.message(tick(position, sym="x" * 1000))
            else:
                await asyncio.sleep(0.002)  # until more are made
        self.dropped += 1
        await stream.trailers(13, "lagged to send an update")


TIGHT = Buffer(messages=16, unacked=16)


async def test_W07_a_slow_consumer_with_a_cursor(kind: Kind) -> None:
    source = Lagging(1200, 4000, 150)
    async with scripted(source.from_cursor, kind, cursor=CURSOR, buffer=TIGHT) as (server, rig):
        rig.busy_seconds = 0.001
        await rig.until(lambda: len(rig.seen) >= 1200, 60)
        assert rig.seen == list(range(1, 1201))
        assert rig.split.endings == {"INTERNAL": source.dropped}
        assert source.dropped >= 1
        # No hot loop: what it was dropped for must have come together again each time.
        assert len(server.streams) == rig.split.calls <= 1200 / 150 + 1
        assert "lagged to send an update (this reader is too slow" in rig.ended[0].reason


async def test_W07_a_slow_consumer_without_a_cursor(kind: Kind) -> None:
    source = Lagging(1200, 4000, 150)
    async with scripted(source.from_now, kind, buffer=TIGHT) as (server, rig):
        rig.busy_seconds = 0.001

        def settled() -> bool:
            split = rig.split
            return (
                source.made == source.total
                and len(server.streams) == source.dropped + 1
                and not split.unacked
                and not split.buffered
                and split.state in ("open", "receiving")
            )

        await rig.until(settled, 60)
        assert source.dropped >= 1
        assert rig.split.possible_gaps == source.dropped
        assert rig.seen == sorted(set(rig.seen))


class OneSlot(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the stubs
    """A server that allows one call, and counts an ended one for another second."""

    def __init__(self) -> None:
        self.free = threading.Semaphore(1)
        #: When each call came, and whether it got the slot.
        self.calls: list[tuple[float, bool]] = []
        self._timers: list[threading.Timer] = []

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_stream_rpc_method_handler(self.stream)

    def stream(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        taken = self.free.acquire(blocking=False)
        self.calls.append((time.monotonic(), taken))
        if not taken:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "80001: too many streams")
        over = threading.Event()
        context.add_callback(over.set)
        yield tick(len(self.calls))
        over.wait()
        timer = threading.Timer(1.0, self.free.release)
        timer.start()
        self._timers.append(timer)

    def close(self) -> None:
        for timer in self._timers:
            timer.join()


@pytest.fixture
def one_slot() -> Iterator[tuple[OneSlot, str]]:
    """The handler and where it listens."""
    handler = OneSlot()
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield handler, f"127.0.0.1:{port}"
        server.stop(0).wait()
    # A call is over before its handler is: only now is every timer known.
    handler.close()


async def test_W08_a_split_moves_and_the_server_still_counts_the_old_call(
    kind: Kind, one_slot: tuple[OneSlot, str]
) -> None:
    handler, target = one_slot
    async with consuming(target, kind) as old:
        await old.until(lambda: old.seen)
        assert old.split.state == "receiving"
        # As at a rebalance: given up only when its call has ended.
        old.feed.drop(["main"])
        await old.feed.closed(5.0)
        (connection,) = old.feed.connections
        assert not any(channel.calls for channel in connection._channels), "its call is over"
        given_up = time.monotonic()
        async with consuming(target, kind) as new:
            await new.until(lambda: new.seen, 20)
            assert set(new.split.endings) <= {"RESOURCE_EXHAUSTED"}
            assert "RESOURCE_EXHAUSTED" in new.split.rule or not new.split.endings
    # What is measured is when it asked, not how busy this machine is.
    asked = [at for at, _ in handler.calls[1:]]
    assert asked[-1] - given_up < 5.0
    assert all(later - earlier > 0.5 for earlier, later in pairwise(asked))


RULES = (
    Rule(grpc.StatusCode.RESOURCE_EXHAUSTED, Verdict.SLOW, "80001"),
    Rule(grpc.StatusCode.RESOURCE_EXHAUSTED, Verdict.FATAL, "80004", "nothing is subscribed"),
    Rule(grpc.StatusCode.RESOURCE_EXHAUSTED, Verdict.RETRY, "8000"),
)


async def test_W09_one_code_for_two_things(kind: Kind) -> None:
    texts = iter(["80001: limit", "80004: closed as idle"])

    async def refuse(stream: Stream) -> None:
        await stream.refuse(8, next(texts))

    backoff = Backoff(slow_initial_seconds=0.2)
    async with scripted(refuse, kind, cursor=CURSOR, rules=RULES, backoff=backoff) as (_, rig):
        await rig.until(lambda: rig.split.state == "waiting")
        assert rig.split.rule == "rules=: RESOURCE_EXHAUSTED '80001': slow"
        assert 0.1 <= rig.ended[0].seconds <= 0.2
        await rig.until(lambda: rig.split.state == "fatal")
        assert rig.split.rule == "rules=: RESOURCE_EXHAUSTED '80004': fatal"
        assert rig.split.reason == (
            "RESOURCE_EXHAUSTED: 80004: closed as idle (nothing is subscribed)"
        )
        assert rig.split.calls == 2


async def test_W09_the_built_in_rule_is_shown_too(kind: Kind) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.refuse(3, "no such market")

    async with scripted(refuse, kind) as (_, rig):
        await rig.until(lambda: rig.split.state == "fatal")
        assert rig.split.rule.startswith("built in: INVALID_ARGUMENT: ")
