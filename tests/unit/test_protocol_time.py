"""Silence, old calls, and snapshots."""

from __future__ import annotations

from typing import Any

from grpc import StatusCode
from support.protocols import (
    CURSOR,
    FRAMES,
    METHOD,
    Frame,
    asks_after,
    brought,
    ended,
    started,
)

from faust_grpc import Cursor, Timeouts
from faust_grpc.acks import Delivery
from faust_grpc.protocol import (
    Close,
    DeclaredProtocol,
    Finish,
    Synced,
    Warn,
)
from faust_grpc.protocol.redaction import redacted
from faust_grpc.types import Status


def test_T14_an_old_call_is_closed_and_the_next_one_resumes_at_once() -> None:
    protocol = started(cursor=CURSOR, timeouts=Timeouts(max_call_age_seconds=10))
    brought(protocol, 1)
    due = protocol.deadline
    assert due is not None
    assert 7.5 <= due <= 10
    (close,) = protocol.tick(due)
    assert isinstance(close, Close)
    assert protocol.deadline is None
    brought(protocol, 2, 3)  # what had arrived
    ours = Status(StatusCode.CANCELLED, ours=True)
    assert asks_after(protocol.ended(ours, due)) == 3
    assert protocol.counts.endings == {"RENEWED": 1}


def test_W15_silence_is_told_as_such() -> None:
    timeouts = Timeouts(idle_seconds=10)
    protocol = started(cursor=CURSOR, timeouts=timeouts)
    brought(protocol, 1)
    protocol.heard(4.0)
    assert protocol.tick(10.0) == ()
    (wait,) = protocol.tick(14.0)
    assert wait.reason == "peer silent: nothing arrived for 10 s (Timeouts(idle_seconds=...))"
    assert wait.attempt == 1
    assert protocol.deadline is None
    assert protocol.counts.endings == {"SILENT": 1}
    assert asks_after(protocol.tick(15.0)) == 1


def test_W23_no_message_is_told_with_the_request_but_no_secret() -> None:
    protocol = started(
        request={"sym": "EURUSD", "after_seq": 5}, timeouts=Timeouts(first_message_seconds=5)
    )
    protocol.opened(1.0)
    (warn,) = protocol.tick(6.0)
    assert isinstance(warn, Warn)
    assert warn.text.startswith("no message since the call was accepted 5 s ago")
    assert "sym='EURUSD'" in warn.text
    assert protocol.tick(7.0) == ()


def test_requests_are_shown_without_secrets() -> None:
    set_class = METHOD.request_class
    request: Any = set_class(sym="x" * 100)
    assert redacted(request) == "{sym='" + "x" * 39 + "…}"


# Snapshots


def frames(protocol: DeclaredProtocol, *fields: dict[str, Any]) -> list[Any]:
    actions: list[Any] = []
    for each in fields:
        actions += protocol.message(Frame(**each).SerializeToString())
    return actions


def test_W20_a_call_is_synced_with_its_marker() -> None:
    cursor = Cursor("tick.seq", into="after_seq")
    options = {"method": FRAMES, "cursor": cursor, "end_of_snapshot": "live", "skip": "live"}
    protocol = started(**options)
    actions = frames(protocol, {"tick": {"seq": 1}}, {"tick": {"seq": 2}}, {"live": True})
    assert [type(action) for action in actions] == [Delivery, Delivery, Synced]
    for delivery in actions[:2]:
        protocol.acked(delivery)
    assert protocol.checkpoint() is None, "a position inside a snapshot is none to resume behind"
    (delivery,) = frames(protocol, {"tick": {"seq": 3}})
    protocol.acked(delivery)
    assert protocol.checkpoint() is not None
    ended(protocol, StatusCode.UNAVAILABLE)
    assert asks_after(protocol.tick()) == 3
    assert [type(action) for action in frames(protocol, {"tick": {"seq": 4}})] == [Delivery, Synced]


def test_W20_a_snapshot_that_was_cut_is_asked_for_anew() -> None:
    cursor = Cursor("tick.seq", into="after_seq")
    protocol = started(method=FRAMES, cursor=cursor, end_of_snapshot="live")
    frames(protocol, {"tick": {"seq": 1}})
    ended(protocol, StatusCode.UNAVAILABLE)
    assert asks_after(protocol.tick()) == 0


def test_W20_a_snapshot_that_does_not_move_on() -> None:
    timeouts = Timeouts(sync_seconds=10)
    protocol = started(method=FRAMES, end_of_snapshot="live", skip="ping", timeouts=timeouts)
    protocol.opened(1.0)
    protocol.heard(9.0)
    frames(protocol, {"tick": {"seq": 1}})
    assert protocol.tick(10.0) == ()
    assert protocol.deadline == 19.0
    protocol.heard(18.0)
    frames(protocol, {"ping": {"id": 1}})  # a sign of life, but no event of the snapshot
    (wait,) = protocol.tick(19.0)
    assert wait.reason.startswith("not synced: no event of the snapshot arrived for 10 s")


def test_A04_once_ends_with_the_snapshot() -> None:
    protocol = started(method=FRAMES, end_of_snapshot="live", after_snapshot="stop", skip="live")
    actions = frames(protocol, {"tick": {"seq": 1}}, {"live": True})
    assert [type(action) for action in actions] == [Delivery, Synced, Finish]
