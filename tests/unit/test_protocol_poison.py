"""Messages that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from support.messages import case_bytes
from support.protocols import (
    CURSOR,
    asks_after,
    brought,
    started,
)

from faust_grpc.acks import Delivery
from faust_grpc.exceptions import DataError
from faust_grpc.protocol import (
    Dead,
    Stop,
    Wait,
)
from faust_grpc.types import Status

TOO_LARGE = Status(StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (8 vs. 4)")


def test_K02_halt_keeps_the_letter_and_reads_the_message_again() -> None:
    bad = case_bytes("bad_garbage")
    protocol = started(cursor=CURSOR, on_poison="halt")
    (delivery,) = brought(protocol, 1)
    protocol.acked(delivery)
    dead, stop = protocol.message(bad)
    assert isinstance(dead, Dead)
    assert isinstance(stop, Stop)
    assert stop.poison
    assert stop.reason.startswith("halted on a bad message: ")
    protocol.acked(dead.delivery)
    checkpoint = protocol.checkpoint()
    assert checkpoint is not None
    assert checkpoint.cursor == 1, "a restart reads it again"
    assert asks_after(protocol.start()) == 1
    dead, stop = protocol.message(bad)
    assert stop.poison
    protocol.skip()
    assert asks_after(protocol.start()) == 1
    assert protocol.message(bad) == (), "passed over, and not kept twice"
    assert len(brought(protocol, 3)) == 1
    assert protocol.message(case_bytes("bad_html"))[1].poison, "one word is for one message"


def test_K02_a_message_that_does_not_fit_is_halted_on_before_its_cursor() -> None:
    def value(tick: Any) -> Any:
        if tick.seq == 2:
            raise ValueError("no such symbol")
        return tick

    protocol = started(cursor=CURSOR, on_poison="halt", value_type=value)
    brought(protocol, 1)
    _, stop = brought(protocol, 2)
    assert stop.poison
    protocol.skip()
    assert asks_after(protocol.start()) == 1
    assert brought(protocol, 2) == []
    (delivery,) = brought(protocol, 3)
    assert isinstance(delivery, Delivery)


def test_there_is_nothing_to_pass_over() -> None:
    protocol = started(cursor=CURSOR)
    with pytest.raises(DataError, match="did not halt on a bad message"):
        protocol.skip()


def test_D12_a_message_beyond_the_limit_is_asked_for_twice_and_no_more() -> None:
    protocol = started(cursor=CURSOR, on_poison="halt")
    brought(protocol, 1)
    (wait,) = protocol.ended(TOO_LARGE)
    assert isinstance(wait, Wait)
    assert asks_after(protocol.tick()) == 1
    dead, stop = protocol.ended(TOO_LARGE)
    assert dead.raw == b""
    assert isinstance(stop, Stop)
    assert "raise Buffer(message_size_bytes=...)" in stop.reason


def test_D12_a_message_beyond_the_limit_is_passed_over_where_positions_are_numbers() -> None:
    protocol = started(cursor=CURSOR)
    brought(protocol, 1)
    protocol.ended(TOO_LARGE)
    protocol.tick()
    dead, wait = protocol.ended(TOO_LARGE)
    assert isinstance(dead, Dead)
    assert asks_after(protocol.tick()) == 2
    protocol.acked(dead.delivery)
    brought(protocol, 3)
    # Elsewhere, again: that one is tried twice too.
    (wait,) = protocol.ended(TOO_LARGE)
    assert isinstance(wait, Wait)
    protocol.tick()
    dead, wait = protocol.ended(TOO_LARGE)
    assert asks_after(protocol.tick()) == 4
    # And still: its position is not the next one, so nobody knows it.
    protocol.ended(TOO_LARGE)
    protocol.tick()
    dead, stop = protocol.ended(TOO_LARGE)
    assert isinstance(stop, Stop)


def test_D12_without_positions_the_same_place_is_told_by_counting() -> None:
    protocol = started()
    for place in (3, 5, 2):
        brought(protocol, *range(1, place + 1))
        (wait,) = protocol.ended(TOO_LARGE)
        assert isinstance(wait, Wait), "another place: another message"
        protocol.tick()
    brought(protocol, 1, 2)
    _, stop = protocol.ended(TOO_LARGE)
    assert isinstance(stop, Stop)
