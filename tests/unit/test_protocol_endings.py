"""What follows the end of a call, by its status, the life of the split, and what was declared."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from support.protocols import (
    brought,
    ended,
    started,
)

from faust_grpc import Backoff
from faust_grpc.protocol import (
    Finish,
    Stop,
    Wait,
)
from faust_grpc.status import Rule, Verdict


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
