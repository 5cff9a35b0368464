"""The acceptance cases about values (D…), by their names: what bytes become."""

from __future__ import annotations

import enum
import json
import math
import sys
from dataclasses import dataclass, make_dataclass
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional  # noqa: UP035 - as Faust's users write

import betterproto2
import faust
import msgspec
import proto
import pydantic
import pytest
from faust.serializers.codecs import dumps
from support.messages import CASES, case_bytes, case_class, message_class, streaming
from support.models import typed_record

from faust_grpc import ProtoJson
from faust_grpc.cursors import Cursor
from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import (
    ConfigurationError,
    ConversionError,
    DataError,
    DecodeError,
    FieldError,
)

Tick = message_class("feed", "cases.feed.v1.Tick")
Ask = message_class("feed", "cases.feed.v1.Ask")
ANY = "type.googleapis.com/"


def value(name: str, value_type: Any = dict, **options: Any) -> Any:
    """Return what a case's message is as a value."""
    decoder = build_decoder(streaming(case_class(name)), value_type=value_type, **options)
    return decoder.records(decoder.parse(case_bytes(name)))[0].value


def failure(name: str) -> str:
    decoder = build_decoder(streaming(case_class(name)), value_type=dict)
    with pytest.raises(DecodeError) as raised:
        decoder.parse(case_bytes(name))
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    ("name", "plain", "canonical"),
    [
        (
            "wkt_any_known",
            {
                "@type": f"{ANY}google.protobuf.Timestamp",
                "value": datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc),
            },
            {"@type": f"{ANY}google.protobuf.Timestamp", "value": "1970-01-01T00:00:01Z"},
        ),
        (
            "wkt_any_nested",
            {
                "@type": f"{ANY}cases.wkt.Inner",
                "n": 7,
                "more": {"@type": f"{ANY}cases.wkt.Inner", "n": 8, "more": None},
            },
            {
                "@type": f"{ANY}cases.wkt.Inner",
                "n": "7",
                "more": {"@type": f"{ANY}cases.wkt.Inner", "n": "8"},
            },
        ),
        (
            "wkt_any_unknown",
            {"@type": f"{ANY}not.Known", "@value": b"\x08\x01"},
            {"@type": f"{ANY}not.Known", "@value": "CAE="},
        ),
        ("wkt_any_empty", {}, {}),
        (
            "wkt_any_no_slash",
            {"@type": "cases.wkt.Inner", "@value": b"\x08\x05"},
            {"@type": "cases.wkt.Inner", "@value": "CAU="},
        ),
    ],
)
def test_D01_any_never_costs_the_message(name: str, plain: Any, canonical: Any) -> None:
    assert value(name)["any"] == plain
    assert value(name, ProtoJson)["any"] == canonical


def test_D03_nan_stays_in_a_dict_and_is_text_in_canonical_json() -> None:
    floats = value("numbers_floats")
    assert math.isnan(floats["db"])
    assert floats["ds"] == [math.inf, -math.inf, 0.0, 5e-324]
    assert math.copysign(1, floats["ds"][2]) == -1
    assert math.isnan(value("wkt_value_nan")["val"])
    for name, wanted in (
        ("numbers_floats", {"fl": 0.1, "db": "NaN", "ds": ["Infinity", "-Infinity", -0.0, 5e-324]}),
        ("wkt_value_nan", {"val": "NaN"}),
    ):
        found = value(name, ProtoJson)
        assert found == wanted
        assert json.loads(json.dumps(found, allow_nan=False)) == wanted


def test_D03_what_a_topic_of_json_gets_is_json() -> None:
    def not_json(constant: str) -> Any:
        raise AssertionError(constant)

    for name in ("numbers_floats", "wkt_value_nan"):
        for value_type in (dict, ProtoJson):
            raw = dumps("json", value(name, value_type))
            assert json.loads(raw, parse_constant=not_json)


def test_D04_the_deepest_that_parses() -> None:
    for value_type, key in ((dict, "next"), (ProtoJson, "next")):
        inner, depth = value("deep_99", value_type), 0
        while inner.get(key) is not None:
            inner, depth = inner[key], depth + 1
        assert depth == 99
    inner = value("wkt_struct_deep_30")["doc"]
    for _ in range(30):
        (inner,) = inner.values()
    assert not isinstance(inner, dict) or not inner


@pytest.mark.parametrize("name", ["deep_101", "deep_20000"])
def test_D04_deeper_is_a_dead_letter(name: str) -> None:
    limit = sys.getrecursionlimit()
    assert "nested too deeply (more than 100 levels)" in failure(name)
    assert sys.getrecursionlimit() == limit


def test_D05_text_that_is_not_utf8_names_its_field() -> None:
    assert failure("bad_utf8").endswith("'cases.feed.v1.Tick.sym' is not UTF-8")


@pytest.mark.parametrize(
    ("set_name", "type_name", "raw"),
    [
        ("legacy", "cases.legacy.L", b"\x08\x01\x52\x02\xc3\x28"),
        ("edition", "cases.edition.Ed", b"\x40\x01\x32\x02\xc3\x28"),
    ],
)
def test_D05_text_that_protobuf_does_not_check_is_text_or_a_dead_letter(
    set_name: str, type_name: str, raw: bytes
) -> None:
    cls = message_class(set_name, type_name)
    for value_type in (dict, ProtoJson, make_dataclass("Loose", [("loose", Optional[str])])):  # noqa: UP045
        decoder = build_decoder(streaming(cls), value_type=value_type)
        with pytest.raises(DataError, match=r"\.loose' is not UTF-8"):
            decoder.records(decoder.parse(raw))
        good = decoder.records(decoder.parse(raw.replace(b"\xc3\x28", b"ab")))[0].value
        assert (good["loose"] if isinstance(good, dict) else good.loose) == "ab"


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("wkt_ts_epoch", datetime(1970, 1, 1, tzinfo=timezone.utc)),
        ("wkt_ts_min", datetime(1, 1, 1, tzinfo=timezone.utc)),
        ("wkt_ts_max", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)),
        ("wkt_ts_before_epoch", datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=timezone.utc)),
        ("wkt_ts_nanos", datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=timezone.utc)),
    ],
)
def test_D07_times_are_aware_and_in_utc(name: str, moment: datetime) -> None:
    class Record(faust.Record):
        at: Optional[datetime]  # noqa: UP045

    found = value(name)["at"]
    assert found == moment
    assert found.tzinfo is timezone.utc
    assert value(name, Record).at == moment
    assert value(name, ProtoJson)["at"] == CASES[name]["value"]["at"]
    decoder = build_decoder(streaming(case_class(name)), timestamp="at")
    (record,) = decoder.records(decoder.parse(case_bytes(name)))
    assert record.timestamp == pytest.approx(moment.timestamp(), abs=1e-3)


@pytest.mark.parametrize("name", ["wkt_ts_millis_as_seconds", "wkt_ts_bad_nanos"])
def test_D07_a_time_out_of_range(name: str) -> None:
    for value_type in (dict, ProtoJson, make_dataclass("At", [("at", datetime)])):
        with pytest.raises(ConversionError, match=r"Timestamp"):
            value(name, value_type)
    # As the event's time it is none, and counted.
    decoder = build_decoder(streaming(case_class(name)), timestamp="at")
    message = decoder.parse(case_bytes(name))
    assert decoder.records(message)[0].timestamp is None
    # The raw value can be had.
    assert value(name, lambda found: found.at.seconds) == message.at.seconds  # type: ignore[attr-defined]


class Side(enum.Enum):
    BUY = 1
    SELL = 2


class Extremes(faust.Record):
    i32: int
    i64: int
    u64: int
    sf64: int
    f32: int
    bo: bool
    by: bytes


class Presence(faust.Record):
    imp_i: int
    opt_i: Optional[int]  # noqa: UP045
    opt_s: Optional[str]  # noqa: UP045
    opt_b: Optional[bool]  # noqa: UP045
    a: Optional[int]  # noqa: UP045
    b: Optional[str]  # noqa: UP045
    r: List[int]  # noqa: UP006
    sub: Optional[Dict[str, Any]]  # noqa: UP006, UP045


class Wrappers(faust.Record):
    i64: Optional[int]  # noqa: UP045
    str: Optional[str]  # noqa: UP045
    flag: Optional[bool]  # noqa: UP045
    raw: Optional[bytes]  # noqa: UP045
    dbl: Optional[float]  # noqa: UP045


RECORDS = {"numbers_extremes": Extremes, "presence": Presence, "wkt_wrappers": Wrappers}


@pytest.mark.parametrize(
    "name",
    [name for name in CASES if name.startswith(tuple(RECORDS)) and "error" not in CASES[name]],
)
def test_D08_a_record_holds_what_a_dict_holds(name: str) -> None:
    record_class = next(cls for prefix, cls in RECORDS.items() if name.startswith(prefix))
    record, plain = value(name, record_class), value(name)
    fields = record_class._options.fields  # type: ignore[attr-defined]
    assert {field: getattr(record, field) for field in fields} == {
        field: plain[field] for field in fields
    }
    for field in fields:
        assert type(getattr(record, field)) is type(plain[field])


@pytest.mark.parametrize(
    "name", [name for name in CASES if isinstance(CASES[name].get("value"), dict)]
)
def test_D08_every_case_is_the_same_in_a_record(name: str) -> None:
    plain = value(name)
    record = value(name, typed_record(case_class(name).DESCRIPTOR))
    found = {field: getattr(record, f"_{field}") for field in plain if not field.startswith("[")}
    assert repr(found) == repr({key: plain[key] for key in found})


def test_D08_one_rule_for_what_is_unset() -> None:
    nothing = value("presence_nothing")
    assert (nothing["imp_i"], nothing["imp_s"], nothing["r"]) == (0, "", [])
    for name in ("opt_i", "opt_s", "opt_b", "sub", "a", "b", "c"):
        assert nothing[name] is None
    zero = value("presence_optional_zero")
    assert (zero["opt_i"], zero["opt_s"], zero["opt_b"]) == (0, "", False)
    assert not any(value("empty_message").values())


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("feed_frame")])
def test_D08_one_arm_of_a_oneof_is_not_none(name: str) -> None:
    chosen = CASES[name]["value"]["$oneof"]["body"]
    found = value(name)
    assert [arm for arm in found if found[arm] is not None] == ([chosen] if chosen else [])


@pytest.mark.parametrize(
    ("name", "field", "wanted"),
    [
        ("enums_alias", "one", "STARTED"),
        ("enums_negative", "one", "NEG"),
        ("enums_keyword_name", "inside", "from"),
        ("enums_unknown", "one", 99),
        ("enums_repeated_unknown", "many", ["STARTED", 99, "ZERO"]),
        ("legacy_closed_enum_unknown", "kind", "B"),
    ],
)
def test_D09_an_enum_is_its_name_or_else_its_number(name: str, field: str, wanted: Any) -> None:
    assert value(name)[field] == wanted
    if name.startswith("enums"):
        assert value(name, ProtoJson)[field] == wanted
    holder = make_dataclass("Holder", [(field, Any)])
    assert getattr(value(name, holder), field) == wanted


def test_D10_keys_of_maps_keep_their_type() -> None:
    found = value("maps_all")
    assert found["by_int"] == {-1: "a", 0: "z"}
    assert found["by_bool"] == {True: "t", False: "f"}
    assert {type(key) for key in found["by_bool"]} == {bool}
    assert found["by_u64"] == {2**64 - 1: {"n": 1}}
    assert found["by_sint"] == {-(2**63): 0.5}
    assert value("maps_entry_without_value")["by_int"] == {7: ""}
    assert value("maps_unknown_enum_value")["sides"] == {"x": 99}
    holder = make_dataclass("Holder", [("sides", dict[str, Side]), ("by_u64", dict[int, dict])])
    assert value("maps_all", holder).sides == {"x": Side.SELL}


def test_D10_in_json_they_are_text() -> None:
    found = value("maps_all", ProtoJson)
    assert found["byBool"] == {"true": "t", "false": "f"}
    assert found["byInt"] == {"-1": "a", "0": "z"}
    assert found["blobs"] == {"k": "AP8="}


class ProtoPlusTick(proto.Message):  # type: ignore[misc]  # proto-plus has no types
    seq = proto.Field(proto.UINT64, number=1)
    sym = proto.Field(proto.STRING, number=2)
    px = proto.Field(proto.DOUBLE, number=3)


class TickStruct(msgspec.Struct, rename="camel"):
    seq: int
    sym: str
    px: float = 0.0
    at: Optional[datetime] = None  # noqa: UP045


class TickModel(pydantic.BaseModel):
    seq: int
    sym: str
    px: float


@dataclass(eq=False, repr=False)
class BetterTick(betterproto2.Message):
    seq: int = betterproto2.field(1, betterproto2.TYPE_UINT64)
    sym: str = betterproto2.field(2, betterproto2.TYPE_STRING)
    px: float = betterproto2.field(3, betterproto2.TYPE_DOUBLE)


@pytest.mark.parametrize(
    "cls", [BetterTick, ProtoPlusTick, TickStruct, TickModel], ids=lambda cls: cls.__name__
)
def test_D14_classes_of_other_libraries(cls: Any) -> None:
    found = value("feed_tick", cls)
    assert isinstance(found, cls)
    assert (found.seq, found.sym, found.px) == (1, "AB", 1.5)


def test_D14_a_struct_with_other_names() -> None:
    class Renamed(msgspec.Struct, rename="camel"):
        opt_i: Optional[int]  # noqa: UP045
        number: int = msgspec.field(name="imp_i")
        r: List[int] = []  # noqa: UP006

    assert value("presence_scalar_twice", Renamed) == Renamed(opt_i=None, number=6, r=[1, 2])
    with pytest.raises(ConfigurationError, match="Lost has: nowhere; the message has: seq, sym"):
        value("feed_tick", msgspec.defstruct("Lost", [("nowhere", int)]))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad_garbage", "this is no protobuf"),
        ("bad_html", "a page of a web server or proxy"),
        ("bad_truncated", "'px' is 8 bytes long, of which 5 are there: cut short"),
        ("bad_end_group", "end of a group that did not begin, at byte 0"),
        ("bad_field_zero", "field number 0 at byte 0"),
        ("bad_length_2gb", "'sym' is 2147483647 bytes long, of which 0 are there: cut short"),
    ],
)
def test_D15_what_is_wrong_with_the_bytes(name: str, reason: str) -> None:
    size = len(case_bytes(name))
    assert failure(name).startswith(f"{size} bytes are no cases.feed.v1.Tick: ")
    assert failure(name).endswith(reason)


def test_D15_bytes_of_another_type_are_not_told_apart() -> None:
    assert value("bad_other_type")["seq"] == 5


@pytest.mark.parametrize(
    ("name", "field"), [("legacy_missing_required", "id"), ("edition_missing_required", "must")]
)
def test_D16_a_missing_required_field_is_named(name: str, field: str) -> None:
    assert failure(name) == f"{CASES[name]['type']} without its required fields {field!r}"


def test_A08_a_cursor_in_a_field_that_the_schema_does_not_know() -> None:
    name = "feed_tick_cursor_in_unknown_field"
    message = case_class(name).FromString(case_bytes(name))
    cursor = Cursor("#32767", into="sym").bind(Ask.DESCRIPTOR, message.DESCRIPTOR)
    assert cursor.read(message) == "AQIDBA"
    assert cursor.resume(Ask(), "AQIDBA").sym == "AQIDBA"  # type: ignore[attr-defined]
    assert cursor.read(Tick(seq=1)) is None
    wrong = Cursor("#32767", into="after_seq").bind(Ask.DESCRIPTOR, message.DESCRIPTOR)
    with pytest.raises(ConversionError, match=r"Tick\.#32767: what was sent is no int"):
        wrong.read(message)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("#1", "Cursor(path='#1'): '#1': cases.feed.v1.Tick has that field: write 'seq'"),
        ("#0", "write an unknown field as '#' and its number, 1 to 536870911"),
        ("#x", "write an unknown field as '#' and its number"),
    ],
)
def test_A08_numbers_that_are_none(path: str, text: str) -> None:
    with pytest.raises(FieldError) as raised:
        Cursor(path, into="after_seq").bind(Ask.DESCRIPTOR, Tick.DESCRIPTOR)
    assert text in str(raised.value)
