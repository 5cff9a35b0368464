"""``faust-grpc from-connect``: what it prints is formatted, typed, and runs."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from faust_grpc import TLS, GrpcSource
from faust_grpc.cli.base import commands
from faust_grpc.testing.orders.history import FILES

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "connect"
SMALLEST = DATA / "smallest.properties"
ORDERS = DATA / "orders.json"


def from_connect(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(commands, ["from-connect", *map(str, arguments)], input=given)


def source_of(text: str, folder: Path) -> GrpcSource:
    """Import what was printed."""
    module = folder / "app.py"
    module.write_text(text)
    source: Any = runpy.run_path(str(module))["source"]
    assert isinstance(source, GrpcSource)
    return source


def run(folder: Path, *command: str) -> None:
    # In a folder where this package is one that is installed, like Faust.
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_smallest_connector_becomes_a_source(tmp_path: Path) -> None:
    result = from_connect(SMALLEST)
    assert result.exit_code == 0
    source = source_of(result.stdout, tmp_path)
    assert source.declaration.name == "events"
    assert source.declaration.method == "com.example.EventService/StreamEvents"
    assert [str(target) for target in source.declaration.targets] == ["localhost:9090"]
    assert result.stderr == "faust-grpc: not the same: 1; see the first lines of the text\n"


def test_a_whole_connector_becomes_a_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_TLS_CLIENT_KEY", "/etc/ssl/client.key")
    for name in ("GRPC_METADATA_AUTHORIZATION", "TENANT", "GRPC_METADATA_X_API_KEY"):
        monkeypatch.setenv(name, f"<{name}>")
    result = from_connect(ORDERS, "--descriptor-set", FILES)
    assert result.exit_code == 0
    declared = source_of(result.stdout, tmp_path).declaration
    assert declared.request == {"region": "north", "after_sequence": 7}
    assert isinstance(declared.tls, TLS)
    assert declared.tls.key == "/etc/ssl/client.key"
    assert callable(declared.metadata)
    assert declared.metadata() == {
        "authorization": "<GRPC_METADATA_AUTHORIZATION>",
        "x-environment": "production",
        "x-tenant": "tenant-<TENANT>",
        "x-api-key": "<GRPC_METADATA_X_API_KEY>",
    }
    assert (declared.backoff.initial_seconds, declared.backoff.maximum_seconds) == (60, 60)
    assert (declared.buffer.messages, declared.buffer.message_size_bytes) == (50_000, 8_388_608)
    assert declared.keepalive.interval_seconds == 30
    assert declared.cursor is not None


def test_secrets_are_not_repeated() -> None:
    result = from_connect(ORDERS)
    assert "MARKER" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [[SMALLEST], [ORDERS], [ORDERS, "--descriptor-set", FILES]],
    ids=["smallest", "without types", "with types"],
)
def test_formatters_and_linters_leave_it_as_it_is(arguments: list[Any], tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(from_connect(*arguments).stdout)
    run(tmp_path, "ruff", "format", "--isolated", "--check", "app.py")
    run(tmp_path, "ruff", "check", "--isolated", "--select", "E4,E7,E9,F,I,B", "app.py")


def test_the_page_shows_what_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    printed = from_connect(ORDERS, "--descriptor-set", "examples/orders/orders.binpb").stdout
    assert printed == (DATA / "orders.py.txt").read_text()


def test_standard_input_is_read() -> None:
    assert from_connect("-", given=SMALLEST.read_text()).stdout == from_connect(SMALLEST).stdout


def test_its_types_may_come_from_where_the_connector_has_them(tmp_path: Path) -> None:
    properties = (
        "grpc.server.host=localhost\ngrpc.server.port=50051\n"
        "grpc.service.name=shop.v1.OrderService\ngrpc.method.name=StreamOrders\n"
        'grpc.request.message={"afterSequence": "3"}\nkafka.topic=orders\n'
        f"grpc.proto.descriptor={FILES}\n"
    )
    declared = source_of(from_connect("-", given=properties).stdout, tmp_path).declaration
    plan = declared.plan(declared.schema.method(declared.method))
    assert str(plan.requests["main"]) == "after_sequence: 3\n"


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        (["no-such.json"], None, "faust-grpc: no-such.json: no such file or directory"),
        (["-"], "hello", "faust-grpc: -: 'hello' is no option: write NAME=VALUE, or give JSON"),
        (["-"], "a=1", "faust-grpc: grpc.server.host: is missing, and the connector needs it"),
        (
            [SMALLEST, "--descriptor-set", FILES],
            None,
            "no service 'com.example.EventService': ",
        ),
        ([SMALLEST, "--descriptor-set", "gone.binpb"], None, "descriptor set gone.binpb: no such"),
    ],
)
def test_errors_are_one_line(arguments: list[Any], given: str | None, said: str) -> None:
    result = from_connect(*arguments, given=given)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
