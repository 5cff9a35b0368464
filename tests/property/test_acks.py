"""The low-water mark under every order of acks."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from faust_grpc.acks import Delivery, LowWaterMark


class Acks(RuleBasedStateMachine):
    """Adds and acks in any order, against a model that is a plain list."""

    deliveries = Bundle("deliveries")

    def __init__(self) -> None:
        super().__init__()
        self.mark = LowWaterMark("start")
        self.model: list[tuple[Delivery, int | None]] = []

    @rule(target=deliveries, cursor=st.one_of(st.none(), st.integers(1, 2**64 - 1)))
    def add(self, cursor: int | None) -> Delivery:
        delivery = Delivery(len(self.model) + 1, cursor)
        self.mark.add(delivery)
        self.model.append((delivery, cursor))
        return delivery

    @rule(delivery=deliveries)
    def ack(self, delivery: Delivery) -> None:
        self.mark.ack(delivery)

    @rule()
    def look(self) -> None:
        self.mark.position()

    @invariant()
    def counts_what_is_not_acked(self) -> None:
        assert self.mark.unacked == sum(not delivery.acked for delivery, _ in self.model)

    @invariant()
    def mark_is_the_last_with_all_before_it_acked(self) -> None:
        position, cursor = 0, "start"
        for delivery, its_cursor in self.model:
            if not delivery.acked:
                break
            position = delivery.position
            cursor = its_cursor if its_cursor is not None else cursor
        # A deep copy looks, so that the tested mark is looked at only when a rule does it.
        probe = copy.deepcopy(self.mark)
        assert (probe.position(), probe.cursor()) == (position, cursor)


TestAcks = Acks.TestCase


@given(st.permutations(range(1, 40)))
def test_mark_reaches_the_end_in_every_order(order: list[int]) -> None:
    mark = LowWaterMark()
    deliveries = {position: Delivery(position, position) for position in range(1, 40)}
    for delivery in deliveries.values():
        mark.add(delivery)
    acked: set[int] = set()
    for position in order:
        mark.ack(deliveries[position])
        mark.ack(deliveries[position])  # a second ack changes nothing
        acked.add(position)
        first_open = min(set(deliveries) - acked, default=40)
        assert mark.position() == first_open - 1
        assert mark.cursor() == (first_open - 1 or None)
        oldest = mark.oldest
        assert (oldest.position if oldest else 40) == first_open
    assert mark.unacked == mark.held == 0
