"""Positions as people type and read them."""

from __future__ import annotations

import pytest

from faust_grpc.cli.positions import parse_cursor, position_text
from faust_grpc.exceptions import ConfigurationError


@pytest.mark.parametrize(
    ("text", "kind", "position"),
    [
        ("4711", "int", 4711),
        ("-1", "int", -1),
        ("18446744073709551615", "int", 2**64 - 1),
        ("4711", "str", "4711"),
        ("AAE=", "bytes", b"\0\1"),
        ("4711", None, 4711),
        ('"4711"', None, "4711"),
    ],
)
def test_a_position_is_of_the_cursors_kind(text: str, kind: str | None, position: object) -> None:
    assert parse_cursor(text, kind) == position


@pytest.mark.parametrize(
    ("text", "kind", "wanted"),
    [
        ("abc", "int", "is an integer"),
        ("1.5", "int", "is an integer"),
        ("٣", "int", "is an integer"),
        ("%", "bytes", "base64"),
        ("abc", None, "integer or text"),
        ("true", None, "integer or text"),
        ("1.5", None, "integer or text"),
    ],
)
def test_anything_else_is_refused_in_a_line(text: str, kind: str | None, wanted: str) -> None:
    with pytest.raises(ConfigurationError, match=wanted) as caught:
        parse_cursor(text, kind)

    assert str(caught.value).startswith(f"--to {text!r}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("position", "text"), [(None, "-"), (0, "0"), ("", ""), (b"\0\1", "AAE=")])
def test_positions_in_tables(position: object, text: str) -> None:
    assert position_text(position) == text
