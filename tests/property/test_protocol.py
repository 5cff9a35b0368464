"""One split's life under random interleavings: messages, acks, ends, ticks, checkpoints, crashes.

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
from faust_grpc.config import Backoff
from faust_grpc.cursors import Cursor
from faust_grpc.decoding import build_decoder
from faust_grpc.protocol import Action, Call, Dead, DeclaredProtocol, Stop, Wait
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
RETRYABLE = [StatusCode.OK, StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.INTERNAL]


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
        self.begin()

    def begin(self) -> None:
        self.protocol = DeclaredProtocol(
            METHOD,
            Request(region="r0"),
            DECODER,
            Delays(Backoff(), self.rng),
            cursor=CURSOR,
            resume=self.saved,
        )
        self.open: list[tuple[Delivery, int]] = []
        self.delivered: list[int] = []
        self.call: Call | None = None
        self.waiting = False
        self.next = 0
        self.perform(self.protocol.start(), 0)

    def perform(self, actions: Iterable[Action], sequence: int) -> None:
        for action in actions:
            match action:
                case Call():
                    assert self.call is None, "two calls at once"
                    self.call, self.waiting = action, False
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
                    assert 0 <= action.seconds <= Backoff().maximum_seconds
                    self.waiting = True
                case Stop():
                    raise AssertionError(f"stopped: {action.reason}")

    @precondition(lambda self: self.call is not None)
    @rule(count=st.integers(1, 12), overlap=st.integers(0, 3))
    def server_sends(self, count: int, overlap: int) -> None:
        # Backlog and live feed overlap in some servers: only a fresh call begins with repeats.
        if self.protocol._catching_up:
            self.next = max(1, self.next - overlap)
        for _ in range(count):
            self.perform(self.protocol.message(raw(self.next)), self.next)
            self.next += 1

    @precondition(lambda self: self.call is not None)
    @rule(code=st.sampled_from(RETRYABLE))
    def call_ends(self, code: StatusCode) -> None:
        self.call = None
        self.perform(self.protocol.ended(Status(code)), 0)
        assert self.waiting

    @precondition(lambda self: self.waiting)
    @rule()
    def delay_is_over(self) -> None:
        self.perform(self.protocol.tick(), 0)

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
