"""Request messages out of dicts."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from support.messages import message_class

from faust_grpc.exceptions import FieldError
from faust_grpc.requests import build_request

P = message_class("presence", "cases.presence.P")
M = message_class("maps", "cases.maps.M")
E = message_class("enums", "cases.enums.E")
N = message_class("numbers", "cases.numbers.N")
Wkt = message_class("wkt", "cases.wkt.Wkt")
Names = message_class("names", "cases.names.Names")
Tick = message_class("feed", "cases.feed.v1.Tick")


@pytest.mark.parametrize(
    ("cls", "fields", "message"),
    [
        (P, None, P()),
        (P, {}, P()),
        (P, {"imp_i": 3, "opt_s": "", "r": [1, 2]}, P(imp_i=3, opt_s="", r=[1, 2])),
        (P, {"imp_i": None, "sub": None}, P()),
        (P, {"sub": {"sub": {"opt_i": 0}}}, P(sub={"sub": {"opt_i": 0}})),
        (P, {"sub": {}}, P(sub={})),
        (P, {"a": 0}, P(a=0)),
        (P, {"a": 1, "b": None}, P(a=1)),
        (
            N,
            {"u64": 2**64 - 1, "by": b"\xff", "ds": (1, 2.5)},
            N(u64=2**64 - 1, by=b"\xff", ds=[1, 2.5]),
        ),
        (E, {"one": "NEG", "many": [0, "RUNNING"]}, E(one=-1, many=[0, 1])),
        (M, {"by_int": {1: "x"}, "sides": {"k": "BUY"}}, M(by_int={1: "x"}, sides={"k": 1})),
        (M, {"by_u64": {5: {"n": 1}}}, M(by_u64={5: {"n": 1}})),
        (Names, {"from": "x", "in": {"x": 1}}, Names(**{"from": "x", "in": {"x": 1}})),
    ],
    ids=repr,
)
def test_fields_become_a_message(cls: Any, fields: Any, message: Any) -> None:
    assert build_request(cls, fields) == message


def test_well_known_types_are_python_values() -> None:
    request: Any = build_request(
        Wkt,
        {
            "at": datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=timezone.utc),
            "took": timedelta(seconds=-1.5),
            "doc": {"a": 1, "b": [True, None, "x"], "c": {"d": {}}},
            "val": [],
            "list": [1, [2]],
            "any": Tick(seq=3),
            "i64": 0,
            "str": "",
            "flag": False,
            "raw": b"x",
            "mask": ["a", "b.c"],
            "empty": {},
            "many": [datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone(timedelta(hours=-1)))],
        },
    )
    assert (request.at.seconds, request.at.nanos) == (-1, 500_000_000)
    assert (request.took.seconds, request.took.nanos) == (-1, -500_000_000)
    assert request.doc["c"]["d"] == {}
    assert list(request.doc["b"]) == [True, None, "x"]
    assert request.val.WhichOneof("kind") == "list_value"
    assert list(request.list[1]) == [2]
    assert request.any.type_url == "type.googleapis.com/cases.feed.v1.Tick"
    assert [request.HasField(name) for name in ("i64", "str", "flag", "empty")] == [True] * 4
    assert request.raw.value == b"x"
    assert list(request.mask.paths) == ["a", "b.c"]
    assert request.many[0].seconds == 3601


def test_a_ready_message_is_copied_even_from_another_pool() -> None:
    given = message_class("presence", "cases.presence.P")(imp_i=3)
    request: Any = build_request(P, given)
    given.imp_i = 4
    assert isinstance(request, P)
    assert request.imp_i == 3
    inner: Any = build_request(P, {"sub": given})
    assert inner.sub.imp_i == 4


@pytest.mark.parametrize(
    ("cls", "fields", "text"),
    [
        (
            P,
            {"sub": {"imp_j": 1}},
            "request.sub.imp_j: cases.presence.P has no such field: did you mean",
        ),
        (P, {"imp_i": "5"}, "request.imp_i is an int, and '5' is a str"),
        (P, {"r": [1, "x"]}, "request.r[1] is an int, and 'x' is a str"),
        (P, {"r": 5}, "request.r=5: the field is repeated: give a list"),
        (P, {"r": "12"}, "request.r='12': the field is repeated: give a list"),
        (P, {"imp_i": 2**31}, "request.imp_i=2147483648: "),
        (P, {"r": [2**31]}, "request.r[0]=2147483648: "),
        (P, {"sub": 5}, "request.sub=5: it is a cases.presence.P: give a dict"),
        (
            P,
            {"sub": Tick()},
            "request.sub: it is a cases.presence.P, and the message given is a cases.feed.",
        ),
        (
            P,
            {"a": 1, "b": "x"},
            "request: 'a' and 'b' exclude each other (oneof 'pick' of cases.presence.P)",
        ),
        (
            P,
            Tick(),
            "request: it is a cases.presence.P, and the message given is a cases.feed.v1.Tick",
        ),
        (P, [1], "request=[1]: give a dict of fields or a cases.presence.P"),
        (E, {"one": "RUNNIN"}, "cases.enums.Alias has no such value: did you mean 'RUNNING'?"),
        (M, {"by_int": [1]}, "request.by_int=[1]: the field is a map: give a dict"),
        (M, {"by_int": {"1": "x"}}, "the key of request.by_int[1] is an int, and '1' is a str"),
        (M, {"by_int": {1: 2}}, "request.by_int[1] is a str, and 2 is an int"),
        (M, {"by_u64": {1: {"m": 2}}}, "request.by_u64[1].m: cases.maps.V has no such field"),
        (Wkt, {"at": datetime(2026, 1, 1)}, "it is a Timestamp: give a datetime with a time zone"),
        (Wkt, {"at": 5}, "it is a Timestamp"),
        (Wkt, {"took": 5}, "request.took=5: it is a Duration: give a timedelta"),
        (Wkt, {"doc": [1]}, "it is a Struct: give a dict"),
        (Wkt, {"doc": {1: 1}}, "the keys of a Struct are text"),
        (Wkt, {"doc": {"a": [object]}}, "request.doc.a[0]="),
        (Wkt, {"list": {}}, "it is a ListValue: give a list"),
        (Wkt, {"i64": "5"}, "request.i64 is an int, and '5' is a str"),
        (Wkt, {"mask": "a"}, "request.mask='a': the field is repeated: give a list"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_error_says_where_and_what_would_be_right(cls: Any, fields: Any, text: str) -> None:
    with pytest.raises(FieldError) as raised:
        build_request(cls, fields)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_error_names_the_option() -> None:
    with pytest.raises(FieldError, match=r"splits\['eu'\]\.imp_j"):
        build_request(P, {"imp_j": 1}, option="splits['eu']")
