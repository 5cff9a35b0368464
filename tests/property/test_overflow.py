"""What waits for slow agents, under random interleavings of arrivals, room and acks."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from faust_grpc.acks import Delivery, LowWaterMark
from faust_grpc.config import Buffer
from faust_grpc.types import Record
from faust_grpc.window import Window

POLICIES = ["drop_oldest", "drop_newest", "latest"]
UNACKED, MESSAGES = 3, 4


class Overflow(RuleBasedStateMachine):
    """Drives a window the way a split does; an event's value is its number."""

    @initialize(policy=st.sampled_from(POLICIES), size_bytes=st.sampled_from([40, 10_000]))
    def begin(self, policy: Any, size_bytes: int) -> None:
        self.policy = policy
        self.mark = LowWaterMark()
        bounds = Buffer(messages=MESSAGES, size_bytes=size_bytes, unacked=UNACKED, overflow=policy)
        self.window = Window(self.mark, bounds, self.drop)
        self.position = self.number = 0
        self.arrived: list[Record] = []
        self.delivered: list[Record] = []
        self.dropped = 0
        self.with_agents: list[Delivery] = []

    def drop(self, delivery: Delivery, events: int) -> None:
        assert events > 0
        self.dropped += events
        self.finish(delivery, events)
        self.window.dropped()

    def finish(self, delivery: Delivery, events: int) -> None:
        delivery.parts -= events
        assert delivery.parts >= 0
        if not delivery.parts:
            self.mark.ack(delivery)

    @precondition(lambda self: self.window.intake() > 0)
    @rule(keys=st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), min_size=1, max_size=3))
    def a_message_arrives(self, keys: list[str | None]) -> None:
        records = []
        for key in keys:
            self.number += 1
            records.append(Record(key, self.number, None))
        self.position += 1
        delivery = Delivery(self.position, self.position, tuple(records))
        self.mark.add(delivery)
        self.arrived += records
        backlog = self.window.backlog
        assert backlog is not None
        backlog.add(delivery, 10 * len(records))

    @rule()
    def what_there_is_room_for_is_delivered(self) -> None:
        for delivery in self.window.admit():
            assert delivery.records
            self.delivered += delivery.records
            self.with_agents += [delivery] * len(delivery.records)
        assert self.window.is_starved == (self.window.waiting > 0)

    @precondition(lambda self: self.with_agents)
    @rule(data=st.data())
    def an_agent_finishes_one(self, data: Any) -> None:
        index = data.draw(st.integers(0, len(self.with_agents) - 1))
        self.finish(self.with_agents.pop(index), 1)

    @rule()
    def somebody_saves(self) -> None:
        self.mark.compact()
        position = self.mark.position()
        assert self.mark.cursor() == (position or None)

    @invariant()
    def agents_have_no_more_than_they_may(self) -> None:
        if self.number:
            assert len(set(self.with_agents)) == self.window.unacked <= UNACKED

    @invariant()
    def nothing_is_unaccounted_for(self) -> None:
        if not self.number:
            return
        waiting = len(self.arrived) - len(self.delivered) - self.dropped
        assert waiting >= self.window.waiting
        assert (waiting > 0) == (self.window.waiting > 0)

    @invariant()
    def each_key_keeps_its_order(self) -> None:
        if not self.number:
            return
        newest: dict[Any, int] = {}
        for record in self.delivered:
            if record.key is not None:
                assert record.value > newest.get(record.key, 0)
                newest[record.key] = record.value
        if self.policy != "latest":
            numbers = [record.value for record in self.delivered]
            assert numbers == sorted(numbers)

    def teardown(self) -> None:
        """At last agents finish everything: nothing hangs, and the newest of each key arrived."""
        if not getattr(self, "number", 0):
            return
        while self.with_agents or self.window.waiting:
            while self.with_agents:
                self.finish(self.with_agents.pop(), 1)
            self.what_there_is_room_for_is_delivered()
        assert self.mark.unacked == 0
        assert self.mark.position() == self.mark.cursor() == self.position
        assert len(self.delivered) + self.dropped == len(self.arrived)
        assert max(Counter(record.value for record in self.delivered).values(), default=1) == 1
        if self.policy == "latest":
            last = {record.key: record.value for record in self.arrived if record.key is not None}
            got = {record.key: record.value for record in self.delivered if record.key is not None}
            assert got == last
            nameless = {record.value for record in self.arrived if record.key is None}
            assert nameless <= {record.value for record in self.delivered}


TestOverflow = Overflow.TestCase
TestOverflow.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
