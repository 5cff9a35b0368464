"""``error=``: messages that are errors, with the stream left open, are judged as statuses are."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from support.messages import SETS

from faust_grpc import CursorLost
from faust_grpc.cursors import Cursor
from faust_grpc.declaration import Declaration
from faust_grpc.protocol import Call, DeclaredProtocol, Stop, Wait
from faust_grpc.schema import schema_from
from faust_grpc.status import Rule, Verdict
from faust_grpc.targets import parse_targets
from faust_grpc.types import Split

SCHEMA = schema_from(SETS / "feed.binpb")
METHOD = SCHEMA.method("cases.feed.v1.Feed/Frames")
Frame: Any = METHOD.response_class
SPLIT = Split("main")


def started(**options: Any) -> DeclaredProtocol:
    declaration = Declaration(
        name="feed",
        targets=parse_targets("127.0.0.1:1"),
        method=METHOD.full_name,
        schema=SCHEMA,
        splits=(SPLIT,),
        **{"cursor": Cursor("tick.seq", into="after_seq"), "error": "fault.text", **options},
    )
    protocol = declaration.plan(METHOD).protocol(SPLIT, None)
    protocol.start()
    return protocol


def said(protocol: DeclaredProtocol, **fields: Any) -> list[Any]:
    return list(protocol.message(Frame(**fields).SerializeToString()))


def test_an_error_in_a_message_ends_the_call_and_the_next_resumes() -> None:
    protocol = started(skip=("ping", "live"))
    said(protocol, tick={"seq": 1})
    (wait,) = said(protocol, fault={"text": "shard moved"})
    assert isinstance(wait, Wait)
    assert wait.reason == "UNKNOWN: shard moved"
    assert protocol.counts.endings == {"UNKNOWN": 1}
    (call,) = protocol.tick()
    assert isinstance(call, Call)
    assert METHOD.request_class.FromString(call.requests[0]).after_seq == 1


def test_a_rule_decides_by_the_text() -> None:
    rules = (
        Rule(StatusCode.UNKNOWN, Verdict.FATAL, "no such symbol", "check request="),
        Rule(StatusCode.UNKNOWN, Verdict.CURSOR_LOST, "compacted"),
    )
    protocol = started(rules=rules)
    said(protocol, tick={"seq": 1})
    (stop,) = said(protocol, fault={"text": "No such symbol: X"})
    assert stop == Stop("UNKNOWN: No such symbol: X (check request=)")
    protocol = started(rules=rules)
    said(protocol, tick={"seq": 1})
    (stop,) = said(protocol, fault={"text": "compacted at 7"})
    assert isinstance(stop, Stop)
    assert stop.lost_cursor
    assert "cannot resume behind cursor 1: UNKNOWN: compacted at 7" in stop.reason


def test_a_callable_tells_what_the_error_means() -> None:
    def lost(frame: Any) -> CursorLost | None:
        return CursorLost("compacted") if frame.fault.code == 11 else None

    protocol = started(error=lost)
    assert len(said(protocol, tick={"seq": 1})) == 1
    (stop,) = said(protocol, fault={"code": 11})
    assert isinstance(stop, Stop)
    assert stop.lost_cursor


def test_an_error_that_is_sent_at_once_backs_off() -> None:
    protocol = started()
    said(protocol, tick={"seq": 1})
    attempts = []
    for _ in range(5):
        (wait,) = said(protocol, fault={"text": "not now"})
        attempts.append(wait.attempt)
        protocol.tick()
    assert attempts == [1, 2, 3, 4, 5]
    said(protocol, tick={"seq": 2})
    (wait,) = said(protocol, fault={"text": "not now"})
    assert wait.attempt == 1


@pytest.mark.parametrize("fields", [{"ping": {"id": 5}}, {"live": True}], ids=str)
def test_skipped_messages_move_the_cursor(fields: dict[str, Any]) -> None:
    def position(frame: Any) -> int:
        return int(frame.tick.seq or frame.ping.id or 9)

    protocol = started(skip=("ping", "live"), cursor=Cursor(position, into="after_seq"))
    (delivery,) = said(protocol, tick={"seq": 1})
    assert said(protocol, **fields) == []
    assert protocol.checkpoint() is None, "the event before it is not acked"
    protocol.acked(delivery)
    checkpoint = protocol.checkpoint()
    assert checkpoint is not None
    assert checkpoint.cursor == position(Frame(**fields))
