"""``faust-grpc describe`` against a real order server, and against files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from support import OrderServer

import faust_grpc
from faust_grpc.cli.base import commands
from faust_grpc.declaration import Declaration
from faust_grpc.schema import DescriptorSet
from faust_grpc.targets import parse_targets
from faust_grpc.testing import ScriptedServer
from faust_grpc.testing.orders.history import FILES

ETCD = Path(__file__).parents[2] / "examples" / "etcd_watch" / "etcd.binpb"


def describe(*arguments: str | Path) -> Result:
    return CliRunner().invoke(commands, ["describe", *map(str, arguments)])


def test_services_and_their_methods_with_streams_marked(order_server: OrderServer) -> None:
    assert describe(order_server.target).output == (
        "shop.v1.OrderService\n"
        "  StreamOrders  StreamOrdersRequest -> stream Order\n"
        "  GetProgress   GetProgressRequest -> Progress\n"
    )


def test_a_method_comes_with_all_its_types(order_server: OrderServer) -> None:
    output = describe(order_server.target, "shop.v1.OrderService/StreamOrders").output

    assert "  rpc StreamOrders(StreamOrdersRequest) returns (stream Order);\n}" in output
    for head in ("message StreamOrdersRequest {", "message Order {", "message Item {"):
        assert head in output
    assert "GetProgress" not in output
    assert "\x1b" not in output


@pytest.mark.parametrize(
    "name",
    [
        "/shop.v1.OrderService/StreamOrders",
        "shop.v1.OrderService.StreamOrders",
        "OrderService/StreamOrders",
        "StreamOrders",
    ],
)
def test_spellings_of_a_method(name: str) -> None:
    expected = describe("--descriptor-set", FILES, "shop.v1.OrderService/StreamOrders").output

    assert describe("--descriptor-set", FILES, name).output == expected


class Pasted:
    """Takes the place of GrpcSource: keeps what it was declared with."""

    def __init__(self, app: Any, target: str, method: str, **options: Any) -> None:
        self.target, self.method, self.options = target, method, options


@pytest.mark.parametrize(
    ("file", "method"), [(FILES, "StreamOrders"), (ETCD, "Watch/Watch")], ids=["orders", "etcd"]
)
def test_the_declaration_can_be_pasted(file: Path, method: str) -> None:
    output = describe("--descriptor-set", file, method, "-H", "authorization=hush").output
    code = output[output.index("from faust_grpc import ") :]
    imports, _, statement = code.partition("\n")
    names: dict[str, Any] = {}
    exec(imports, names)
    assert names["GrpcSource"] is faust_grpc.GrpcSource
    names |= {"GrpcSource": Pasted, "app": None}
    exec(statement, names)
    (pasted,) = [value for value in names.values() if isinstance(value, Pasted)]
    options = pasted.options

    assert "hush" not in output
    assert options.pop("metadata") == {"authorization": "..."}
    schema = DescriptorSet(options.pop("schema"))
    declaration = Declaration(
        name="pasted",
        targets=parse_targets(pasted.target),
        method=pasted.method,
        schema=schema,
        splits=(faust_grpc.Split("main"),),
        **options,
    )
    # Every option fits the types.
    assert declaration.plan(schema.method(pasted.method)).decoder


def test_what_is_guessed_from_names() -> None:
    output = describe("--descriptor-set", FILES, "StreamOrders").output

    assert 'cursor=Cursor("sequence", into="after_sequence"),' in output
    assert 'key="order_id",' in output
    assert 'timestamp="created_at",' in output


def test_a_unary_method_is_no_source() -> None:
    output = describe("--descriptor-set", FILES, "GetProgress").output

    assert "A source cannot read it" in output
    assert "GrpcSource(" not in output


@pytest.mark.parametrize("name", ["shop.v1.Order", "Order"])
def test_a_message(order_server: OrderServer, name: str) -> None:
    output = describe(order_server.target, name).output

    assert output.startswith("package shop.v1;\n\nmessage Order {\n  uint64 sequence = 1;\n")
    assert "enum Status {" in output


def test_a_service(order_server: OrderServer) -> None:
    output = describe(order_server.target, "OrderService").output

    assert output.startswith("package shop.v1;\n\nservice OrderService {\n  rpc StreamOrders(")
    assert "message" not in output


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("StreamOrder", "'StreamOrders'"),
        ("shop.v1.OrderService/StreamOrder", "'shop.v1.OrderService/StreamOrders'"),
        ("shop.v1.OrderServce", "'shop.v1.OrderService'"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_names(
    order_server: OrderServer, name: str, right: str
) -> None:
    result = describe(order_server.target, name)

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert f"did you mean {right}" in result.stderr


def test_a_name_that_several_things_have() -> None:
    result = describe("--descriptor-set", ETCD, "Watch")

    assert result.exit_code == 1
    assert "etcdserverpb.Watch, etcdserverpb.Watch/Watch" in result.stderr


def test_metadata_is_sent_with_the_questions() -> None:
    # It is the reflection service itself that is scripted: it sees what the caller sends.
    with ScriptedServer(files=FileDescriptorSet()) as server:
        server.script("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ())
        result = describe(server.target, "-H", "authorization=token", "-H", "id-bin=AAE=")

    assert result.exit_code == 1
    metadata = dict(server.calls[0].metadata)
    assert metadata["authorization"] == "token"
    assert metadata["id-bin"] == b"\0\1"


def test_a_server_without_reflection() -> None:
    with ScriptedServer() as server:
        result = describe(server.target)

    assert result.exit_code == 1
    assert "does not offer reflection" in result.stderr
    assert "--descriptor-set" in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_server_at_all() -> None:
    with ScriptedServer() as server:
        target = server.target
    result = describe(target)

    assert result.exit_code == 1
    assert "UNAVAILABLE" in result.stderr
    assert "is the server up" in result.stderr
    assert result.stderr.count("\n") == 1


def test_no_such_descriptor_set(tmp_path: Path) -> None:
    result = describe("--descriptor-set", tmp_path / "none.binpb")

    assert result.exit_code == 1
    assert "no such file" in result.stderr
