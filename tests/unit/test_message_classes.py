"""Classes of dynamic messages live as long as what they are in."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from faust_grpc.codecs import ProtobufCodec
from faust_grpc.decoding.plain import unpacker
from faust_grpc.message_classes import message_class
from faust_grpc.schema import DescriptorSet
from faust_grpc.schema.base import Method

INT64, MESSAGE = FieldDescriptorProto.TYPE_INT64, FieldDescriptorProto.TYPE_MESSAGE
ONE, MANY = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED


@pytest.fixture
def file() -> FileDescriptorProto:
    """``Outer`` has an ``Inner``, which has a ``Leaf`` and more of ``Outer``."""
    file = FileDescriptorProto(name="held.proto", package="held", syntax="proto2")
    outer, inner, leaf = (file.message_type.add(name=name) for name in ("Outer", "Inner", "Leaf"))
    outer.field.add(name="inner", number=1, type=MESSAGE, label=ONE, type_name=".held.Inner")
    outer.extension_range.add(start=100, end=200)
    inner.field.add(name="leaf", number=1, type=MESSAGE, label=ONE, type_name=".held.Leaf")
    inner.field.add(name="outers", number=2, type=MESSAGE, label=MANY, type_name=".held.Outer")
    leaf.field.add(name="number", number=1, type=INT64, label=ONE)
    file.message_type.add(name="Extra").field.add(name="n", number=1, type=INT64, label=ONE)
    file.extension.add(
        name="extra",
        extendee=".held.Outer",
        number=100,
        type=MESSAGE,
        label=ONE,
        type_name=".held.Extra",
    )
    service = file.service.add(name="Held")
    service.method.add(name="Watch", input_type=".held.Leaf", output_type=".held.Outer")
    return file


@pytest.fixture
def pool(file: FileDescriptorProto) -> DescriptorPool:
    pool = DescriptorPool()
    pool.Add(file)
    return pool


def classes_in(outer: Any) -> list[weakref.ref[type]]:
    """Return the classes that are met in a message, as nobody else holds them."""
    message = outer()
    extra = message.DESCRIPTOR.file.extensions_by_name["extra"]
    parts = (
        message.inner,
        message.inner.leaf,
        message.inner.outers.add(),
        message.Extensions[extra],
    )
    return [weakref.ref(type(part)) for part in parts]


def lost(classes: list[weakref.ref[type]]) -> int:
    gc.collect()
    return sum(found() is None for found in classes)


def test_protobuf_itself_does_not_hold_them(pool: DescriptorPool) -> None:
    """Else none of this is needed any more."""
    outer = GetMessageClass(pool.FindMessageTypeByName("held.Outer"))
    assert lost(classes_in(outer)) == 3  # all but Outer


def test_a_class_holds_those_in_it(pool: DescriptorPool) -> None:
    outer = message_class(pool.FindMessageTypeByName("held.Outer"))
    classes = classes_in(outer)
    assert lost(classes) == 0
    del outer
    assert lost(classes) == len(classes), "and not for ever"


def test_a_class_inside_holds_those_in_it_too(pool: DescriptorPool) -> None:
    inner: Any = type(message_class(pool.FindMessageTypeByName("held.Outer"))().inner)
    gc.collect()
    leaf = weakref.ref(type(inner().leaf))
    assert lost([leaf]) == 0


def test_a_method_holds_its_classes(pool: DescriptorPool) -> None:
    method = Method.of(pool.FindServiceByName("held.Held").methods_by_name["Watch"])
    assert lost(classes_in(method.response_class)) == 0


def test_a_codec_holds_its_classes(file: FileDescriptorProto, tmp_path: Path) -> None:
    described = tmp_path / "held.binpb"
    described.write_bytes(FileDescriptorSet(file=[file]).SerializeToString())
    codec = ProtobufCodec(DescriptorSet(described), "held.Outer")
    assert lost(classes_in(codec.message_class)) == 0


def test_what_was_in_an_any_is_held(pool: DescriptorPool) -> None:
    unpacked = unpacker(pool)
    classes = classes_in(type(unpacked("x/held.Outer", b"\n\x00")))
    assert lost(classes) == 0
