"""``faust-grpc check``: declarations against live servers."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from click.testing import CliRunner
from grpc import StatusCode
from support import OrderServer
from support_app import METHOD, ORDERS, orders

from faust_grpc.cli.base import commands
from faust_grpc.testing import Fail, ScriptedServer, Send, Stall, free_port

APP = """
import faust
from faust_grpc import TLS, Cursor, GrpcSource, Split

app = faust.App("shop", broker="kafka://127.0.0.1:9", store="memory://")
source = GrpcSource(
    app,
    {target!r},
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    {options}
)

@app.agent(source)
async def reader(stream):
    async for _ in stream:
        pass
"""


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``check(target, options, *arguments)``: exit status, output, findings by name of check."""

    def run(
        target: str, options: str = "", *arguments: str, code: str = APP
    ) -> tuple[int, str, dict[str, dict[str, str]]]:
        text = textwrap.dedent(code).format(target=target, options=options)
        name = f"checked_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        result = CliRunner().invoke(commands, ["check", "-A", name, "--json", *arguments])
        findings: dict[str, dict[str, str]] = {}
        if result.stdout.startswith("{"):
            (source,) = json.loads(result.stdout)["sources"]
            findings = {finding["check"]: finding for finding in source["findings"]}
        return result.exit_code, result.output, findings

    return run


_numbers = itertools.count(1)

CURSOR = 'cursor=Cursor("sequence", into="after_sequence"), request={"region": "north"},'
STATIC = f"schema={str(ORDERS)!r},"


def test_a_good_declaration(check: Any, order_server: OrderServer) -> None:
    status, output, found = check(order_server.target, CURSOR)

    assert status == 0, output
    assert {finding["verdict"] for finding in found.values()} == {"ok"}
    assert found["agents"]["text"].endswith(".reader")
    assert found["cursor"]["text"] == "sequence -> after_sequence, int (at_least_once)"
    assert "north-000000001" in found["read main"]["text"]


def test_a_static_schema_is_compared_with_the_servers(
    check: Any, order_server: OrderServer
) -> None:
    _, _, found = check(order_server.target, CURSOR + STATIC)

    assert found["server's schema"] == {
        "check": "server's schema",
        "verdict": "ok",
        "text": "the same",
    }


def test_without_a_cursor_it_warns_and_is_content(check: Any, order_server: OrderServer) -> None:
    status, _, found = check(order_server.target, 'request={"region": "north"},')

    assert status == 0
    assert found["cursor"]["verdict"] == "warning"


def test_every_split_is_read_on_request(check: Any, order_server: OrderServer) -> None:
    splits = 'splits={"n": {"region": "north"}, "s": {"region": "south"}},'
    _, _, few = check(order_server.target, splits)
    _, _, all_of_them = check(order_server.target, splits, "--all-splits")

    assert [name for name in few if name.startswith("read")] == ["read n"]
    assert [name for name in all_of_them if name.startswith("read")] == ["read n", "read s"]


@pytest.mark.parametrize(
    ("options", "failed", "named"),
    [
        (CURSOR.replace('"sequence"', '"sequenc"'), "schema", "did you mean 'sequence'"),
        (CURSOR.replace('"sequence"', '"order_id"'), "schema", "order_id is str"),
        ('request={"regio": "north"},', "schema", "did you mean 'region'"),
        ('key="orderid",', "schema", "did you mean 'order_id'"),
        ("tls=True," + STATIC, "read main", "TLS"),
    ],
)
def test_what_does_not_fit_the_server_fails_by_name(
    check: Any, order_server: OrderServer, options: str, failed: str, named: str
) -> None:
    status, output, found = check(order_server.target, options, "--seconds", "3")

    assert status == 1, output
    assert found[failed]["verdict"] == "failed"
    assert named in found[failed]["text"]
    assert "Traceback" not in output


def test_no_server_at_all(check: Any) -> None:
    target = f"127.0.0.1:{free_port()}"
    status, _, found = check(target, "", "--seconds", "1")
    assert status == 1
    assert "is the server up" in found["schema"]["text"]

    status, _, found = check(target, STATIC, "--seconds", "1")
    assert status == 1
    assert "not within 1 s: UNAVAILABLE" in found["read main"]["text"]


@pytest.mark.parametrize("options", ["", STATIC], ids=["reflection", "descriptor set"])
def test_T01_a_server_that_expects_tls(check: Any, options: str) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    with ScriptedServer(credentials=credentials) as server:
        status, output, found = check(server.target, options, "--seconds", "2")
    assert status == 1, output
    text = " ".join(finding["text"] for finding in found.values())
    assert "it probably expects TLS; use tls=True" in text


@pytest.mark.parametrize("options", ["", STATIC], ids=["reflection", "descriptor set"])
def test_T12_a_name_that_nobody_knows(check: Any, options: str) -> None:
    status, output, found = check("no-such-host.invalid:50051", options, "--seconds", "2")
    assert status == 1, output
    text = " ".join(finding["text"] for finding in found.values())
    assert "the host name cannot be resolved" in text


@pytest.mark.parametrize("options", ["", STATIC], ids=["reflection", "descriptor set"])
def test_what_failed_is_said_once(tmp_path: Path, order_server: OrderServer, options: str) -> None:
    """Neither a line for each attempt nor those of gRPC's core stand before the result."""
    code = APP.format(target=order_server.target, options=f"tls=True, {options}")
    (tmp_path / "shop.py").write_text(code)
    result = subprocess.run(
        [*(sys.executable, "-m", "faust_grpc"), *("check", "-A", "shop", "--seconds", "2")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.count("the server does not speak TLS on this port") == 1


@pytest.mark.parametrize(
    ("script", "verdict", "text"),
    [
        (Fail(StatusCode.PERMISSION_DENIED, "no"), "failed", "PERMISSION_DENIED: no"),
        (Send(b"\xff"), "failed", "dead letter"),
        (Send(orders(1)[0]), "ok", "o1"),
        (Stall(), "ok", "the call is open; no message within"),
    ],
)
def test_what_the_first_read_tells(check: Any, script: Any, verdict: str, text: str) -> None:
    with ScriptedServer() as server:
        server.script(METHOD, (script, Stall()))
        status, output, found = check(server.target, STATIC, "--seconds", "4")

    assert found["read main"]["verdict"] == verdict, output
    assert text in found["read main"]["text"]
    assert status == (verdict == "failed")


def test_nobody_reads_it(check: Any, order_server: OrderServer) -> None:
    agentless = APP.partition("@app.agent")[0]
    status, _, found = check(order_server.target, CURSOR, code=agentless)

    assert status == 1
    assert found["agents"]["verdict"] == "failed"


def test_F10_an_application_without_sources_says_so(check: Any) -> None:
    status, output, _ = check("h:1", code="import faust\napp = faust.App('empty')\n")

    assert status == 1
    assert "app 'empty' has no source" in output
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("import faus\n", "line 1: No module named 'faus'"),
        ("app = 5\n", "is int, not a faust.App"),
        ("other = 5\n", "no attribute 'app'"),
    ],
)
def test_no_application_there(check: Any, code: str, named: str) -> None:
    status, output, _ = check("h:1", code=code)

    assert status == 1
    assert named in output
    assert output.count("\n") == 1
