"""What the annotation of a field asks for, and what becomes of a value that is something else."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Dict, NewType  # noqa: UP035 - as Faust's users write
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp as GeneratedTimestamp
from support.messages import message_class
from test_decoding_values import AT, Alias, TickData, convert

from faust_grpc.exceptions import ConfigurationError, ConversionError

E = message_class("enums", "cases.enums.E")
M = message_class("maps", "cases.maps.M")
N = message_class("numbers", "cases.numbers.N")
P = message_class("presence", "cases.presence.P")
Wkt = message_class("wkt", "cases.wkt.Wkt")


class Shifted(enum.IntEnum):
    STARTED = 0


class Side(enum.Enum):
    BUY = enum.auto()
    SELL = enum.auto()


class Number(enum.IntEnum):
    NOTHING = 0
    BEGUN = 1


def one(annotation: Any, name: str, message: Any) -> Any:
    """Convert one field through a dataclass made for it."""
    made = dataclass(
        type("One", (), {"__annotations__": {name: annotation}, "__module__": __name__})
    )
    return getattr(convert(made, message), name)


def test_an_unset_field_without_default_is_a_conversion_error() -> None:
    with pytest.raises(ConversionError, match=r"One\.opt_i: cases\.presence\.P\.opt_i is not set"):
        one(int, "opt_i", P())
    assert one(int | None, "opt_i", P()) is None
    assert one(Any, "opt_i", P()) is None


UUID_TEXT = "12345678-1234-5678-1234-567812345678"


@pytest.mark.parametrize(
    ("annotation", "name", "message", "value"),
    [
        (int, "i64", N(i64=-(2**63)), -(2**63)),
        (float, "i64", N(i64=3), 3.0),
        (Decimal, "i64", N(i64=3), Decimal(3)),
        (Decimal, "db", N(db=0.1), Decimal("0.1")),
        (Decimal, "st", N(st="1.10"), Decimal("1.10")),
        (UUID, "st", N(st=UUID_TEXT), UUID(UUID_TEXT)),
        (UUID, "by", N(by=UUID(UUID_TEXT).bytes), UUID(UUID_TEXT)),
        (datetime, "st", N(st="1970-01-01T00:00:01Z"), AT),
        (int, "bo", N(bo=True), True),
        (set[int], "packed", N(packed=[1, 1]), {1}),
        (Sequence[float], "ds", N(ds=[1]), [1.0]),
        (list, "ds", N(ds=[1]), [1.0]),
        (Any, "ds", N(ds=[1]), [1.0]),
        (Alias, "one", E(one=1), Alias.STARTED),
        (Number, "one", E(one=1), Number.BEGUN),
        (Shifted, "one", E(one=1), Shifted.STARTED),
        (list[Alias], "many", E(many=[-1, 0]), [Alias.NEG, Alias.ZERO]),
        (str, "one", E(one=1), "STARTED"),
        (str, "one", E(one=99), "99"),
        (int, "one", E(one=99), 99),
        (Any, "one", E(one=99), 99),
        (Number, "i64", N(i64=1), Number.BEGUN),
        (dict[str, Side], "sides", M(sides={"x": 2}), {"x": Side.SELL}),
        (Dict[int, str], "by_int", M(by_int={1: "x"}), {1: "x"}),  # noqa: UP006
        (datetime, "at", Wkt(at={"seconds": 1}), AT),
        (float, "at", Wkt(at={"seconds": 1, "nanos": 500_000_000}), 1.5),
        (GeneratedTimestamp, "at", Wkt(at={"seconds": 1}), GeneratedTimestamp(seconds=1)),
        (timedelta, "took", Wkt(took={"seconds": -1, "nanos": -5000}), timedelta(0, -1, -5)),
        (float, "took", Wkt(took={"seconds": 1, "nanos": 500_000_000}), 1.5),
        (int, "i64", Wkt(i64={"value": 0}), 0),
        (str | None, "str", Wkt(), None),
        (Decimal, "dbl", Wkt(dbl={"value": 0.1}), Decimal("0.1")),
        (dict, "doc", Wkt(doc={"a": 1}), {"a": 1.0}),
        (Dict[str, Any], "empty", Wkt(empty={}), {}),  # noqa: UP006
        (list[str], "mask", Wkt(mask={"paths": ["a"]}), ["a"]),
        (list[datetime], "many", Wkt(many=[{"seconds": 1}]), [AT]),
        (int | str, "i64", N(i64=3), 3),
        (Annotated[int | None, ["unhashable"]], "opt_i", P(), None),
        (Annotated[Decimal, "money"], "st", N(st="1"), Decimal(1)),
        (NewType("Identifier", str), "st", N(st="x"), "x"),
    ],
    ids=repr,
)
def test_a_field_becomes_what_its_annotation_says(
    annotation: Any, name: str, message: Any, value: Any
) -> None:
    found = one(annotation, name, message)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "name", "message", "text"),
    [
        (Decimal, "st", N(st="x"), "cases.numbers.N.st: 'x' is no Decimal"),
        (UUID, "by", N(by=b"x"), "cases.numbers.N.by: b'x' is no UUID"),
        (datetime, "st", N(st="soon"), "cases.numbers.N.st: 'soon' is no datetime"),
        (Alias, "one", E(one=99), "cases.enums.E.one: 99 is no Alias"),
        (Number, "i64", N(i64=9), "cases.numbers.N.i64: 9 is no Number"),
        (float, "at", Wkt(at={"nanos": -1}), "cases.wkt.Wkt.at: "),
    ],
    ids=repr,
)
def test_a_value_that_does_not_fit_names_its_field(
    annotation: Any, name: str, message: Any, text: str
) -> None:
    with pytest.raises(ConversionError) as raised:
        one(annotation, name, message)
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("annotation", "name", "cls", "text"),
    [
        (str, "i64", N, "its field 'i64' wants str where cases.numbers.N.i64 has int"),
        (int, "st", N, "its field 'st' wants int where cases.numbers.N.st has str"),
        (int, "db", N, "wants int where cases.numbers.N.db has float"),
        (str, "by", N, "wants str where cases.numbers.N.by has bytes"),
        (datetime, "i64", N, "wants datetime where cases.numbers.N.i64 has int"),
        (int, "ds", N, "wants int where cases.numbers.N.ds has many"),
        (list[str], "ds", N, "wants str where cases.numbers.N.ds has float"),
        (list[str], "by_int", M, "wants list[str] where cases.maps.M.by_int has a map"),
        (dict[int, int], "by_int", M, "wants int where cases.maps.M.by_int has str"),
        (bool, "one", E, "wants bool where cases.enums.E.one has the enum cases.enums.Alias"),
        (TickData, "i64", N, "wants TickData where cases.numbers.N.i64 has int"),
        (str, "at", Wkt, "wants str where cases.wkt.Wkt.at has google.protobuf.Timestamp"),
        (int, "empty", Wkt, "wants int where cases.wkt.Wkt.empty has google.protobuf.Empty"),
    ],
    ids=repr,
)
def test_a_type_that_never_fits_is_refused_at_declaration(
    annotation: Any, name: str, cls: Any, text: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        one(annotation, name, cls())
    assert str(raised.value).startswith("value_type=One: ")
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)
