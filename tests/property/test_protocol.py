"""One split's life under random interleavings: messages, acks, ends, time, checkpoints, crashes.

The model is a server with a fixed history that resumes behind a position, and a process that may
be killed at any moment and starts again from what it had saved.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from grpc import StatusCode
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from faust_grpc.acks import Delivery
from faust_grpc.backoff import Delays
from faust_grpc.config import Backoff, Timeouts
from faust_grpc.cursors import Cursor
from faust_grpc.decoding import build_decoder
from faust_grpc.protocol import Action, Call, Close, Dead, DeclaredProtocol, Stop, Wait, Warn
from faust_grpc.schema import schema_from
from faust_grpc.types import Status

METHOD = schema_from(Path(__file__).parents[2] / "examples" / "orders" / "orders.binpb").method(
    "shop.v1.OrderService/StreamOrders"
)
Order, Request = METHOD.response_class, METHOD.request_class
CURSOR = Cursor("sequence", into="after_sequence").bind(METHOD.input, METHOD.output)
DECODER = build_decoder(METHOD, key="region", skip=lambda order: order.order_id == "heartbeat")
#: Positions at which the server's history holds something else than a good order.
BAD, HEARTBEAT = 7, 5
RETRYABLE = [
    StatusCode.OK,
    StatusCode.UNAVAILABLE,
    StatusCode.CANCELLED,
    StatusCode.INTERNAL,
    StatusCode.RESOURCE_EXHAUSTED,
]
BACKOFF = Backoff()
TIMEOUTS = Timeouts(first_message_seconds=5, idle_seconds=20, max_call_age_seconds=60)


def raw(sequence: int) -> bytes:
    if sequence % BAD == 0:
        return b"\xff\xff garbage"
    name = "heartbeat" if sequence % HEARTBEAT == 0 else f"order-{sequence}"
    return bytes(Order(sequence=sequence, order_id=name).SerializeToString())


class SplitLife(RuleBasedStateMachine):
    """Drives a protocol the way a split does."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: int | None = None
        self.processed: set[int] = set()
        self.dead: set[int] = set()

    @initialize(seed=st.integers())
    def boot(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        self.protocol = DeclaredProtocol(
            METHOD,
            Request(region="r0"),
            DECODER,
            Delays(BACKOFF, self.rng),
            cursor=CURSOR,
            resume=self.saved,
            timeouts=TIMEOUTS,
        )
        self.open: list[tuple[Delivery, int]] = []
        self.delivered: list[int] = []
        self.call: Call | None = None
        self.waiting = self.closing = False
        self.heard_at = self.now
        self.next = 0
        self.perform(self.protocol.start(self.now), 0)

    def perform(self, actions: Iterable[Action], sequence: int) -> None:
        for action in actions:
            match action:
                case Call():
                    assert self.call is None, "two calls at once"
                    self.call, self.waiting, self.closing = action, False, False
                    self.called_at = self.heard_at = self.now
                    request = Request.FromString(action.requests[0])
                    assert request.region == "r0"
                    self.next = request.after_sequence + 1
                case Delivery():
                    assert action.records[0].value.sequence == sequence
                    self.delivered.append(sequence)
                    self.open.append((action, sequence))
                case Dead():
                    self.dead.add(sequence)
                    self.open.append((action.delivery, sequence))
                case Wait():
                    assert 0 <= action.seconds <= BACKOFF.slow_maximum_seconds
                    self.waiting = True
                    self.call = None  # whoever waits has no call: an open one is dropped
                case Close():
                    self.closing = True
                case Warn():
                    pass
                case Stop():
                    raise AssertionError(f"stopped: {action.reason}")

    @precondition(lambda self: self.call is not None)
    @rule(count=st.integers(1, 12), overlap=st.integers(0, 3))
    def server_sends(self, count: int, overlap: int) -> None:
        # Backlog and live feed overlap in some servers: only a fresh call begins with repeats.
        if self.protocol._catching_up:
            self.next = max(1, self.next - overlap)
        self.protocol.heard(self.now)
        self.heard_at = self.now
        for _ in range(count):
            self.perform(self.protocol.message(raw(self.next)), self.next)
            self.next += 1

    @precondition(lambda self: self.call is not None)
    @rule(code=st.sampled_from(RETRYABLE))
    def call_ends(self, code: StatusCode) -> None:
        self.call = None
        self.perform(self.protocol.ended(Status(code), self.now), 0)
        assert self.waiting

    @precondition(lambda self: self.call is not None and self.closing)
    @rule()
    def the_call_that_we_close_ends(self) -> None:
        self.call = None
        calls = self.protocol.counts.calls
        self.perform(self.protocol.ended(Status(StatusCode.CANCELLED, ours=True), self.now), 0)
        assert self.protocol.counts.calls == calls + 1, "a renewed call waits for nothing"

    @precondition(lambda self: self.call is not None)
    @rule()
    def server_accepts(self) -> None:
        self.perform(self.protocol.opened(self.now), 0)
        self.heard_at = self.now

    @precondition(lambda self: self.call is not None)
    @rule(seconds=st.floats(0.1, 70))
    def time_passes(self, seconds: float) -> None:
        """A split's timer fires when the deadline has come, and not before it."""
        ends = self.now + seconds
        while self.call is not None and (due := self.protocol.deadline) is not None and due <= ends:
            assert due >= self.called_at
            self.now = max(self.now, due)
            self.perform(self.protocol.tick(self.now), 0)
            later = self.protocol.deadline
            assert later is None or later > due or self.called_at == self.now, "it stands still"
        self.now = ends
        if self.call is not None and not self.closing:
            assert self.now - self.heard_at < 20.001, "nobody noticed the silence"
            assert self.now - self.called_at < 60.001, "nobody noticed the age"

    @rule()
    def a_person_restarts_it(self) -> None:
        self.call, self.waiting = None, False
        self.perform(self.protocol.start(self.now), 0)
        assert self.call is not None

    @precondition(lambda self: self.waiting)
    @rule()
    def delay_is_over(self) -> None:
        assert self.protocol.deadline is None
        self.perform(self.protocol.tick(self.now), 0)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def agents_finish_one(self, data: Any) -> None:
        delivery, sequence = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.protocol.acked(delivery)
        self.processed.add(sequence)

    @precondition(lambda self: self.open)
    @rule()
    def agents_finish_all(self) -> None:
        while self.open:
            delivery, sequence = self.open.pop(0)
            self.protocol.acked(delivery)
            self.processed.add(sequence)

    @rule(broker_takes_it=st.booleans())
    def save(self, broker_takes_it: bool) -> None:
        checkpoint = self.protocol.checkpoint()
        if checkpoint is not None and broker_takes_it:
            assert isinstance(checkpoint.cursor, int)
            assert self.saved is None or checkpoint.cursor > self.saved, "went back"
            self.saved = checkpoint.cursor
            self.protocol.saved(checkpoint)

    @rule()
    def kill(self) -> None:
        self.begin()

    @invariant()
    def nothing_below_the_checkpoint_is_lost(self) -> None:
        events = {n for n in range(1, (self.saved or 0) + 1) if n % HEARTBEAT or n % BAD == 0}
        assert events <= self.processed

    @invariant()
    def once_per_life_and_in_order(self) -> None:
        good = [n for n in self.delivered if n % BAD]
        assert good == sorted(set(good))
        if good:
            expected = [n for n in range(good[0], good[-1] + 1) if n % BAD and n % HEARTBEAT]
            assert good == expected

    @invariant()
    def the_mark_waits_for_the_slowest(self) -> None:
        cursor = self.protocol.mark.cursor()
        for _, sequence in self.open:
            assert cursor is None or isinstance(cursor, int)
            assert (cursor or 0) < sequence or sequence % BAD == 0


TestSplitLife = SplitLife.TestCase
TestSplitLife.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
