"""Key, timestamp, explode and skip."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import pytest
from support.messages import CASES, case_bytes, case_class, message_class, streaming

from faust_grpc.decoding import Decoder, build_decoder
from faust_grpc.exceptions import ConfigurationError, ConversionError, FieldError
from faust_grpc.types import Record

Batch = message_class("feed", "cases.feed.v1.Batch")
Frame = message_class("feed", "cases.feed.v1.Frame")
Tick = message_class("feed", "cases.feed.v1.Tick")
Node = message_class("deep", "cases.deep.Node")
P = message_class("presence", "cases.presence.P")
N = message_class("numbers", "cases.numbers.N")
Wkt = message_class("wkt", "cases.wkt.Wkt")


def decoder(cls: Any, **options: Any) -> Decoder:
    return build_decoder(streaming(cls), **options)


def records(message: Any, **options: Any) -> tuple[Record, ...]:
    return decoder(type(message), **options).records(message)


def test_nothing_asked_for_gives_the_message() -> None:
    tick = Tick(seq=1)
    (record,) = records(tick)
    assert isinstance(record, Record)
    assert record.value is tick
    assert (record.key, record.timestamp) == (None, None)


def named(value: object) -> str:
    """Name a parameter the same in every process."""
    return "function" if callable(value) else repr(value)


@pytest.mark.parametrize(
    ("message", "key", "found"),
    [
        (Tick(sym="A"), "sym", "A"),
        (Tick(), "seq", 0),
        (Frame(tick={"seq": 3}), "tick.seq", 3),
        (Frame(), "tick.seq", None),
        (Batch(next=b"\xff"), "next", b"\xff"),
        (Batch(ticks=[{"seq": 1}]), "ticks[0].seq", 1),
        (Tick(sym="A", seq=2), "/sym", "A"),
        (Tick(sym="A", seq=2), lambda tick: f"{tick.sym}-{tick.seq}", "A-2"),
    ],
    ids=named,
)
def test_key(message: Any, key: Any, found: Any) -> None:
    assert records(message, key=key)[0].key == found


@pytest.mark.parametrize(
    ("message", "timestamp", "found"),
    [
        (Tick(at={"seconds": 1, "nanos": 500_000_000}), "at", 1.5),
        (Tick(at={"seconds": -1}), "at", -1.0),
        (Tick(at={}), "at", 0.0),
        (Tick(), "at", None),
        (Frame(tick={"at": {"seconds": 5}}), "tick.at", 5.0),
        (Frame(), "tick.at", None),
        (N(i64=5), "i64", 5.0),
        (N(db=5.25), "db", 5.25),
        (N(i64=5250), ("i64", "ms"), 5.25),
        (N(i64=5_250_000), ("i64", "us"), 5.25),
        (N(i64=5_250_000_000), ("i64", "ns"), 5.25),
        (N(i64=5), ("i64", "s"), 5.0),
        (N(), "i64", None),
        (N(i64=2**62), "i64", None),
        (N(i64=-(2**62)), "i64", None),
        (N(db=math.nan), "db", None),
        (N(db=math.inf), "db", None),
        (N(i64=5), lambda n: n.i64 / 2, 2.5),
        (N(i64=5), lambda n: datetime.fromtimestamp(n.i64, timezone.utc), 5.0),
        (N(i64=5), lambda n: None, None),
        (N(i64=2**62), lambda n: n.i64, None),
        (N(i64=5), lambda n: datetime.fromtimestamp(n.i64, timezone.utc).replace(tzinfo=None), 5.0),
        (Tick(sym="1970-01-01T00:00:05Z"), "sym", 5.0),
        (Tick(sym="1970-01-01t01:00:05.25+01:00"), "sym", 5.25),
        (Tick(sym="1970-01-01 00:00:05.500000000"), "sym", 5.5),
        (Tick(sym="1969-12-31T19:00-0500"), "sym", 0.0),
        (Tick(sym="1970-01-02"), "sym", 86400.0),
        (Tick(sym=""), "sym", None),
        (Tick(sym="yesterday"), "sym", None),
        (Tick(sym="1970-13-01"), "sym", None),
    ],
    ids=named,
)
def test_timestamp(message: Any, timestamp: Any, found: float | None) -> None:
    assert records(message, timestamp=timestamp)[0].timestamp == found


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("wkt_ts_")])
def test_no_timestamp_makes_a_message_bad(name: str) -> None:
    built = decoder(case_class(name), timestamp="at")
    found = built.records(built.parse(case_bytes(name)))[0].timestamp
    assert (found is None) == ("error" in CASES[name])


def test_times_that_cannot_be_used_are_counted_and_unset_ones_are_not() -> None:
    built = decoder(N, timestamp=("i64", "ms"))
    for number in (0, 5, 2**62, -(2**62)):
        built.records(N(i64=number))
    assert built.bad_timestamps.count == 2
    built = decoder(Tick, timestamp="at")
    for tick in (Tick(), Tick(at={"seconds": 5}), Tick(at={"nanos": -1})):
        built.records(tick)
    assert built.bad_timestamps.count == 1
    built = decoder(Batch, explode=["ticks", "last"], timestamp=lambda element: math.nan)
    built.records(Batch(ticks=[{}, {}], last={"a": {}}))
    assert built.bad_timestamps.count == 3
    built = decoder(Tick, timestamp="sym")
    for text in ("", "2026-11-25", "soon"):
        built.records(Tick(sym=text))
    assert built.bad_timestamps.count == 1


def test_headers() -> None:
    headers = {
        "symbol": "sym",
        "seq": "/seq",
        "price": "px",
        "raw": lambda tick: b"\xff",
        "none": lambda tick: None,
        "big": lambda tick: tick.px > 5,
    }
    (record,) = records(Tick(sym="Ä", seq=2, px=2.5), headers=headers)
    assert record.headers == {
        "symbol": "Ä".encode(),
        "seq": b"2",
        "price": b"2.5",
        "raw": b"\xff",
        "big": b"false",
    }
    assert records(Tick())[0].headers is None
    batch = Batch(ticks=[{"seq": 1}, {"seq": 2}], next=b"n")
    found = records(batch, explode="ticks", headers={"seq": "seq", "next": "/next"})
    assert [record.headers for record in found] == [
        {"seq": b"1", "next": b"n"},
        {"seq": b"2", "next": b"n"},
    ]
    assert records(Frame(ping={}), headers={"seq": "tick.seq"})[0].headers == {}
    with pytest.raises(ConversionError, match=r"headers\['x'\]: \[\] is neither text"):
        records(Tick(), headers={"x": lambda tick: []})


def test_an_enum_as_a_header_is_its_name() -> None:
    colours = message_class("enums", "cases.enums.E")
    name = next(f.name for f in colours.DESCRIPTOR.fields if f.enum_type and not f.is_repeated)
    (record,) = records(colours(), headers={"colour": name})
    values = colours.DESCRIPTOR.fields_by_name[name].enum_type.values
    assert record.headers == {"colour": next(v.name for v in values if v.number == 0).encode()}


def test_the_seconds_of_a_timestamp_are_precise_to_microseconds() -> None:
    (record,) = records(Tick(at={"seconds": 1_700_000_000, "nanos": 123_456_789}), timestamp="at")
    assert record.timestamp == pytest.approx(1_700_000_000.123456789, abs=1e-6)


def test_explode_gives_a_record_per_element() -> None:
    batch = Batch(ticks=[{"seq": 1, "sym": "A", "at": {"seconds": 5}}, {"seq": 2, "sym": "B"}])
    found = records(batch, explode="ticks", key="sym", timestamp="at")
    assert [(r.key, r.value.seq, r.timestamp) for r in found] == [("A", 1, 5.0), ("B", 2, None)]
    assert [type(r) for r in found] == [Record, Record]


def test_explode_with_values() -> None:
    found = records(Batch(ticks=[{"seq": 1}, {"seq": 2}]), explode="ticks", value_type=dict)
    assert [record.value["seq"] for record in found] == [1, 2]


def test_a_leading_slash_looks_at_the_message_around() -> None:
    batch = Batch(ticks=[{"seq": 1}, {"seq": 2}], next=b"n")
    found = records(batch, explode="ticks", key="/next", timestamp=lambda tick: tick.seq)
    assert [(record.key, record.timestamp) for record in found] == [(b"n", 1.0), (b"n", 2.0)]
    found = records(batch, explode="ticks", key="seq", timestamp="/ticks[0].seq")
    assert [(record.key, record.timestamp) for record in found] == [(1, 1.0), (2, 1.0)]


def test_callables_get_the_element() -> None:
    found = records(Batch(ticks=[{"seq": 1}]), explode="ticks", key=lambda tick: -tick.seq)
    assert found[0].key == -1


def test_nothing_to_explode_gives_no_records() -> None:
    assert records(Batch(), explode="ticks", key="/next") == ()
    assert records(Node(), explode="next.kids") == ()
    assert len(records(Node(next={"kids": [{}, {}]}), explode="next.kids")) == 2


@pytest.mark.parametrize(
    ("message", "skip", "skipped"),
    [
        (Frame(ping={}), "ping", True),
        (Frame(tick={}), "ping", False),
        (Frame(live=False), "live", True),
        (Frame(), "live", False),
        (P(opt_b=True), "opt_b", True),
        (P(opt_b=False), "opt_b", False),
        (P(), "opt_b", False),
        (P(imp_s="x"), "imp_s", True),
        (P(), "imp_s", False),
        (P(r=[0]), "r", True),
        (P(), "r", False),
        (P(sub={"a": 0}), "sub.a", True),
        (P(sub={}), "sub.a", False),
        (P(imp_i=3), lambda message: message.imp_i > 2, True),
        (P(imp_i=2), lambda message: message.imp_i > 2, False),
    ],
    ids=named,
)
def test_skip(message: Any, skip: Any, skipped: bool) -> None:
    assert (records(message, skip=skip) == ()) is skipped


def test_skip_looks_before_explode() -> None:
    batch = Batch(ticks=[{"seq": 1}], next=b"n")
    assert records(batch, explode="ticks", skip="next") == ()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"key": "sm"}, "key='sm': cases.feed.v1.Tick has no field 'sm': did you mean 'sym'?"),
        ({"key": "at"}, "key='at': it is a message field of cases.feed.v1.Tick: name a scalar"),
        ({"key": 5}, "key=5: give a field path or a callable"),
        ({"timestamp": "att"}, "timestamp='att': cases.feed.v1.Tick has no field 'att'"),
        ({"timestamp": ("at", "ms")}, "timestamp=('at', 'ms'): only a number has a unit"),
        ({"timestamp": ("sym", "s")}, "timestamp=('sym', 's'): only a number has a unit"),
        ({"headers": "sym"}, "headers='sym': give a dict of name → path or callable"),
        ({"headers": {"at": "at"}}, "headers['at']='at': it is a message field of cases.feed.v1"),
        ({"headers": {"s": "sm"}}, "headers['s']='sm': cases.feed.v1.Tick has no field 'sm'"),
        ({"headers": {"s": 5}}, "headers['s']=5: give a field path or a callable"),
        ({"timestamp": ("at", "h")}, "timestamp=('at', 'h'): give a path, a callable, or a pair"),
        ({"timestamp": 5}, "timestamp=5: give a path, a callable, or a pair"),
        ({"explode": "at"}, "explode='at': it is message in cases.feed.v1.Tick: only repeated"),
        ({"explode": "ats"}, "explode='ats': cases.feed.v1.Tick has no field 'ats'"),
        ({"skip": "smy"}, "skip='smy': cases.feed.v1.Tick has no field 'smy'"),
        ({"skip": 5}, "skip=5: give a field path or a callable"),
    ],
    ids=named,
)
def test_an_option_that_does_not_fit_is_named(options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        decoder(Tick, **options)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_paths_start_at_the_element() -> None:
    with pytest.raises(FieldError, match=r"key='next': cases\.feed\.v1\.Tick has no field 'next'"):
        decoder(Batch, explode="ticks", key="next")
    with pytest.raises(ConfigurationError, match=r"it is repeated in .*: only repeated messages"):
        decoder(P, explode="r")


@pytest.mark.parametrize("option", ["key", "timestamp", "skip"])
def test_what_a_callable_raises_names_the_option(option: str) -> None:
    with pytest.raises(ConversionError, match=f"{option}: AttributeError: "):
        records(Tick(), **{option: lambda tick: tick.nothing})


def test_a_callable_that_returns_no_time() -> None:
    with pytest.raises(ConversionError, match="timestamp: the callable returned 'now'"):
        records(Tick(), timestamp=lambda tick: "now")
