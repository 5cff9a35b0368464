"""The acceptance cases about schemas (S…), by their names: what people give, and what they get."""

from __future__ import annotations

import base64
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import faust
import pytest
from google.protobuf import descriptor_pool
from grpc_tools import protoc
from support.messages import DATA, SETS, case_bytes, case_class, streaming

import faust_grpc
from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import SchemaError
from faust_grpc.requests import build_request
from faust_grpc.schema import DescriptorSet, ProtoFiles, schema_from
from faust_grpc.schema.differences import differences

PROTO = DATA / "proto"
TICKS = "cases.feed.v1.Feed/Ticks"


def refusal(option: Any) -> str:
    with pytest.raises(SchemaError) as raised:
        schema_from(option)
    text = str(raised.value)
    assert "\n" not in text
    return text


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Path]:
    """A folder of modules that can be imported; forgotten afterwards."""
    known = set(sys.modules)
    sys.path.insert(0, str(tmp_path))
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - known:
        del sys.modules[name]


def generate(proto: Path, out: Path) -> None:
    arguments = [f"-I{proto.parent}", f"--python_out={out}", f"--grpc_python_out={out}"]
    assert protoc.main(["protoc", *arguments, proto.name]) == 0


def test_S02_two_sources_whose_files_share_their_names(imported: Path) -> None:
    """… and a third whose generated code is in the default pool."""
    generate(PROTO / "nopackage.proto", imported)
    ours = DescriptorSet(SETS / "uses_common.binpb").pool
    theirs = DescriptorSet(SETS / "odd_other_money.binpb").pool
    third = schema_from(importlib.import_module("nopackage_pb2_grpc"))

    def money(pool: descriptor_pool.DescriptorPool, raw: bytes) -> dict[str, Any]:
        cls = faust_grpc_class(pool, "cases.common.Money")
        decoder = build_decoder(streaming(cls), value_type=dict)
        value: dict[str, Any] = decoder.records(decoder.parse(raw))[0].value
        return value

    assert money(ours, b"\x08\x05\x12\x03EUR") == {"units": 5, "cur": "EUR"}
    assert money(theirs, b"\x0a\x03EUR\x10\x05") == {"cur": "EUR", "units": 5, "nanos": 0}
    assert third.method("Beats/Watch").server_streaming
    for name in ("common_a.proto", "uses_common.proto"):
        with pytest.raises(KeyError):
            descriptor_pool.Default().FindFileByName(name)


def faust_grpc_class(pool: descriptor_pool.DescriptorPool, name: str) -> Any:
    from google.protobuf.message_factory import GetMessageClass

    return GetMessageClass(pool.FindMessageTypeByName(name))


@pytest.mark.parametrize(
    ("name", "type_name"),
    [
        ("odd_reversed_order", "cases.uses.Bill"),
        ("odd_duplicate_files_equal", "cases.uses.Bill"),
        ("odd_missing_wkt", "cases.wkt.Wkt"),
    ],
)
def test_S04_incomplete_and_disordered_sets(name: str, type_name: str) -> None:
    assert DescriptorSet(SETS / f"{name}.binpb").pool.FindMessageTypeByName(type_name)


def test_S04_what_a_set_lacks_is_named() -> None:
    text = refusal(SETS / "odd_missing_import.binpb")
    assert text.startswith("uses_common.proto imports common_a.proto, which is not in the set (")
    assert text.endswith("): make it with --include_imports")
    text = refusal(SETS / "odd_duplicate_files_differ.binpb")
    assert text.endswith("has two different files named 'common_a.proto': keep one")


BASE64 = (SETS / "odd_base64.txt").read_text()


@pytest.mark.parametrize(
    "source",
    [
        SETS / "odd_base64.txt",
        BASE64,
        BASE64.encode(),
        base64.encodebytes((SETS / "feed.binpb").read_bytes()).decode(),
        SETS / "odd_buf_image.binpb",
        (SETS / "odd_buf_image.binpb").read_bytes(),
        PROTO / "feed.proto",
        str(PROTO / "feed.proto"),
        [PROTO / "feed.proto"],
    ],
    ids=[
        "base64 file", "base64 text", "base64 bytes", "base64 lines", "buf image", "buf bytes",
        "proto Path", "proto str", "proto list",
    ],
)  # fmt: skip
def test_S05_other_forms_of_a_schema_load(source: Any) -> None:
    assert schema_from(source).method(TICKS).output.full_name == "cases.feed.v1.Tick"


HOW = "make it with protoc --include_imports --descriptor_set_out=FILE"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("odd_proto_source.binpb", f"the text of a .proto file, not compiled: {HOW}, or give its "),
        ("odd_single_file_not_set.binpb", f"holds the single file nopackage.proto, not a s.*{HOW}"),
        ("odd_gzip.binpb.gz", "is compressed with gzip: unpack it"),
        ("odd_empty.binpb", f"is empty: {HOW}"),
        ("odd_truncated.binpb", f"is not a descriptor set, or cut short: {HOW}"),
    ],
)
def test_S05_a_wrong_file_is_told_by_its_looks(name: str, text: str) -> None:
    assert re.search(text, refusal(SETS / name))
    assert re.search(text, refusal((SETS / name).read_bytes()))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'{"file": []}', "is JSON: give the binary form"),
        (b"# -*- coding: utf-8 -*-\nimport x", "is Python code: import it and give the module"),
        (b"PK\x03\x04....", "is a zip archive: unpack it"),
    ],
)
def test_S05_more_that_people_take_for_a_set(raw: bytes, text: str) -> None:
    assert text in refusal(raw)


def test_S05_a_text_that_is_neither_path_nor_base64_is_not_printed_in_full() -> None:
    assert len(refusal("x" * 5000)) < 200
    assert "no such file" in refusal("nowhere.binpb")


def test_S05_a_folder_of_proto_files(tmp_path: Path) -> None:
    folder = tmp_path / "protos" / "shop" / "v1"
    folder.mkdir(parents=True)
    (folder / "money.proto").write_text(
        'syntax = "proto3"; package shop.v1; message Money { int64 units = 1; }'
    )
    (folder / "orders.proto").write_text(
        'syntax = "proto3"; package shop.v1;\n'
        'import "shop/v1/money.proto";\nimport "google/protobuf/timestamp.proto";\n'
        "message Order { Money total = 1; google.protobuf.Timestamp at = 2; }\n"
        "service Orders { rpc Watch (Order) returns (stream Order); }"
    )
    # The folder that imports start from is found from any of these.
    for source in (tmp_path / "protos", folder, folder / "orders.proto"):
        method = schema_from(source).method("shop.v1.Orders/Watch")
        assert method.output.fields_by_name["total"].message_type.name == "Money"


def test_S05_proto_files_that_do_not_compile(tmp_path: Path) -> None:
    (tmp_path / "a.proto").write_text('syntax = "proto3";\nimport "b/c.proto";\n')
    text = refusal(tmp_path / "a.proto")
    assert 'a.proto:2:1: Import "b/c.proto" was not found' in text
    assert "Give its folder: ProtoFiles(..., include=[folder])" in text
    (tmp_path / "x" / "b").mkdir(parents=True)
    (tmp_path / "x" / "b" / "c.proto").write_text('syntax = "proto3"; message M { Nope n = 1; }')
    with pytest.raises(SchemaError, match=r'c\.proto:1:32: "Nope" is not defined\.$'):
        ProtoFiles(tmp_path / "a.proto", include=[tmp_path / "x"])
    (tmp_path / "x" / "b" / "c.proto").write_text('syntax = "proto3"; message M {}')
    assert ProtoFiles(tmp_path / "a.proto", include=[tmp_path / "x"]).services() == []
    assert "no such file or directory" in refusal(tmp_path / "nowhere.proto")
    with pytest.raises(SchemaError, match="ProtoFiles\\(\\) of what"):
        ProtoFiles()


def test_S05_proto_files_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    assert "need grpcio-tools: pip install 'faust-grpc[proto]', or give" in refusal("a.proto")


NEWER = """
from google.protobuf import runtime_version
runtime_version.ValidateProtobufRuntimeVersion(
    runtime_version.Domain.PUBLIC, 99, 0, 0, "", "newer.proto"
)
"""


@pytest.mark.parametrize("name", ["newer_pb2", "newer_pb2_grpc"])
def test_S11_generated_code_that_is_newer_than_protobuf(imported: Path, name: str) -> None:
    (imported / "newer_pb2.py").write_text(NEWER)
    (imported / "newer_pb2_grpc.py").write_text("import newer_pb2")
    text = refusal(name)
    assert f"module {name} cannot be imported: it is of protobuf 99.0.0, and " in text
    assert "or give a descriptor set, or nothing (server reflection)" in text
    # As the sibling of a module that is there.
    assert "module newer_pb2 cannot be imported" in refusal(ModuleType("newer_pb2_grpc"))


def test_S11_generated_code_by_its_name(imported: Path) -> None:
    generate(PROTO / "nopackage.proto", imported)
    # The module of S02 is in the default pool under the same name: equal, so it stays.
    assert schema_from("nopackage_pb2_grpc").services() == ["Beats"]
    assert "schema='nowhere_pb2': it cannot be imported: No module" in refusal("nowhere_pb2")
    (imported / "old_pb2.py").write_text("raise RuntimeError('generated for grpcio>=9.9')")
    assert "cannot be imported: generated for grpcio>=9.9: upgrade what is" in refusal("old_pb2")


def test_S11_the_package_has_no_generated_code() -> None:
    package = Path(faust_grpc.__file__).parent
    for path in package.rglob("*.py"):
        assert "ValidateProtobufRuntimeVersion" not in path.read_text(), path


def test_S12_an_edition_of_the_present_and_one_of_the_future() -> None:
    decoder = build_decoder(streaming(case_class("edition_all")), value_type=dict)
    value = decoder.records(decoder.parse(case_bytes("edition_all")))[0].value
    assert value == {
        "explicit_i": None, "implicit_i": 0, "delim": {"n": 4}, "shut": "Y", "open": None,
        "loose": None, "expanded": [1, 2], "must": 1, "dflt": 42,
    }  # fmt: skip
    text = refusal(SETS / "odd_future_edition.binpb")
    assert "is of edition 99999, which needs a newer protobuf" in text


class Names(faust.Record):
    """Fields with the names of keywords, of Record's own and of protobuf's own."""

    from_: str
    class_: int
    self_: int
    None_: bool
    key: str
    timestamp: str
    clear: str = faust.models.fields.StringField(input_name="Clear")
    as_dict: str = faust.models.fields.StringField(input_name="asdict")
    serialize: str = faust.models.fields.StringField(input_name="SerializeToString")


def test_S13_names_that_python_or_faust_keep_for_themselves() -> None:
    cls, raw = case_class("names_all"), case_bytes("names_all")
    message = build_decoder(streaming(cls)).parse(raw)
    assert sorted(cls.SerializeToString(message)) == sorted(raw)
    decoder = build_decoder(streaming(cls), value_type=Names, key="Clear")
    (record,) = decoder.records(message)
    names = record.value
    assert record.key == "c"
    assert (names.from_, names.class_, names.self_, names.None_) == ("f", 1, 2, True)
    assert (names.clear, names.as_dict, names.serialize, names.key) == ("c", "ad", "s", "k")
    assert Names.from_data(names.asdict()) == names


def test_S13_a_request_with_such_names() -> None:
    cls = case_class("names_all")
    fields = {
        "from": "f",
        "None": True,
        "class": 3,
        "Clear": "c",
        "in": {"x": 9},
        "SerializeToString": "",
    }
    decoder = build_decoder(streaming(cls), value_type=dict)
    raw = cls.SerializeToString(build_request(cls, fields))
    value = decoder.records(decoder.parse(raw))[0].value
    assert {name: value[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("name", "method"), [("nopackage", "Beats/Watch"), ("names", "cases.names.import/from")]
)
def test_S14_a_service_without_package_or_with_keywords(name: str, method: str) -> None:
    assert schema_from(SETS / f"{name}.binpb").method(method).path == f"/{method}"


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("Get", r"Feed/Get is unary: a source needs a method whose response is a stream; .*Ticks'"),
        ("Push", r"Feed/Push is client-streaming only: a source needs"),
        ("tick", r"Feed has no method 'tick': did you mean 'Ticks'\?"),
    ],
)
def test_S14_methods_that_no_source_can_read(method: str, text: str) -> None:
    with pytest.raises(SchemaError, match=text):
        schema_from(SETS / "feed.binpb").method(f"cases.feed.v1.Feed/{method}")


def test_S15_public_imports_and_custom_options() -> None:
    bill = schema_from(SETS / "uses_pub.binpb").method("cases.usespub.Bills2/Watch")
    decoder = build_decoder(bill, value_type=dict)
    value = decoder.records(decoder.parse(b"\x0a\x04\x08\x05\x12\x00"))[0].value
    assert value == {"total": {"units": 5, "cur": ""}}
    watch = schema_from(SETS / "opts.binpb").method("cases.opts.Os/Watch")
    decoder = build_decoder(watch, value_type=dict)
    assert decoder.records(decoder.parse(b"\x0a\x01x"))[0].value == {"token": "x", "name": ""}


BEFORE = """
syntax = "proto3";
package feed;
enum Side { NONE = 0; BUY = 1; SELL = 2; }
message Inner { int32 x = 1; }
message Tick { int64 a = 1; string b = 2; int64 old = 3; Side side = 4; Inner in = 5; Tick n = 9; }
service Feed { rpc Watch (Tick) returns (stream Tick); }
"""
AFTER = """
syntax = "proto3";
package feed;
enum Side { NONE = 0; BUY = 2; HOLD = 3; }
message Inner { repeated int32 x = 1; }
message Tick { int64 a = 1; int64 b = 2; bool fresh = 6; Side side = 4; Inner in = 5; Tick n = 9; }
service Feed { rpc Watch (Tick) returns (stream Tick); }
"""


def test_S16_what_changed_is_told_field_by_field(tmp_path: Path) -> None:
    methods = []
    for name, text in (("before", BEFORE), ("after", AFTER)):
        (tmp_path / f"{name}.proto").write_text(text)
        methods.append(schema_from(tmp_path / f"{name}.proto").method("feed.Feed/Watch"))
    before, after = methods
    assert differences(before, before) == []
    assert differences(before, after) == [
        "feed.Tick: 'string b = 2' is now 'int64 b = 2'",
        "feed.Tick: field 'int64 old = 3' is gone",
        "feed.Side: BUY was 1 and is now 2",
        "feed.Side: new value 'HOLD = 3'",
        "feed.Side: value 'SELL = 2' is gone",
        "feed.Tick: new field 'bool fresh = 6'",
        "feed.Inner: 'int32 x = 1' is now 'repeated int32 x = 1'",
    ]


def test_S16_another_type_or_kind_of_stream() -> None:
    feed = schema_from(SETS / "feed.binpb")
    ticks, talk = (feed.method(f"cases.feed.v1.Feed/{name}") for name in ("Ticks", "Talk"))
    assert differences(ticks, talk) == [
        "cases.feed.v1.Feed/Ticks streams otherwise than it did",
        "cases.feed.v1.Feed/Ticks: cases.feed.v1.Tick is now cases.feed.v1.Frame",
    ]
