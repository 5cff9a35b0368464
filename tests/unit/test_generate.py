"""Records made from message types: importable, formatted, in a stable order, and decoded into."""

from __future__ import annotations

import importlib.util
import inspect
import random
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import faust
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from support.messages import CASES, DATA, SETS, case_bytes, streaming

from faust_grpc.decoding import build_decoder
from faust_grpc.generate import comments_in, records_source
from faust_grpc.schema import DescriptorSet, ProtoFiles
from faust_grpc.schema.files import PoolSchema

NAMES = sorted(path.stem for path in SETS.glob("*.binpb") if not path.stem.startswith("odd_"))
#: Of another type on purpose.
GOOD = sorted(name for name, case in CASES.items() if "error" not in case)


def source(schema: PoolSchema, *, seed: int | None = None) -> str:
    roots = [
        inner
        for name in schema.files
        for described in schema.pool.FindFileByName(name).message_types_by_name.values()
        for inner in (described, *described.nested_types)
        if not inner.GetOptions().map_entry
    ]
    if seed is not None:
        random.Random(seed).shuffle(roots)
    return records_source(roots, comments_in(schema.files.values()), origin="tests")


@pytest.fixture
def imported(tmp_path: Path) -> Iterator[Any]:
    names = []

    def module(text: str, name: str = "generated_records") -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        # Where Faust looks up what annotations name.
        sys.modules[name] = made
        names.append(name)
        spec.loader.exec_module(made)
        return made

    yield module
    for name in names:
        del sys.modules[name]


def plain(value: Any) -> Any:
    """Return records as dicts with the names of the .proto file."""
    if isinstance(value, faust.Record):
        descriptors = value._options.descriptors
        return {d.input_name: plain(getattr(value, name)) for name, d in descriptors.items()}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        # Extensions have no attribute.
        keys = [key for key in right if not str(key).startswith("[")]
        return list(left) == keys and all(same(left[key], right[key]) for key in keys)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    # An enum's number without a name is text, as the annotation says.
    return bool(left == right or left == str(right) or (left != left and right != right))


@pytest.mark.parametrize("case", GOOD)
def test_a_message_decodes_into_its_record_as_into_a_dict(case: str, imported: Any) -> None:
    schema = DescriptorSet(SETS / CASES[case]["set"])
    described = schema.pool.FindMessageTypeByName(CASES[case]["type"])
    module = imported(records_source([described], origin="tests"))
    record_class = getattr(module, described.name)
    method = streaming(GetMessageClass(described))
    decoder = build_decoder(method, value_type=record_class)
    message = decoder.parse(case_bytes(case))
    (record,) = decoder.records(message)
    (as_dict,) = build_decoder(method, value_type=dict).records(message)
    assert isinstance(record.value, record_class)
    assert same(plain(record.value), as_dict.value)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_set_makes_no_difference(name: str, imported: Any) -> None:
    schema = DescriptorSet(SETS / f"{name}.binpb")
    text = source(schema)
    assert {source(schema, seed=seed) for seed in range(3)} == {text}
    module = imported(text)
    for class_name in module.__all__:
        getattr(module, class_name)()


def test_formatters_leave_it_as_it_is(tmp_path: Path) -> None:
    ruff = Path(sysconfig.get_path("scripts")) / "ruff"
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(source(DescriptorSet(SETS / f"{name}.binpb")))
    (tmp_path / "orders.py").write_text(source(ProtoFiles(DATA / "generate" / "commented.proto")))
    command = str(ruff) if ruff.exists() else "ruff"
    select = ["--isolated", "--no-cache"]
    formatted = subprocess.run(
        [command, "format", *select, "--diff", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert formatted.returncode == 0, formatted.stdout
    checked = subprocess.run(
        [command, "check", *select, "--select", "F,I,UP,RUF,W", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


def test_comments_come_along(imported: Any) -> None:
    schema = ProtoFiles(DATA / "generate" / "commented.proto")
    module = imported(source(schema))
    assert inspect.getdoc(module.Reading) == (
        "One reading of a \\ sensor.\n\n  indented\n\nThe message ``meters.v1.Reading``."
    )
    assert inspect.getdoc(module.ReadingQuoted) == (
        '"Quoted", even """three times""".\n\nThe message ``meters.v1.Reading.Quoted``.'
    )
    text = source(schema)
    assert "    #: In degrees.\n    celsius: float = 0.0\n" in text
    assert "    #: Behind the field.\n    #: One of LOW, HIGH.\n    level: str" in text


def test_S13_names_that_python_and_faust_keep_for_themselves(imported: Any) -> None:
    module = imported(source(DescriptorSet(SETS / "names.binpb")))
    names = module.Names._options.descriptors
    renamed = {d.input_name: name for name, d in names.items() if d.input_name != name}
    assert renamed == {
        "from": "from_",
        "import": "import_",
        "None": "None__",
        "class": "class_",
        "self": "self_",
        "async": "async_",
        "asdict": "asdict_",
        "to_representation": "to_representation_",
        "in": "in_",
    }
    record = module.Names(from_="a", in_=module.NamesLambda(x=1))
    assert record.asdict()["from"] == "a"
    assert module.Names.from_data({"from": "b"}).from_ == "b"


def message(file: FileDescriptorProto, name: str, **fields: str) -> None:
    made = file.message_type.add(name=name)
    for number, (field, of) in enumerate(fields.items(), 1):
        is_many = of.endswith("*")
        made.field.add(
            name=field,
            number=number,
            label="LABEL_REPEATED" if is_many else "LABEL_OPTIONAL",
            type=FieldDescriptorProto.TYPE_INT32
            if of == "int"
            else FieldDescriptorProto.TYPE_MESSAGE,
            type_name=None if of == "int" else f".loops.{of.rstrip('*')}",
        )


def test_types_that_need_each_other(imported: Any) -> None:
    file = FileDescriptorProto(name="loops.proto", package="loops", syntax="proto3")
    message(file, "A", b="B", more="A*", n="int")
    message(file, "B", c="C*", a="A")
    message(file, "C", a="A", b="B*", d="D")
    message(file, "D", n="int")
    schema = PoolSchema([file], origin="loops", remedy="")
    text = source(schema)
    module = imported(text)
    A = GetMessageClass(schema.pool.FindMessageTypeByName("loops.A"))
    value = A(n=1, b={"c": [{"a": {"n": 2}, "d": {"n": 3}}]}, more=[{"n": 4}])
    (record,) = build_decoder(streaming(A), value_type=module.A).records(value)
    assert record.value.b.c[0].a == module.A(n=2)
    assert record.value.b.c[0].d.n == 3
    app = faust.App("loops", broker="kafka://127.0.0.1:9")
    sent = app.serializers.dumps_value(module.A, record.value, serializer="json")
    back = app.serializers.loads_value(module.A, sent, serializer="json")
    assert isinstance(back.b.c[0].a, module.A)
    assert back.b.c[0].a.n == 2


def test_one_name_in_two_packages_and_in_two_levels(imported: Any) -> None:
    files = []
    for package in ("a.v1", "b.v1"):
        file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
        file.message_type.add(name="Order").nested_type.add(name="Item")
        files.append(file)
    files[0].message_type.add(name="OrderItem")
    files[0].message_type.add(name="str")
    schema = PoolSchema(files, origin="twice", remedy="")
    module = imported(source(schema))
    assert module.__all__ == [
        "AV1Order",
        "AV1OrderItem",
        "AV1OrderItem_",
        "BV1Order",
        "BV1OrderItem",
        "Str",
    ]


@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ("__hidden", "_hidden"),
        ("kwargs", "kwargs_"),
        ("_options", "_options_"),
        ("int", "int_"),
        ("Any", "Any_"),
        ("M", "M_"),
        ("loads", "loads_"),
        ("lambda", "lambda__"),
    ],
)
def test_fields_are_renamed_by_rule(field: str, attribute: str, imported: Any) -> None:
    file = FileDescriptorProto(name="loops.proto", package="loops", syntax="proto2")
    message(file, "M", **{field: "int", "lambda_": "int"})
    # Names that differ by an underscore only need a word more.
    file.message_type[0].field[1].json_name = "other"
    schema = PoolSchema([file], origin="rule", remedy="")
    module = imported(source(schema))
    M = GetMessageClass(schema.pool.FindMessageTypeByName("loops.M"))
    value = M(**{field: 7, "lambda_": 8})
    (record,) = build_decoder(streaming(M), value_type=module.M).records(value)
    assert getattr(record.value, attribute) == 7
    assert record.value.lambda_ == 8
    assert record.value.asdict() == {field: 7, "lambda_": 8}
