"""Canonical JSON: the same as protobuf's own wherever that has an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from support.messages import CASES, case_bytes, case_class, message_class, streaming

import faust_grpc
from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ConversionError, DataError

#: Where protobuf's own mapping raises, or calls an unknown number by no name, we go on.
OURS_ALONE = ("wkt_any_unknown", "wkt_any_no_slash", "wkt_value_nan")


def canonical(cls: Any, raw: bytes) -> Any:
    decoder = build_decoder(streaming(cls), value_type=faust_grpc.ProtoJson)
    return decoder.records(decoder.parse(raw))[0].value


@pytest.mark.parametrize("name", [name for name in CASES if name not in OURS_ALONE])
def test_every_case_is_as_protobuf_has_it(name: str) -> None:
    cls, raw = case_class(name), case_bytes(name)
    if "error" in CASES[name]:
        with pytest.raises(DataError):
            canonical(cls, raw)
        return
    theirs = json_format.MessageToDict(
        cls.FromString(raw), descriptor_pool=cls.DESCRIPTOR.file.pool
    )
    ours = canonical(cls, raw)
    assert ours == theirs
    assert json.loads(json.dumps(ours, allow_nan=False)) == theirs


def test_it_is_read_back_by_protobuf() -> None:
    for name in ("numbers_extremes", "maps_all", "wkt_struct", "wkt_mask"):
        cls = case_class(name)
        message = cls.FromString(case_bytes(name))
        assert json_format.ParseDict(canonical(cls, case_bytes(name)), cls()) == message


def test_a_mask_that_json_cannot_hold_is_a_conversion_error() -> None:
    wkt = message_class("wkt", "cases.wkt.Wkt")
    raw = wkt(mask={"paths": ["fooBar"]}).SerializeToString()
    with pytest.raises(ConversionError, match=r"google\.protobuf\.FieldMask: .*fooBar"):
        canonical(wkt, raw)


def test_any_in_any_and_a_wrapper_in_any() -> None:
    wkt = message_class("wkt", "cases.wkt.Wkt")
    message = wkt()
    inner = type(message.any)()
    inner.Pack(type(message.i64)(value=5))
    message.any.Pack(inner)
    prefix = "type.googleapis.com/google.protobuf."
    assert canonical(wkt, message.SerializeToString())["any"] == {
        "@type": f"{prefix}Any",
        "value": {"@type": f"{prefix}Int64Value", "value": "5"},
    }


@pytest.mark.parametrize(
    "value", [0.1, 1e-45, 3.4028234663852886e38, 16777216.0, -0.0, 1.17549435e-38, 8388608.5]
)
def test_a_single_is_its_shortest_text(value: float) -> None:
    n = message_class("numbers", "cases.numbers.N")
    message = n(fl=value)
    ours = canonical(n, message.SerializeToString())
    assert ours == json_format.MessageToDict(message)
    assert n(**ours).fl == message.fl
