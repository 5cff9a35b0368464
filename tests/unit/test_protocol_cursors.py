"""Positions: lost ones, and coarse ones that come late."""

from __future__ import annotations

import random
from typing import Any

import pytest
from grpc import StatusCode
from support.protocols import (
    CURSOR,
    asks_after,
    brought,
    ended,
    started,
)

from faust_grpc import Cursor
from faust_grpc.exceptions import ConfigurationError
from faust_grpc.protocol import (
    Stop,
    Wait,
    Warn,
)


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
