"""Descriptors as .proto text: what is printed compiles to the same descriptor again."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto
from grpc_tools import protoc
from support.messages import SETS, message_class

from faust_grpc.schema import DescriptorSet, proto_text, schema_from


def test_a_service() -> None:
    service = schema_from(SETS / "feed.binpb").service("cases.feed.v1.Feed")
    assert proto_text(service).splitlines() == [
        "service Feed {",
        "  rpc Get(Ask) returns (Tick);",
        "  rpc Ticks(Ask) returns (stream Tick);",
        "  rpc Frames(Ask) returns (stream Frame);",
        "  rpc Batches(Ask) returns (stream Batch);",
        "  rpc Push(stream Tick) returns (Ask);",
        "  rpc Talk(stream Ask) returns (stream Frame);",
        "}",
    ]


def test_types_of_another_package_keep_their_full_name() -> None:
    tick = message_class("feed", "cases.feed.v1.Tick").DESCRIPTOR
    assert "  google.protobuf.Timestamp at = 4;" in proto_text(tick).splitlines()


def test_oneofs_maps_and_optional() -> None:
    presence = proto_text(message_class("presence", "cases.presence.P").DESCRIPTOR)
    assert "  optional int32 opt_i = 1;\n  int32 imp_i = 2;" in presence
    assert "  oneof pick {\n    int32 a = 5;\n    string b = 6;\n    P c = 7;\n  }" in presence
    assert "  repeated int32 r = 8;" in presence
    maps = proto_text(message_class("maps", "cases.maps.M").DESCRIPTOR)
    assert "  map<uint64, V> by_u64 = 2;" in maps
    assert "Entry" not in maps


def test_enums_and_empty_messages() -> None:
    pool = DescriptorSet(SETS / "wkt.binpb").pool
    assert proto_text(pool.FindMessageTypeByName("google.protobuf.Empty")) == "message Empty {}"
    enum = DescriptorSet(SETS / "enums.binpb").pool.FindEnumTypeByName("cases.enums.Alias")
    assert proto_text(enum).splitlines()[1:3] == ["  ZERO = 0;", "  STARTED = 1;"]


@pytest.mark.parametrize(
    ("set_name", "names"),
    [
        ("numbers", ["cases.numbers.N"]),
        ("presence", ["cases.presence.P"]),
        ("names", ["cases.names.Names", "cases.names.None"]),
        ("deep", ["cases.deep.Node"]),
    ],
)
def test_the_text_compiles_to_the_same_messages(
    set_name: str, names: list[str], tmp_path: Path
) -> None:
    descriptors = [message_class(set_name, name).DESCRIPTOR for name in names]
    package = names[0].rpartition(".")[0]
    text = "\n".join(['syntax = "proto3";', f"package {package};", *map(proto_text, descriptors)])
    (tmp_path / "again.proto").write_text(text)
    out = tmp_path / "again.binpb"
    assert (
        protoc.main(["protoc", f"-I{tmp_path}", f"--descriptor_set_out={out}", "again.proto"]) == 0
    )
    again, before = (
        messages(DescriptorSet(out)),
        messages(DescriptorSet(SETS / f"{set_name}.binpb")),
    )
    for name in names:
        assert fields(again[name]) == fields(before[name])


def messages(schema: DescriptorSet) -> dict[str, DescriptorProto]:
    return {
        f"{file.package}.{message.name}": message
        for file in schema.files.values()
        for message in file.message_type
    }


def fields(message: DescriptorProto) -> DescriptorProto:
    # The pure-Python runtime has no CopyToProto for what is in a pool of its own.
    proto = DescriptorProto()
    proto.CopyFrom(message)
    for field in proto.field:
        # Options are not printed.
        field.ClearField("options")
        field.ClearField("json_name")
    return proto
