"""Random messages: canonical JSON as protobuf has it, and plain values that agree with it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st
from support.messages import message_class, streaming
from test_decoding import CLASSES

from faust_grpc import ProtoJson
from faust_grpc.decoding import build_decoder
from faust_grpc.fields import is_map


def one_nan(number: float) -> float:
    """Of all NaNs the usual one: pure-Python protobuf keeps neither sign nor payload."""
    return math.nan if math.isnan(number) else number


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats().map(one_nan),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32).map(one_nan),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}
ALL = [
    *CLASSES,
    message_class("enums", "cases.enums.E"),
    message_class("feed", "cases.feed.v1.Frame"),
    message_class("names", "cases.names.Names"),
]
JSON = {
    cls.DESCRIPTOR.full_name: build_decoder(streaming(cls), value_type=ProtoJson) for cls in ALL
}
PLAIN = {cls.DESCRIPTOR.full_name: build_decoder(streaming(cls), value_type=dict) for cls in ALL}


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=5)
    return SCALARS.get(field.cpp_type, TEXTS)


@st.composite
def messages(draw: st.DrawFn, cls: Any, depth: int = 3) -> Any:
    """Any message of a type, with valid times."""
    message = cls()
    for field in cls.DESCRIPTOR.fields:
        if not (field.is_required or draw(st.booleans())):
            continue
        fill(draw, message, field, depth)
    return message


def fill(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    target = getattr(message, field.name, None)
    if is_map(field):
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        for at in draw(st.lists(scalar(key), max_size=3)):
            if value.message_type is None:
                target[at] = draw(scalar(value))
            else:
                set_message(draw, target[at], depth)
    elif field.message_type is not None and field.is_repeated:
        for _ in range(draw(st.integers(0, 2))):
            set_message(draw, target.add(), depth)
    elif field.message_type is not None:
        target.SetInParent()
        set_message(draw, target, depth)
    elif field.is_repeated:
        target.extend(draw(st.lists(scalar(field), max_size=3)))
    elif not callable(target):
        setattr(message, field.name, draw(scalar(field)))


def set_message(draw: st.DrawFn, message: Any, depth: int) -> None:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        message.FromDatetime(draw(st.datetimes()))
    elif name == "google.protobuf.Duration":
        message.FromTimedelta(draw(st.timedeltas(timedelta(-(10**6)), timedelta(10**6))))
    elif name == "google.protobuf.FieldMask":
        message.paths.extend(draw(st.lists(st.sampled_from(["a", "b_c.d"]), max_size=2)))
    elif name == "google.protobuf.Struct":
        message.update(draw(st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS, max_size=3)))
    elif name == "google.protobuf.Value":
        message.string_value = draw(TEXTS)
    elif name in ("google.protobuf.Any", "google.protobuf.ListValue") or depth == 0:
        return
    else:
        message.CopyFrom(draw(messages(type(message), depth - 1)))


some_message = st.sampled_from(ALL).flatmap(messages)


@given(some_message)
def test_canonical_json_is_as_protobuf_has_it(message: Any) -> None:
    ours = JSON[message.DESCRIPTOR.full_name].records(message)[0].value
    theirs = json_format.MessageToDict(message, descriptor_pool=message.DESCRIPTOR.file.pool)
    assert repr(sorted(ours.items())) == repr(sorted(theirs.items()))


@given(some_message)
def test_plain_values_agree_with_protobufs_json(message: Any) -> None:
    """Where the two must: names, presence, enums, booleans, 32-bit integers, text."""
    plain = PLAIN[message.DESCRIPTOR.full_name].records(message)[0].value
    theirs = json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        descriptor_pool=message.DESCRIPTOR.file.pool,
    )
    agree(plain, theirs, message.DESCRIPTOR)


def agree(plain: Any, theirs: Any, descriptor: Any) -> None:
    for field in descriptor.fields:
        ours, other = plain[field.name], theirs.get(field.name)
        if field.name not in theirs:
            # Not set: None, or the default that the schema declares.
            assert ours is None or ours == field.default_value or field.default_value != ours
            continue
        single = not field.is_repeated
        inner = field.message_type
        if single and inner is not None and not inner.full_name.startswith("google."):
            agree(ours, other, inner)
        elif single and (isinstance(other, bool) or field.enum_type is not None):
            assert ours == other
        elif single and isinstance(ours, (int, str)) and not isinstance(ours, bool):
            assert str(ours) == str(other)
        elif not single:
            assert len(ours) == len(other)
        else:
            assert isinstance(ours, (float, bytes, datetime, timedelta, list, dict, type(None)))
