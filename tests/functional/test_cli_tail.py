"""``faust-grpc tail`` as a process of its own, against scripted and real servers."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from click.testing import CliRunner
from support import OrderServer

from faust_grpc.cli.base import commands
from faust_grpc.cli.output import json_line
from faust_grpc.testing import End, Fail, Replay, ScriptedServer, Send, Stall, wait_until
from faust_grpc.testing.orders.history import FILES, OrderHistory, order_message

METHOD = "shop.v1.OrderService/StreamOrders"
COMMAND = (sys.executable, "-m", "faust_grpc", "tail")
NORTH = ("--request", '{"region": "north"}')
SECONDS = 30.0


def orders(count: int) -> list[bytes]:
    history = OrderHistory("north")
    return [history.wire(sequence) for sequence in range(1, count + 1)]


def after(raw: bytes) -> int:
    return int(order_message("StreamOrdersRequest").FromString(raw).after_sequence)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(files=FILES.read_bytes()) as started:
        yield started


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``tail``; it is ended with the test."""
    with ExitStack() as started:

        def start_one(*arguments: str, **options: Any) -> subprocess.Popen[str]:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
            process = subprocess.Popen([*COMMAND, *arguments], text=True, **pipes)
            started.enter_context(process)
            started.callback(process.kill)
            return process

        yield start_one


def tail(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )


def sequences(output: str) -> list[int]:
    return [json.loads(line)["sequence"] for line in output.splitlines()]


def test_one_line_of_json_per_message(order_server: OrderServer) -> None:
    result = tail(order_server.target, METHOD, *NORTH, "--limit", "3")

    assert result.returncode == 0
    assert result.stderr == ""
    assert sequences(result.stdout) == [1, 2, 3]
    first = json.loads(result.stdout.splitlines()[0])
    assert first["order_id"] == "north-000000001"
    assert first["created_at"] == "2026-01-01T00:00:00.100000+00:00"
    assert first["status"].startswith("STATUS_")


def test_types_from_a_descriptor_set_and_a_request_from_a_file(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"region": "north", "afterSequence": "4"}')
    with ScriptedServer() as server:  # no reflection
        server.script(METHOD, [Replay(orders(9), after), Stall()])
        result = tail(
            *(server.target, METHOD, "--descriptor-set", str(FILES)),
            *("--request", f"@{request}", "-n", "2", "-H", "authorization=token"),
        )

    assert sequences(result.stdout) == [5, 6]
    assert dict(server.calls[0].metadata)["authorization"] == "token"


def test_it_resumes_behind_the_last_message(server: ScriptedServer) -> None:
    history = orders(6)
    server.script(
        METHOD,
        [Replay(history[:3], after), Fail(grpc.StatusCode.UNAVAILABLE, "restarting")],
        [Replay(history[:5], after), End()],
        [Replay(history, after), Stall()],
    )
    result = tail(
        server.target, METHOD, *NORTH, "--cursor", "sequence:after_sequence", "--limit", "6"
    )

    assert result.returncode == 0
    assert sequences(result.stdout) == [1, 2, 3, 4, 5, 6]
    assert [after(call.request) for call in server.calls] == [0, 3, 5]
    assert "UNAVAILABLE: restarting" in result.stderr


def test_A05_ctrl_c_ends_it_with_a_count(
    server: ScriptedServer, start: Callable[..., subprocess.Popen[str]]
) -> None:
    server.script(METHOD, [Send(*orders(2)), Stall()])
    process = start(server.target, METHOD, *NORTH)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)

    assert process.returncode == 130
    assert sequences("".join(lines)) == [1, 2]
    assert out == ""
    assert err.startswith("2 messages in ")
    assert err.count("\n") == 1
    wait_until(lambda: server.calls[0].over, what="the call is cancelled")


def test_A05_a_closed_pipe_is_quiet(order_server: OrderServer) -> None:
    command = [*COMMAND, order_server.target, METHOD, *NORTH]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
        subprocess.Popen(["head", "-1"], stdin=process.stdout, stdout=subprocess.PIPE) as head,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # head has it
        (line, _), err = head.communicate(timeout=SECONDS), process.stderr.read()

    assert sequences(line.decode()) == [1]
    assert err == b""
    assert process.returncode == 128 + signal.SIGPIPE


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([METHOD], "INVALID_ARGUMENT: region: must not be empty"),
        (["shop.v1.OrderService/StreamOrder"], "did you mean 'StreamOrders'"),
        (["shop.v1.OrderService/GetProgress"], "needs a method whose response is a stream"),
        ([METHOD, "--request", '{"regio": 1}'], "no field 'regio': did you mean 'region'"),
        ([METHOD, "--request", '{"rate": "fast"}'], "rate"),
        ([METHOD, "--request", "region=north"], "not JSON"),
        ([METHOD, "--request", "@no-such.json"], "no such file"),
        ([METHOD, *NORTH, "--cursor", "sequenc:after_sequence"], "did you mean 'sequence'"),
    ],
)
def test_what_cannot_work_is_one_line_and_status_1(
    order_server: OrderServer, arguments: list[str], said: str
) -> None:
    result = CliRunner().invoke(commands, ["tail", order_server.target, *arguments])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("faust-grpc: ")


def test_it_waits_for_a_server_that_is_down(
    server: ScriptedServer, start: Callable[..., subprocess.Popen[str]]
) -> None:
    server.script(METHOD, [Send(*orders(1)), Stall()])
    server.stop()
    process = start(server.target, METHOD, *NORTH, "--limit", "1")
    assert process.stderr is not None
    assert "trying again" in process.stderr.readline()
    server.start()
    out, _ = process.communicate(timeout=SECONDS)

    assert process.returncode == 0
    assert sequences(out) == [1]


def test_a_bad_message_is_left_out_and_said(server: ScriptedServer) -> None:
    first, second = orders(2)
    server.script(METHOD, [Send(first, b"\xff\xff", second), Stall()])
    result = tail(server.target, METHOD, *NORTH, "--limit", "2")

    assert sequences(result.stdout) == [1, 2]
    assert "message 2 left out: 2 bytes are no shop.v1.Order" in result.stderr


def test_colours_on_a_terminal_only(
    server: ScriptedServer, start: Callable[..., subprocess.Popen[str]]
) -> None:
    server.script(METHOD, [Send(*orders(1)), Stall()])
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    process = start(server.target, METHOD, *NORTH, "-n", "1", stdout=theirs, env=environment)
    shown = b""
    while b"\n" not in shown:
        shown += os.read(ours, 4096)
    process.wait(SECONDS)
    os.close(ours)
    os.close(theirs)

    assert b"\x1b[" in shown
    assert b"\x1b[" not in tail(server.target, METHOD, *NORTH, "-n", "1").stdout.encode()


def test_values_that_json_does_not_have() -> None:
    value = {
        "bytes": b"\0\xff",
        "time": datetime(2026, 1, 2, tzinfo=timezone.utc),
        "duration": timedelta(seconds=-1.5),
        "nan": float("nan"),
        "infinite": float("inf"),
        "map": {1: "one", 2: "two"},
        "big": 2**64 - 1,
    }

    assert orjson.loads(json_line(value)) == {
        "bytes": "AP8=",
        "time": "2026-01-02T00:00:00+00:00",
        "duration": "-1.5s",
        "nan": None,
        "infinite": None,
        "map": {"1": "one", "2": "two"},
        "big": 2**64 - 1,
    }
