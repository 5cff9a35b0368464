"""Static schemas: descriptor sets in every state people have them in, and generated code."""

from __future__ import annotations

import base64
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from support.messages import SETS

from faust_grpc.exceptions import SchemaError
from faust_grpc.schema import (
    DescriptorSet,
    Method,
    ReflectionSchema,
    Schema,
    Stubs,
    schema_from,
)

FEED = SETS / "feed.binpb"
TICKS = "cases.feed.v1.Feed/Ticks"

PROTO = """
syntax = "proto3";
package generated.shop;
message Ask { int64 after = 1; }
message Order { int64 sequence = 1; }
service Orders { rpc Stream (Ask) returns (stream Order); }
service Others { rpc Get (Ask) returns (Order); }
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A ``*_pb2_grpc`` module that protoc has just written."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "shop_test.proto").write_text(PROTO)
    arguments = [f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *arguments, "shop_test.proto"]) == 0
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("shop_test_pb2_grpc")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("shop_test_pb2_grpc", None)


def refusal(option: Any) -> str:
    with pytest.raises(SchemaError) as raised:
        schema_from(option)
    text = str(raised.value)
    assert "\n" not in text
    return text


def test_a_method_of_a_descriptor_set() -> None:
    method = schema_from(FEED).method(TICKS)
    assert (method.path, method.full_name) == (f"/{TICKS}", TICKS)
    assert (method.input.full_name, method.output.full_name) == (
        "cases.feed.v1.Ask", "cases.feed.v1.Tick",
    )  # fmt: skip
    assert (method.client_streaming, method.server_streaming) == (False, True)
    assert method.response_class(seq=3).seq == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [TICKS, f"/{TICKS}", "cases.feed.v1.Feed.Ticks"])
def test_spellings_of_a_method(name: str) -> None:
    assert schema_from(str(FEED)).method(name).full_name == TICKS


@pytest.mark.parametrize(
    "source", [FEED, str(FEED), FEED.read_bytes()], ids=["Path", "str", "bytes"]
)
def test_a_set_by_path_or_bytes(source: Any) -> None:
    schema = schema_from(source)
    assert schema.is_static
    assert schema.services() == ["cases.feed.v1.Feed"]
    kinds = [
        (method.full_name.split("/")[1], method.client_streaming, method.server_streaming)
        for method in schema.methods("cases.feed.v1.Feed")
    ]
    assert kinds == [
        ("Get", False, False),
        ("Ticks", False, True),
        ("Frames", False, True),
        ("Batches", False, True),
        ("Push", True, False),
        ("Talk", True, True),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cases.feed.v1.Fed/Ticks", "has no service 'cases.feed.v1.Fed': did you mean 'cases.feed"),
        (
            "cases.feed.v1.Feed/Tick",
            "cases.feed.v1.Feed has no method 'Tick': did you mean 'Ticks'?",
        ),
        (
            "cases.feed.v1.Feed/Xyz",
            "there are: 'Batches', 'Frames', 'Get', 'Push', 'Talk', 'Ticks'",
        ),
        (
            "cases.feed.v1.Feed/Get",
            "cases.feed.v1.Feed/Get is unary: a source needs a method whose",
        ),
        ("cases.feed.v1.Feed/Push", "cases.feed.v1.Feed/Push is client-streaming only"),
        ("Ticks", "method 'Ticks': write it as 'package.Service/Method'"),
        ("a/b/c", "method 'a/b/c': write it as 'package.Service/Method'"),
        ("", "method '': write it as 'package.Service/Method'"),
    ],
)
def test_a_method_that_no_source_can_read(name: str, text: str) -> None:
    with pytest.raises(SchemaError) as raised:
        schema_from(FEED).method(name)
    assert text in str(raised.value)


def test_find_takes_methods_of_every_kind() -> None:
    assert not schema_from(FEED).find("cases.feed.v1.Feed/Get").server_streaming


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("nopackage", "Beats/Watch"),
        ("names", "cases.names.import/from"),
        ("edition", "cases.edition.Eds/Watch"),
        ("opts", "cases.opts.Os/Watch"),
        ("uses_common", "cases.uses.Bills/Watch"),
        ("uses_pub", "cases.usespub.Bills2/Watch"),
        ("odd_reversed_order", "cases.uses.Bills/Watch"),
        ("odd_duplicate_files_equal", "cases.uses.Bills/Watch"),
        ("odd_buf_image", TICKS),
    ],
)
def test_sets_that_load(name: str, method: str) -> None:
    assert schema_from(SETS / f"{name}.binpb").method(method).full_name == method


def test_a_set_without_the_well_known_files() -> None:
    pool = DescriptorSet(SETS / "odd_missing_wkt.binpb").pool
    assert pool.FindMessageTypeByName("cases.wkt.Wkt").fields_by_name["at"]


def test_base64_text_of_a_set() -> None:
    assert schema_from(SETS / "odd_base64.txt").services() == ["cases.feed.v1.Feed"]
    assert schema_from(base64.encodebytes(FEED.read_bytes())).services() == ["cases.feed.v1.Feed"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "odd_missing_import.binpb",
            "uses_common.proto imports common_a.proto, which is not in the set",
        ),
        ("odd_missing_import.binpb", "make it with --include_imports"),
        ("odd_duplicate_files_differ.binpb", "has two different files named 'common_a.proto'"),
        ("odd_future_edition.binpb", "is of edition 99999, which needs a newer protobuf"),
        (
            "odd_gzip.binpb.gz",
            "is compressed with gzip: unpack it (gunzip), or make it",
        ),
        (
            "odd_proto_source.binpb",
            "is the text of a .proto file, not compiled: make it with protoc",
        ),
        (
            "odd_single_file_not_set.binpb",
            "holds the single file nopackage.proto, not a set of files",
        ),
        ("odd_empty.binpb", "is empty: make it with protoc --include_imports"),
        ("odd_truncated.binpb", "is not a descriptor set, or cut short"),
        ("no_such_file.binpb", "no such file or directory"),
        ("", "is a directory without .proto files"),
    ],
)
def test_what_is_no_descriptor_set_is_told_by_its_looks(name: str, text: str) -> None:
    assert text in refusal(SETS / name)


def test_files_that_import_each_other() -> None:
    files = FileDescriptorSet()
    files.file.add(name="a.proto", dependency=["b.proto"])
    files.file.add(name="b.proto", dependency=["a.proto"])
    assert "a.proto imports itself through b.proto" in refusal(files.SerializeToString())


def test_a_long_chain_of_imports() -> None:
    files = FileDescriptorSet()
    for number in range(3000):
        files.file.add(name=f"{number}.proto", dependency=[f"{number + 1}.proto"])
    files.file.add(name="3000.proto")
    files.file[0].service.add(name="S")
    assert schema_from(files.SerializeToString()).services() == ["S"]


def test_a_file_that_protobuf_refuses() -> None:
    files = FileDescriptorSet()
    message = files.file.add(name="a.proto", package="a").message_type.add(name="M")
    message.field.add(name="x", number=1, type=11, label=1, type_name=".a.Missing")
    assert "protobuf refuses a.proto: " in refusal(files.SerializeToString())


def test_each_schema_has_a_pool_of_its_own() -> None:
    ours = DescriptorSet(SETS / "common_a.binpb").pool
    theirs = DescriptorSet(SETS / "odd_other_money.binpb").pool
    fields = [
        [field.name for field in pool.FindMessageTypeByName("cases.common.Money").fields]
        for pool in (ours, theirs)
    ]
    assert fields[0] != fields[1]
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("cases.common.Money")


def test_a_generated_grpc_module(generated: ModuleType) -> None:
    schema = schema_from(generated)
    assert schema.services() == ["generated.shop.Orders", "generated.shop.Others"]
    method = schema.method("generated.shop.Orders/Stream")
    assert method.response_class is generated.shop__test__pb2.Order


def test_a_generated_message_module(generated: ModuleType) -> None:
    schema = schema_from(generated.shop__test__pb2)
    assert schema.method("generated.shop.Orders/Stream").server_streaming


def test_a_generated_stub_class(generated: ModuleType) -> None:
    schema = schema_from(generated.OrdersStub)
    assert schema.services() == ["generated.shop.Orders"]
    with pytest.raises(SchemaError, match=r"OrdersStub has no service 'generated\.shop\.Others'"):
        schema.find("generated.shop.Others/Get")


def test_a_grpc_module_that_does_not_import_its_sibling(generated: ModuleType) -> None:
    bare = ModuleType("shop_test_pb2_grpc")
    assert schema_from(bare).services() == ["generated.shop.Orders", "generated.shop.Others"]
    lonely = ModuleType("nowhere_pb2_grpc")
    assert "needs nowhere_pb2 beside it, which cannot be imported" in refusal(lonely)


def test_code_that_protoc_did_not_generate() -> None:
    from google.protobuf import timestamp_pb2

    assert "module json is not generated by protoc" in refusal(importlib.import_module("json"))
    assert "class builtins.dict is not a generated stub" in refusal(dict)
    assert "has no service" in refusal(timestamp_pb2)
    assert "is not generated by protoc" in refusal(type("FeedStub", (), {}))


@pytest.mark.parametrize("option", [5, [6], object()])
def test_what_is_no_schema(option: Any) -> None:
    assert "give a generated *_pb2_grpc module" in refusal(option)


def test_a_ready_schema_is_kept() -> None:
    schema = DescriptorSet(FEED)
    assert schema_from(schema) is schema


def test_none_asks_the_server_later() -> None:
    schema = schema_from(None)
    assert isinstance(schema, ReflectionSchema)
    assert not schema.is_static
    assert schema.services() == []
    with pytest.raises(SchemaError, match="server reflection was not asked yet"):
        schema.method(TICKS)


def test_a_schema_of_ones_own() -> None:
    class Own(Schema):
        def services(self) -> list[str]:
            return ["cases.feed.v1.Feed"]

        def service(self, name: str) -> Any:
            return DescriptorSet(FEED).service(name)

    assert isinstance(schema_from(Own()).method(TICKS), Method)


def test_generated_code_and_sets_of_the_same_files_live_side_by_side(generated: ModuleType) -> None:
    file = FileDescriptorProto.FromString(generated.shop__test__pb2.DESCRIPTOR.serialized_pb)
    other = DescriptorSet(FileDescriptorSet(file=[file]).SerializeToString())
    assert other.service("generated.shop.Orders") is not Stubs(generated).service(
        "generated.shop.Orders"
    )
