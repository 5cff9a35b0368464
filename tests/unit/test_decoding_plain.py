"""Plain values: every message in ``tests/data`` against what it holds."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from support.messages import CASES, case_bytes, case_class, message_class, streaming

from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ConversionError, DecodeError

#: Bytes that parse, and do not fit a Python value.
UNCONVERTIBLE = ("wkt_ts_bad_nanos", "wkt_ts_millis_as_seconds")
BROKEN = [name for name in CASES if "error" in CASES[name] and name not in UNCONVERTIBLE]
#: ``Any`` has a shape of its own, in tests of its own.
VALUES = [
    name
    for name in CASES
    if isinstance(CASES[name].get("value"), dict) and not name.startswith("wkt_any")
]


def plain(cls: Any, raw: bytes) -> Any:
    decoder = build_decoder(streaming(cls), value_type=dict)
    return decoder.records(decoder.parse(raw))[0].value


def expected(value: Any, like: Any) -> Any:
    """What the file says, as Python values: it is JSON, and marks what JSON lacks."""
    if isinstance(value, list) and isinstance(like, dict):
        pairs = [(expected(key, None), inner) for key, inner in value]
        return {key: expected(inner, like.get(key)) for key, inner in pairs}
    if isinstance(value, list):
        return [expected(inner, None) for inner in value]
    if isinstance(like, timedelta):
        return timedelta(seconds=value)
    if isinstance(like, datetime):
        text = value.replace("Z", "")[:26]
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    if not isinstance(value, dict):
        return value
    if "$int" in value:
        return int(value["$int"])
    if "$float" in value:
        return float(value["$float"])
    if "$bytes" in value:
        return bytes.fromhex(value["$bytes"])
    likes = like if isinstance(like, dict) else {}
    return {key: expected(inner, likes.get(key)) for key, inner in value.items()}


def assert_holds(found: Any, wanted: Any) -> None:
    """Compare what the file lists, and types with it: 1 is neither True nor 1.0."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict)
        for key, value in wanted.items():
            assert_holds(found[key], value)
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_holds(one, other)
    else:
        assert type(found) is type(wanted)
        assert found == wanted or (found != found and wanted != wanted)


@pytest.mark.parametrize("name", VALUES)
def test_a_message_is_what_it_holds(name: str) -> None:
    wanted = dict(CASES[name]["value"])
    found = plain(case_class(name), case_bytes(name))
    for oneof, member in wanted.pop("$oneof", {}).items():
        descriptor = case_class(name).DESCRIPTOR.oneofs_by_name[oneof]
        assert [f.name for f in descriptor.fields if found[f.name] is not None] == (
            [member] if member else []
        )
    # Unknown fields are left out, as documented.
    wanted.pop("$unknown", None)
    assert_holds(found, expected(wanted, found))


@pytest.mark.parametrize("name", BROKEN)
def test_bytes_that_are_no_message(name: str) -> None:
    decoder = build_decoder(streaming(case_class(name)), value_type=dict)
    with pytest.raises(DecodeError) as raised:
        decoder.parse(case_bytes(name))
    assert CASES[name]["type"] in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_required_field_is_named() -> None:
    decoder = build_decoder(streaming(case_class("legacy_missing_required")))
    with pytest.raises(DecodeError, match=r"cases\.legacy\.L without its required fields 'id'"):
        decoder.parse(case_bytes("legacy_missing_required"))


@pytest.mark.parametrize("name", UNCONVERTIBLE)
def test_a_time_that_is_none_is_a_conversion_error_naming_the_field(name: str) -> None:
    with pytest.raises(ConversionError, match=r"cases\.wkt\.Wkt\.at: a Timestamp of .* is out of"):
        plain(case_class(name), case_bytes(name))


def test_the_deepest_message_that_parses_converts() -> None:
    value = plain(case_class("deep_99"), case_bytes("deep_99"))
    depth = 0
    while value["next"] is not None:
        value, depth = value["next"], depth + 1
    assert depth == 99


def test_a_deep_struct() -> None:
    value = plain(case_class("wkt_struct_deep_30"), case_bytes("wkt_struct_deep_30"))["doc"]["a"]
    depth = 1
    while isinstance(inner := next(iter(value.values()), None), dict):
        value, depth = inner, depth + 1
    assert depth == 30


def test_every_declared_field_is_a_key_in_its_order() -> None:
    cls = message_class("wkt", "cases.wkt.Wkt")
    value = plain(cls, b"")
    assert list(value) == [field.name for field in cls.DESCRIPTOR.fields]
    assert {repr(inner) for inner in value.values()} == {"None", "[]"}


ANY = "type.googleapis.com/"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wkt_any_empty", {}),
        (
            "wkt_any_known",
            {
                "@type": f"{ANY}google.protobuf.Timestamp",
                "value": datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc),
            },
        ),
        (
            "wkt_any_nested",
            {
                "@type": f"{ANY}cases.wkt.Inner",
                "n": 7,
                "more": {"@type": f"{ANY}cases.wkt.Inner", "n": 8, "more": None},
            },
        ),
        ("wkt_any_no_slash", {"@type": "cases.wkt.Inner", "@value": b"\x08\x05"}),
        ("wkt_any_unknown", {"@type": f"{ANY}not.Known", "@value": b"\x08\x01"}),
    ],
)
def test_any_is_decoded_when_its_type_is_known(name: str, value: Any) -> None:
    assert plain(case_class(name), case_bytes(name))["any"] == value


def test_any_with_bytes_of_another_type_keeps_them() -> None:
    wkt = message_class("wkt", "cases.wkt.Wkt")
    message = wkt(any={"type_url": f"{ANY}cases.wkt.Inner", "value": b"\xff"})
    found = plain(wkt, message.SerializeToString())["any"]
    assert found == {"@type": f"{ANY}cases.wkt.Inner", "@value": b"\xff"}


def test_any_in_any() -> None:
    wkt = message_class("wkt", "cases.wkt.Wkt")
    inner = {"@type": f"{ANY}cases.wkt.Inner", "n": 7, "more": None}
    around = type(wkt().any)(type_url=inner["@type"], value=b"\x08\x07")
    message = wkt()
    message.any.Pack(around)
    found = plain(wkt, message.SerializeToString())["any"]
    assert found == {"@type": f"{ANY}google.protobuf.Any", "value": inner}


def test_any_nested_beyond_reason_is_a_conversion_error() -> None:
    inner = message_class("wkt", "cases.wkt.Inner")
    raw = b""
    for _ in range(2000):
        any_of_it = {"type_url": f"{ANY}cases.wkt.Inner", "value": raw}
        raw = inner(n=1, more=any_of_it).SerializeToString()
    with pytest.raises(ConversionError, match="RecursionError"):
        plain(inner, raw)


def test_the_message_itself_may_be_a_well_known_type() -> None:
    assert plain(type(message_class("wkt", "cases.wkt.Wkt")().doc), b"") == {}


def test_unknown_fields_survive_in_the_message() -> None:
    name = "presence_unknown_fields"
    decoder = build_decoder(streaming(case_class(name)))
    (record,) = decoder.records(decoder.parse(case_bytes(name)))
    assert decoder.value_is_message
    assert record.value.SerializeToString() == case_bytes(name)
