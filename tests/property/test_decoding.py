"""What holds for every message: no surprise out of bytes, and nothing lost on the way round."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.messages import CASES, case_bytes, message_class, streaming

from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ConversionError, DecodeError
from faust_grpc.fields import getter, setter
from faust_grpc.requests import build_request

N = message_class("numbers", "cases.numbers.N")
M = message_class("maps", "cases.maps.M")
P = message_class("presence", "cases.presence.P")
Wkt = message_class("wkt", "cases.wkt.Wkt")
CLASSES = [
    N, M, P, Wkt,
    message_class("feed", "cases.feed.v1.Batch"),
    message_class("deep", "cases.deep.Node"),
    message_class("legacy", "cases.legacy.L"),
    message_class("edition", "cases.edition.Ed"),
]  # fmt: skip
DECODERS = {
    cls.DESCRIPTOR.full_name: build_decoder(streaming(cls), value_type=dict) for cls in CLASSES
}
SAMPLES = [case_bytes(name) for name in CASES if len(case_bytes(name)) < 1000]

int32s = st.integers(-(2**31), 2**31 - 1)
int64s = st.integers(-(2**63), 2**63 - 1)
uint64s = st.integers(0, 2**64 - 1)
floats = st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
#: What a Timestamp holds, in Python's precision.
moments = st.datetimes(timezones=st.just(timezone.utc))
spans = st.timedeltas(timedelta(days=-3_652_500), timedelta(days=3_652_500))

numbers = st.fixed_dictionaries(
    {},
    optional={
        "i32": int32s, "i64": int64s, "u64": uint64s, "s64": int64s, "f64": uint64s,
        "sf64": int64s, "db": floats, "bo": st.booleans(), "by": st.binary(), "st": texts,
        "ds": st.lists(floats), "packed": st.lists(int64s), "unpacked": st.lists(int64s),
    },
)  # fmt: skip
maps = st.fixed_dictionaries(
    {},
    optional={
        "by_int": st.dictionaries(int32s, texts),
        "by_bool": st.dictionaries(st.booleans(), texts),
        "blobs": st.dictionaries(texts, st.binary()),
        "by_sint": st.dictionaries(int64s, floats),
        "sides": st.dictionaries(texts, st.sampled_from(["BUY", "SELL"]) | st.integers(3, 99)),
        "by_u64": st.dictionaries(uint64s, st.fixed_dictionaries({"n": int32s})),
    },
)  # fmt: skip
presences: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "opt_i": int32s | st.none(), "imp_i": int32s, "opt_s": texts, "opt_b": st.booleans(),
            "r": st.lists(int32s), "sub": st.none() | presences, "a": int32s,
        },
    )
)  # fmt: skip
well_knowns = st.fixed_dictionaries(
    {},
    optional={
        "at": moments | st.none(), "took": spans, "doc": st.dictionaries(texts, json_values),
        "list": st.lists(json_values), "i64": int64s | st.none(), "str": texts, "raw": st.binary(),
        "flag": st.booleans(), "dbl": floats, "many": st.lists(moments),
        "mask": st.lists(st.sampled_from(["a", "b.c"])),
    },
)  # fmt: skip


def around(cls: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Build a request, send it, decode it."""
    decoder = DECODERS[cls.DESCRIPTOR.full_name]
    raw = build_request(cls, fields).SerializeToString()
    value: dict[str, Any] = decoder.records(decoder.parse(raw))[0].value
    return value


def holds(found: Any, given_: Any) -> bool:
    if isinstance(given_, dict):
        return all(holds(found[key], value) for key, value in given_.items())
    return bool(found == given_ and type(found) is type(given_))


@given(numbers)
def test_numbers_go_round(fields: dict[str, Any]) -> None:
    assert holds(around(N, fields), fields)


@given(maps)
def test_maps_go_round(fields: dict[str, Any]) -> None:
    assert holds(around(M, fields), fields)


@given(presences)
def test_presence_goes_round(fields: dict[str, Any]) -> None:
    found = around(P, fields)
    assert holds(found, fields)
    assert all(found[name] is None for name in ("opt_i", "opt_s", "sub", "a") if name not in fields)


@given(well_knowns)
def test_well_known_types_go_round(fields: dict[str, Any]) -> None:
    found = around(Wkt, fields)
    assert holds(found, fields)
    assert all(found[name] is None for name in ("at", "doc", "i64", "str") if name not in fields)


@given(st.sampled_from(CLASSES), st.binary(max_size=200))
def test_any_bytes_become_a_value_or_a_data_error(cls: Any, raw: bytes) -> None:
    survive(cls, raw)


@given(
    st.sampled_from(CLASSES), st.sampled_from(SAMPLES), st.integers(0, 999), st.binary(max_size=3)
)
def test_damaged_messages_become_a_value_or_a_data_error(
    cls: Any, raw: bytes, at: int, damage: bytes
) -> None:
    at %= len(raw) + 1
    survive(cls, raw[:at] + damage + raw[at + len(damage) :])


def survive(cls: Any, raw: bytes) -> None:
    decoder = DECODERS[cls.DESCRIPTOR.full_name]
    try:
        message = decoder.parse(raw)
    except DecodeError:
        return
    try:
        (record,) = decoder.records(message)
    except ConversionError:
        return
    declared = [name for name in record.value if not name.startswith("[")]  # not the extensions
    assert declared == [field.name for field in cls.DESCRIPTOR.fields]


@given(moments)
def test_event_time_is_the_moment(moment: datetime) -> None:
    decoder = build_decoder(streaming(Wkt), timestamp="at")
    (record,) = decoder.records(build_request(Wkt, {"at": moment}))
    assert record.timestamp == pytest.approx(moment.timestamp(), abs=1e-4)


PATHS = {"sub.sub.imp_i": int32s, "sub.c.opt_s": texts, "a": int32s, "b": texts}


@given(
    st.sampled_from(list(PATHS)).flatmap(lambda path: st.tuples(st.just(path), PATHS[path])),
    presences,
)
def test_what_is_set_is_read(path_and_value: tuple[str, Any], fields: dict[str, Any]) -> None:
    path, value = path_and_value
    message = build_request(P, fields)
    setter(P.DESCRIPTOR, path)(message, value)
    assert getter(P.DESCRIPTOR, path)(message) == value
