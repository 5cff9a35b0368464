"""Any bytes, in every form that events have: no crash, no hang, no more memory than they may."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.messages import CASES, case_bytes, streaming
from support.models import typed_record
from test_decoding import CLASSES

from faust_grpc import ProtoJson
from faust_grpc.decoding import Decoder, build_decoder
from faust_grpc.exceptions import DataError

TYPES = {cls.DESCRIPTOR.full_name: cls for cls in CLASSES}
#: What can be exploded: lists, lists in lists, maps of messages and of scalars.
PATHS: dict[str, list[str]] = {
    "cases.feed.v1.Batch": ["ticks", "last"],
    "cases.deep.Node": ["kids", "kids[].kids", "kids[].next.kids"],
    "cases.maps.M": ["by_u64", "by_int", "blobs", "sides"],
}


def decoder(form: str, name: str) -> Decoder:
    cls = TYPES[name]
    method = streaming(cls)
    match form:
        case "message":
            return build_decoder(method)
        case "dict":
            return build_decoder(method, value_type=dict)
        case "json":
            return build_decoder(method, value_type=ProtoJson)
        case "record":
            return build_decoder(method, value_type=typed_record(cls.DESCRIPTOR))
        case "exploded to json":
            return build_decoder(method, value_type=ProtoJson, explode=PATHS[name])
    return build_decoder(method, value_type=dict, explode=PATHS[name])


FORMS = ["message", "dict", "json", "record"]
DECODERS = {(form, name): decoder(form, name) for form in FORMS for name in TYPES} | {
    (form, name): decoder(form, name) for form in ("exploded", "exploded to json") for name in PATHS
}

SAMPLES = [case_bytes(name) for name in CASES if len(case_bytes(name)) < 1000]
some_sample = st.sampled_from(SAMPLES)


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def inside(content: bytes, numbers: list[int]) -> bytes:
    """The bytes as a field of a field of …."""
    for number in numbers:
        content = varint(number << 3 | 2) + varint(len(content)) + content
    return content


field_numbers = st.integers(1, 25)
#: Well-formed and not; small fields by the hundred are what becomes most.
wire = st.one_of(
    st.binary(max_size=300),
    st.lists(some_sample, max_size=4).map(b"".join),
    st.builds(
        lambda raw, at, damage: raw[: at % (len(raw) + 1)] + damage + raw,
        some_sample,
        st.integers(0, 999),
        st.binary(max_size=4),
    ),
    st.builds(
        lambda raw, numbers, times: inside(raw, numbers) * times,
        st.sampled_from([b"", b"\x00", b"\x08\x01", b"\x0a\x00"]) | some_sample,
        st.lists(field_numbers, min_size=1, max_size=3),
        st.integers(1, 300),
    ),
    # One within the other, below protobuf's limit and beyond it.
    st.builds(
        lambda number, depth: inside(b"", [number] * depth), field_numbers, st.integers(1, 200)
    ),
)

#: What a byte of input may become: an empty message in a list is two bytes, and a dict with every
#: field of its type when decoded.
BYTES_PER_BYTE = 2_000
SLACK = 200_000


@pytest.mark.parametrize("form", [*FORMS, "exploded", "exploded to json"])
@given(data=st.data(), raw=wire)
def test_any_bytes_become_events_or_one_line(form: str, data: st.DataObject, raw: bytes) -> None:
    names = [name for known, name in DECODERS if known == form]
    found = DECODERS[form, data.draw(st.sampled_from(names))]
    reason = ""
    tracemalloc.start()
    try:
        found.records(found.parse(raw))
    except DataError as error:
        reason = str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert "\n" not in reason
    assert peak < SLACK + BYTES_PER_BYTE * len(raw)
