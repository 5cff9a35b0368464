"""What several calls in a row tell."""

from __future__ import annotations

import pytest

from faust_grpc.hints import Lives, Standstill


@pytest.mark.parametrize(
    ("ages", "silences", "text"),
    [
        ([63.0, 75.2, 140.9], [60.0, 60.1, 60.2], "calls end after 60 s without data"),
        ([300.0, 300.2, 299.9], [0.1, 2.0, 0.7], "calls end when they are 300 s old"),
        ([3.0, 3.1, 3.05], [3.0, 3.1, 3.05], "calls end after 3 s without data"),
        ([300.0, 300.2, 200.0], [0.1, 2.0, 0.7], ""),
        ([60.0, 60.0], [60.0, 60.0], ""),
        # A server that refuses at once has no time-out.
        ([0.01, 0.01, 0.01], [0.01, 0.01, 0.01], ""),
    ],
)
def test_three_alike_are_a_pattern(ages: list[float], silences: list[float], text: str) -> None:
    lives = Lives()
    told = [lives.ended(*life) for life in zip(ages, silences, strict=True)]
    assert not any(told[:2])
    assert text in told[-1]
    assert bool(told[-1]) == bool(text)


def test_the_last_three_count() -> None:
    lives = Lives()
    for age in (10.0, 500.0, 60.0, 60.1):
        assert not lives.ended(age, age)
    assert "60 s without data" in lives.ended(59.9, 59.9)


def test_standstill() -> None:
    still = Standstill()
    assert still.seconds(None, 5) == 0
    assert still.seconds(1, 10) == 0
    assert still.seconds(1, 40) == 30
    assert still.seconds(2, 41) == 0
    assert still.seconds(None, 90) == 0
    assert still.seconds(2, 100) == 0, "it was finished in between"
