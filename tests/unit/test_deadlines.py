"""How long a call may be silent, and how old it may get."""

from __future__ import annotations

import math
import random

import pytest

from faust_grpc.config import Timeouts
from faust_grpc.deadlines import QUIET_SECONDS, Deadlines, Passed


def called(**timeouts: float | None) -> Deadlines:
    off: dict[str, float | None] = {"first_message_seconds": None, "sync_seconds": None}
    deadlines = Deadlines(Timeouts(**{**off, **timeouts}), random.Random(1))  # type: ignore[arg-type]  # a dict
    deadlines.called(100.0)
    return deadlines


def passed(deadlines: Deadlines, now: float) -> Passed | None:
    due = deadlines.due(now)
    return due.what if due is not None else None


def test_nothing_is_due_when_nothing_is_set() -> None:
    deadlines = called()
    assert deadlines.next() is None
    assert deadlines.due(1e9) is None


def test_silence_counts_from_the_last_sign_of_life() -> None:
    deadlines = called(idle_seconds=10)
    assert deadlines.next() == 110
    deadlines.opened(105)
    assert deadlines.next() == 115
    deadlines.heard(112)
    assert deadlines.next() == 122
    assert passed(deadlines, 121.9) is None
    assert passed(deadlines, 122) is Passed.IDLE


@pytest.mark.parametrize(
    ("opened", "text"),
    [(True, "no message since the call was accepted 5 s ago"), (False, "MAX_CONCURRENT_STREAMS")],
)
def test_a_word_about_the_first_message_is_said_once(opened: bool, text: str) -> None:
    deadlines = called(first_message_seconds=5)
    if opened:
        deadlines.opened(100)
    due = deadlines.due(105)
    assert due is not None
    assert due.what is Passed.FIRST_MESSAGE
    assert text in due.text
    assert deadlines.next() is None
    deadlines.called(200)
    assert deadlines.next() == 205, "the next call is another chance"


def test_a_message_in_time_needs_no_word() -> None:
    deadlines = called(first_message_seconds=5)
    deadlines.heard(104)
    assert passed(deadlines, 150) is None


def test_quiet_streams_get_a_word_once_in_their_life() -> None:
    deadlines = called()
    deadlines.heard(101)
    assert deadlines.next() == 101 + QUIET_SECONDS
    assert passed(deadlines, 101 + QUIET_SECONDS) is Passed.QUIET
    deadlines.called(1000)
    deadlines.heard(1001)
    assert deadlines.next() is None
    watched = called(idle_seconds=1000)
    watched.heard(101)
    assert watched.next() == 1101, "whoever has a watchdog needs no word"


def test_a_snapshot_may_take_long_while_it_moves() -> None:
    deadlines = called(sync_seconds=10)
    deadlines.called(100, syncing=True)
    for now in (105, 114, 123):
        deadlines.heard(now)
        deadlines.progress(now)
        assert passed(deadlines, now + 9) is None
    deadlines.heard(130)  # a heartbeat
    assert passed(deadlines, 133) is Passed.SYNC
    deadlines.synced()
    assert deadlines.next() == 130 + QUIET_SECONDS


def test_ages_are_spread_over_the_last_quarter() -> None:
    deadlines = called(max_call_age_seconds=100)
    ages = []
    for _ in range(200):
        deadlines.called(100)
        ages.append((deadlines.next() or 0) - 100)
    assert 75 <= min(ages) < 80
    assert 95 < max(ages) <= 100
    assert passed(deadlines, 201) is Passed.AGE
    assert passed(deadlines, 300) is None, "one call is renewed once"


def test_credentials_may_end_before_the_greatest_age() -> None:
    deadlines = called(max_call_age_seconds=100)
    deadlines.expires(500)
    assert (deadlines.next() or 0) <= 200
    deadlines.expires(120)
    due = deadlines.due(120)
    assert due is not None
    assert (due.what, due.text) == (Passed.AGE, "renewed: its credentials expire")
    deadlines.called(130)
    assert (deadlines.next() or 0) > 200, "the next call has others"


def test_a_dead_peer_matters_more_than_a_word_about_it() -> None:
    deadlines = called(idle_seconds=5, first_message_seconds=5, max_call_age_seconds=5)
    assert passed(deadlines, 105) is Passed.IDLE


def test_heartbeats_that_stop_are_a_dead_peer() -> None:
    """… though no time-out was declared; one alone may be a confirmation."""
    deadlines = called()
    deadlines.heard(101)
    deadlines.beat(101)
    assert passed(deadlines, 101 + QUIET_SECONDS) is Passed.QUIET
    deadlines.called(1000)
    deadlines.beat(1001)
    for now in (1010, 1030):
        deadlines.heard(now)
        deadlines.beat(now)
    assert deadlines.next() == 1030 + QUIET_SECONDS
    due = deadlines.due(1030 + QUIET_SECONDS)
    assert due is not None
    assert due.what is Passed.IDLE
    assert "though there were heartbeats" in due.text
    # It is known in the next call too, which a dead server may never begin.
    deadlines.called(2000)
    assert deadlines.next() == 2000 + QUIET_SECONDS


def test_rare_heartbeats_may_be_missing_three_times() -> None:
    deadlines = called()
    for now in (100, 500):
        deadlines.heard(now)
        deadlines.beat(now)
    assert deadlines.next() == 500 + 3 * 400


def test_the_time_between_two_calls_is_none_between_two_heartbeats() -> None:
    deadlines = called()
    deadlines.beat(100)
    deadlines.called(200)
    deadlines.beat(201)
    deadlines.heard(201)
    assert passed(deadlines, 201 + QUIET_SECONDS) is Passed.QUIET


@pytest.mark.parametrize("seconds", [10, math.inf])
def test_what_was_declared_outweighs_heartbeats(seconds: float) -> None:
    deadlines = called(idle_seconds=seconds)
    for now in (100, 101):
        deadlines.heard(now)
        deadlines.beat(now)
    assert deadlines.next() == 101 + seconds
