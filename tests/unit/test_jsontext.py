"""Values as JSON text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest

from faust_grpc.exceptions import ConversionError
from faust_grpc.jsontext import json_text


@dataclasses.dataclass
class Item:
    price: float
    note: str | None = None


class Pair(NamedTuple):
    low: float
    high: float | None


class Struct(msgspec.Struct):
    price: float
    note: bytes | None = None


class Model(pydantic.BaseModel):
    price: float
    note: str | None = None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": 2**63 - 1, "b": -(2**63), "c": 2**64 - 1}, None),
        ({"raw": b"\x00\xff"}, '{"raw":"AP8="}'),
        ({"at": datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)}, None),
        ({"took": timedelta(seconds=1, milliseconds=500)}, '{"took":"1.5s"}'),
        ({"took": timedelta(microseconds=-1)}, '{"took":"-0.000001s"}'),
        ({"took": timedelta(days=1)}, '{"took":"86400s"}'),
        ({"price": Decimal("1.10")}, '{"price":"1.10"}'),
        (Item(1.5), '{"price":1.5,"note":null}'),
        (Pair(1.0, None), '{"low":1.0,"high":null}'),
        (Struct(1.5), '{"price":1.5,"note":null}'),
        (Model(price=1.5), '{"price":1.5,"note":null}'),
        ([1, "two", None], '[1,"two",null]'),
    ],
)
def test_values(value: Any, text: str | None) -> None:
    written = json_text(value)
    if text is not None:
        assert written.decode() == text
    json.loads(written)


def test_numbers_are_exact() -> None:
    numbers = [2**63 - 1, -(2**63), 2**64 - 1, 5e-324, -0.0]
    assert json.loads(json_text(numbers)) == numbers


def test_times_are_rfc_3339() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc)
    assert json_text(at) == b'"2026-01-02T03:04:05.000006Z"'


INFINITE = {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": None, "e": 1.5}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (INFINITE, {"a": "NaN", "b": ["Infinity", {"c": "-Infinity"}], "d": None, "e": 1.5}),
        (Item(math.nan), {"price": "NaN", "note": None}),
        (Struct(math.inf), {"price": "Infinity", "note": None}),
        (Model(price=math.inf), {"price": "Infinity", "note": None}),
        ({"items": [Item(-math.inf)]}, {"items": [{"price": "-Infinity", "note": None}]}),
        (math.nan, "NaN"),
        ({"both": (math.nan, b"\x00")}, {"both": ["NaN", "AA=="]}),
    ],
)
def test_D03_not_finite_is_text(value: Any, expected: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    assert json.loads(json_text(value), parse_constant=refuse) == expected


def test_D10_keys_of_maps_are_text() -> None:
    maps = {"by_bool": {True: "t"}, "by_int": {-1: "a"}, "by_u64": {2**64 - 1: {"n": 1}}}
    assert json.loads(json_text(maps)) == {
        "by_bool": {"true": "t"},
        "by_int": {"-1": "a"},
        "by_u64": {str(2**64 - 1): {"n": 1}},
    }


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "make", [object, lambda: {"a": object()}, lambda: "\ud800", lambda: nested(5000)]
)
def test_other_things_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ConversionError, match=r"^value: cannot be JSON"):
        json_text(make())
