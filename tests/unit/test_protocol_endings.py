"""What follows the end of a call, by its status, the life of the split, and what was declared."""

from __future__ import annotations

import random
from typing import Any

import pytest
from grpc import StatusCode
from support.messages import SETS, case_bytes

from faust_grpc import Backoff, Cursor, Timeouts
from faust_grpc.acks import Delivery
from faust_grpc.declaration import Declaration
from faust_grpc.exceptions import ConfigurationError, DataError
from faust_grpc.protocol import (
    Call,
    Close,
    Dead,
    DeclaredProtocol,
    Finish,
    Stop,
    Synced,
    Wait,
    Warn,
)
from faust_grpc.protocol.redaction import redacted
from faust_grpc.schema import schema_from
from faust_grpc.status import Rule, Verdict
from faust_grpc.targets import parse_targets
from faust_grpc.types import Split, Status

SCHEMA = schema_from(SETS / "feed.binpb")
METHOD = SCHEMA.method("cases.feed.v1.Feed/Ticks")
FRAMES = SCHEMA.method("cases.feed.v1.Feed/Frames")
Tick: Any = METHOD.response_class
Frame: Any = FRAMES.response_class
SPLIT = Split("main")
CURSOR = Cursor("seq", into="after_seq")
TOO_LARGE = Status(StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (8 vs. 4)")


def started(
    saved: Any = None, method: Any = METHOD, now: float = 0.0, **options: Any
) -> DeclaredProtocol:
    declaration = Declaration(
        name="feed",
        targets=parse_targets("127.0.0.1:1"),
        method=method.full_name,
        schema=SCHEMA,
        splits=(SPLIT,),
        **options,
    )
    protocol = declaration.plan(method).protocol(SPLIT, saved)
    protocol.start(now)
    return protocol


def ended(
    protocol: DeclaredProtocol, code: StatusCode, details: str = "", now: float = 1.0
) -> list[Any]:
    return list(protocol.ended(Status(code, details), now))


def brought(protocol: DeclaredProtocol, *numbers: int) -> list[Any]:
    actions: list[Any] = []
    for number in numbers:
        actions += protocol.message(Tick(seq=number).SerializeToString())
    return actions


def asks_after(actions: Any) -> int:
    (call,) = actions
    assert isinstance(call, Call)
    return int(METHOD.request_class.FromString(call.requests[0]).after_seq)


@pytest.mark.parametrize(
    ("on_end", "kind"), [("reconnect", Wait), ("stop", Finish), ("fail", Stop)]
)
def test_the_end_of_the_stream(on_end: str, kind: type[Any]) -> None:
    protocol = started(on_end=on_end)
    brought(protocol, 1)
    (action,) = ended(protocol, StatusCode.OK)
    assert type(action) is kind
    assert action.reason.startswith("OK")
    (action,) = ended(started(on_end=on_end), StatusCode.UNAVAILABLE)
    assert isinstance(action, Wait), "only OK is the end"


def test_a_rule_of_the_user_may_end_it() -> None:
    protocol = started(rules=[Rule(StatusCode.ABORTED, Verdict.END, "closed")])
    (action,) = ended(protocol, StatusCode.ABORTED, "the market has closed")
    assert isinstance(action, Finish)
    assert protocol.rule == "rules=: ABORTED 'closed': end"


def test_what_time_does_not_heal_is_fatal_at_first_and_gets_grace_later() -> None:
    (action,) = ended(started(), StatusCode.NOT_FOUND)
    assert isinstance(action, Stop)
    protocol = started()
    brought(protocol, 1)
    for _ in range(6):
        (action,) = ended(protocol, StatusCode.NOT_FOUND)
        assert isinstance(action, Wait)
        protocol.tick()
    (action,) = ended(protocol, StatusCode.NOT_FOUND)
    assert isinstance(action, Stop)
    assert protocol.rule == "built in: NOT_FOUND: fatal"


def test_a_call_that_stood_for_long_was_healthy_though_silent() -> None:
    protocol = started(backoff=Backoff(initial_seconds=1, maximum_seconds=1024))
    for attempt in range(1, 4):
        (action,) = ended(protocol, StatusCode.UNAVAILABLE)
        assert action.attempt == attempt
        protocol.tick(1.0)
    protocol.opened(10.0)
    (action,) = ended(protocol, StatusCode.UNAVAILABLE, now=19.0)
    assert action.attempt == 4, "a mere connect is no life"
    protocol.tick(20.0)
    protocol.opened(20.0)
    (action,) = ended(protocol, StatusCode.UNIMPLEMENTED, now=31.0)
    assert isinstance(action, Wait)
    assert action.attempt == 1


@pytest.mark.parametrize("renews", [True, False])
def test_M07_a_refused_token_is_asked_for_once_more(renews: bool) -> None:
    protocol = started(metadata=(lambda: None) if renews else None)
    (action,) = ended(protocol, StatusCode.UNAUTHENTICATED)
    assert isinstance(action, Wait if renews else Stop)
    if not renews:
        return
    protocol.tick()
    (action,) = ended(protocol, StatusCode.UNAUTHENTICATED)
    assert isinstance(action, Stop)


def test_M07_a_token_that_expires_in_good_calls() -> None:
    protocol = started(metadata=lambda: None)
    for number in range(1, 5):
        brought(protocol, number)
        (action,) = ended(protocol, StatusCode.UNAUTHENTICATED)
        assert isinstance(action, Wait)
        protocol.tick()
    (action,) = ended(protocol, StatusCode.UNAUTHENTICATED)
    assert isinstance(action, Stop), "a fresh token was refused"


def test_W08_a_server_at_its_limit_is_asked_slowly() -> None:
    protocol = started()
    waits = []
    for _ in range(20):
        (action,) = ended(protocol, StatusCode.RESOURCE_EXHAUSTED, "4 streams at most")
        waits.append(action.seconds)
        protocol.tick()
    assert all(seconds >= 1 for seconds in waits)
    assert 1 <= waits[0] <= 2
    assert 30 <= waits[-1] <= 60


@pytest.mark.parametrize(
    ("backoff", "attempts", "text"),
    [
        (Backoff(max_attempts=3), 3, "gave up after 3 attempts (Backoff(max_attempts=3)): UNAV"),
        (Backoff(give_up_after_seconds=60), 7, "gave up after 60 s and 7 attempts (Backoff(give_"),
    ],
)
def test_W05_attempts_come_to_an_end(backoff: Backoff, attempts: int, text: str) -> None:
    protocol = started(backoff=backoff)
    for attempt in range(1, attempts):
        (action,) = ended(protocol, StatusCode.UNAVAILABLE, now=10.0 * attempt)
        assert isinstance(action, Wait)
        protocol.tick()
    (action,) = ended(protocol, StatusCode.UNAVAILABLE, now=10.0 * attempts)
    assert isinstance(action, Stop)
    assert text in action.reason
    # A person asks for more.
    protocol.start(100.0)
    (action,) = ended(protocol, StatusCode.UNAVAILABLE, now=101.0)
    assert isinstance(action, Wait)


# The cursor


@pytest.mark.parametrize(
    "code",
    [StatusCode.OUT_OF_RANGE, StatusCode.FAILED_PRECONDITION, StatusCode.INVALID_ARGUMENT],
)
def test_K03_a_lost_cursor_stops_and_says_how_to_go_on(code: StatusCode) -> None:
    protocol = started(saved=41, cursor=CURSOR)
    (action,) = ended(protocol, code, "bad token")
    assert isinstance(action, Stop)
    assert action.lost_cursor
    assert "cannot resume behind cursor 41" in action.reason
    assert "Cursor(on_lost='earliest')" in action.reason
    assert "faust-grpc checkpoint reset" in action.reason
    (action,) = ended(started(cursor=CURSOR), code)
    assert isinstance(action, Stop), "without a position it is the request that is refused"
    assert not action.lost_cursor


@pytest.mark.parametrize(
    ("cursor", "after"),
    [
        ({"on_lost": "earliest"}, 0),
        ({"on_lost": "earliest", "start": 7}, 7),
        ({"on_lost": "earliest", "start": 7, "earliest": 3}, 3),
        ({"on_lost": "latest"}, 0),
        ({"on_lost": "latest", "latest": 900, "start": 7}, 900),
    ],
    ids=str,
)
def test_K03_a_lost_cursor_goes_on_elsewhere(cursor: dict[str, Any], after: int) -> None:
    protocol = started(saved=41, cursor=Cursor("seq", into="after_seq", **cursor))
    warn, wait = ended(protocol, StatusCode.OUT_OF_RANGE, "compacted")
    assert isinstance(warn, Warn)
    assert isinstance(wait, Wait)
    assert "cursor 41" in warn.text, "the old one is in the log"
    assert "data is missing" in warn.text
    assert protocol.counts.lost_cursors == 1
    assert asks_after(protocol.tick()) == after
    (delivery,) = brought(protocol, 950)
    protocol.acked(delivery)
    checkpoint = protocol.checkpoint()
    assert checkpoint is not None
    assert checkpoint.cursor == 950


def test_K03_a_request_refused_without_a_cursor_too_is_the_request() -> None:
    protocol = started(saved=41, cursor=Cursor("seq", into="after_seq", on_lost="latest"))
    ended(protocol, StatusCode.INVALID_ARGUMENT)
    assert asks_after(protocol.tick()) == 0
    (action,) = ended(protocol, StatusCode.INVALID_ARGUMENT)
    assert isinstance(action, Stop)
    checkpoint = protocol.checkpoint()
    assert checkpoint is None or checkpoint.cursor == 41, "what was saved is not overwritten"


@pytest.mark.parametrize("option", ["start", "earliest", "latest"])
def test_positions_are_of_the_cursor_s_kind(option: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Cursor\({option}='x'\): is str"):
        started(cursor=Cursor("seq", into="after_seq", **{option: "x"}))  # type: ignore[arg-type]  # that is the point


def shuffled(seed: int, total: int = 300) -> list[int]:
    """Return numbers that are at most two places away from their own."""
    rng = random.Random(seed)
    return sorted(range(1, total + 1), key=lambda number: number + rng.uniform(0, 2))


@pytest.mark.parametrize("seed", range(20))
def test_A03_a_cursor_that_is_coarse_and_late(seed: int) -> None:
    """No loss, no repeats, over resets anywhere and a bounded memory."""
    rng = random.Random(seed)
    history = shuffled(seed)
    cursor = Cursor("seq", into="after_seq", rewind=2, dedupe="seq", dedupe_window=16)
    protocol = started(cursor=cursor)
    seen: list[int] = []
    after, at = 0, 0
    while at < len(history):
        until = min(len(history), at + rng.randint(1, 12))
        for number in history[at:until]:
            if number <= after:
                continue
            for delivery in brought(protocol, number):
                seen.append(delivery.records[0].value.seq)
                protocol.acked(delivery)
        at = until
        if rng.random() < 0.5:
            ended(protocol, StatusCode.UNAVAILABLE)
            after = asks_after(protocol.tick())
            # The server begins again with the first of its history that is asked for.
            at = next(index for index, number in enumerate(history) if number > after)
    assert sorted(seen) == list(range(1, 301))
    assert protocol.counts.repeated
    assert protocol._recent is not None
    assert len(protocol._recent) <= 32


def test_A03_a_new_process_asks_again_too() -> None:
    cursor = Cursor("seq", into="after_seq", rewind=2, dedupe="seq")
    protocol = started(saved=10, cursor=cursor)
    assert asks_after(protocol.start()) == 7
    assert len(brought(protocol, 8, 9, 10, 11)) == 4, "what was seen is not saved"


def test_A03_a_message_that_was_halted_on_is_not_known() -> None:
    broken = True

    def value(tick: Any) -> Any:
        if broken and tick.seq == 2:
            raise ValueError("no such symbol")
        return tick

    cursor = Cursor("seq", into="after_seq", rewind=1, dedupe="seq")
    protocol = started(cursor=cursor, on_poison="halt", value_type=value)
    brought(protocol, 1)
    assert brought(protocol, 2)[1].poison
    broken = False
    assert asks_after(protocol.start()) == 0
    assert len(brought(protocol, 1, 2)) == 1


@pytest.mark.parametrize(
    ("cursor", "text"),
    [
        (Cursor("sym", into="sym", rewind=1), "only an integer can be rewound"),
        (Cursor("seq", into="after_seq", dedupe="nope"), r"Cursor\(dedupe='nope'\): "),
        (Cursor("seq", into="after_seq", dedupe="at"), "is message; name a scalar in it"),
    ],
)
def test_A03_what_cannot_work(cursor: Cursor, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        started(cursor=cursor)


def test_A03_an_identity_that_cannot_be_remembered_is_a_dead_letter() -> None:
    cursor = Cursor("seq", into="after_seq", dedupe=lambda tick: [tick.seq])
    (dead,) = brought(started(cursor=cursor), 1)
    assert dead.reason == "Cursor(dedupe=...): gave list, which cannot be remembered"


# Poison


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


# Time


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
    set_class = SCHEMA.method("cases.feed.v1.Feed/Ticks").request_class
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


def test_W10_three_equal_lives_are_a_hint() -> None:
    protocol = started()
    for number in range(1, 4):
        began = 10.0 * number
        protocol.tick(began) if number > 1 else protocol.start(began)
        protocol.opened(began)
        protocol.heard(began + number / 2)
        brought(protocol, number)
        (wait,) = ended(protocol, StatusCode.INTERNAL, "RST_STREAM", now=began + number / 2 + 3)
        assert ("calls end after 3 s without data" in wait.reason) == (number == 3)
    assert "idle time-out of a proxy" in protocol.hint
