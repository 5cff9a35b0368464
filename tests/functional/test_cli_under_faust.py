"""``faust -A shop grpc``, shell completion, and a sign of work on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from support_app import METHOD, ORDERS, orders

from faust_grpc.testing import ScriptedServer, Send, Stall

SHOP = f"""
import os
import faust
from faust_grpc import Cursor, GrpcSource

app = faust.App("shop", broker="kafka://127.0.0.1:9", topic_partitions=4)
orders = GrpcSource(
    app,
    os.environ["TARGET"],
    {METHOD!r},
    name="orders",
    schema={str(ORDERS)!r},
    cursor=Cursor("sequence", into="after_sequence"),
)


@app.agent(orders)
async def inventory(orders):
    async for order in orders:
        ...


if __name__ == "__main__":
    app.main()
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def run(
    folder: Path, *arguments: str, target: str = "127.0.0.1:9"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "TARGET": target},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_group_is_there_for_applications_with_a_source(shop: Path) -> None:
    told = run(shop, "-m", "faust", "-A", "shop", "--help")
    assert "\n  grpc  " in told.stdout
    (shop / "plain.py").write_text("import faust\napp = faust.App('plain')\n")
    told = run(shop, "-m", "faust", "-A", "plain", "--help")
    assert told.returncode == 0
    assert "\n  grpc  " not in told.stdout


def test_its_help_teaches(shop: Path) -> None:
    told = run(shop, "-m", "faust", "-A", "shop", "grpc", "--help")
    assert told.returncode == 0, told.stderr
    assert "faust -A shop grpc checkpoint show orders" in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80


@pytest.mark.parametrize("how", [["-m", "faust", "-A", "shop"], ["shop.py"]], ids=["-A", "main"])
def test_commands_are_about_this_application(shop: Path, how: list[str]) -> None:
    with ScriptedServer() as server:
        server.script(METHOD, [Send(*orders(1)), Stall()])
        told = run(shop, *how, "grpc", "check", "--json", "--seconds", "60", target=server.target)
    assert told.returncode == 0, told.stdout + told.stderr
    report = json.loads(told.stdout)
    assert (report["app"], [source["name"] for source in report["sources"]]) == ("shop", ["orders"])


def test_errors_are_one_line_and_faust_s_json_is_ours(shop: Path) -> None:
    told = run(shop, "-m", "faust", "-A", "shop", "grpc", "checkpoint", "show", "order")
    assert told.returncode == 1
    assert told.stderr == "faust-grpc: no source 'order': did you mean 'orders'?\n"
    told = run(shop, "-m", "faust", "-A", "shop", "grpc", "chek")
    assert told.returncode == 2
    assert "no such command 'chek': did you mean 'check'?" in told.stderr
    told = run(shop, "-m", "faust", "--json", "-A", "shop", "grpc", "check", "--seconds", "0.1")
    assert json.loads(told.stdout)["ok"] is False


def test_a_worker_does_not_import_the_commands(shop: Path) -> None:
    told = run(
        shop,
        "-c",
        "import sys, faust.cli.base, shop; "
        "print('grpc' in faust.cli.base.cli.commands, 'faust_grpc.cli' in sys.modules)",
    )
    assert told.stdout == "True False\n", told.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("faust-grpc ch", {"check", "checkpoint"}),
        ("faust-grpc checkpoint ", {"show", "set", "reset"}),
        ("faust-grpc pause --", {"--split", "--url", "--token", "--json", "--reason", "--help"}),
    ],
)
def test_a_shell_completes(tmp_path: Path, words: str, offered: set[str]) -> None:
    program = [sys.executable, "-m", "faust_grpc"]
    told = subprocess.run(
        program,
        cwd=tmp_path,
        env={
            **os.environ,
            "_FAUST_GRPC_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert {line.partition(",")[2] for line in told.stdout.splitlines()} == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(tmp_path: Path, shell: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "faust_grpc"],
        cwd=tmp_path,
        env={**os.environ, "_FAUST_GRPC_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "_FAUST_GRPC_COMPLETE" in told.stdout


WAITS = """
import time
from faust_grpc.cli import output

output._PATIENCE_SECONDS = {patience}
with output.waiting("asking [red]localhost[/]"):
    time.sleep({work})
print("done")
"""


@pytest.mark.parametrize(("patience", "work", "seen"), [(0.05, 1.0, True), (30, 0.05, False)])
def test_a_terminal_shows_what_takes_its_time(
    tmp_path: Path, patience: float, work: float, seen: bool
) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-c", WAITS.format(patience=patience, work=work)],
            stdout=subprocess.PIPE,
            stderr=theirs,
            cwd=tmp_path,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        )
        os.close(theirs)
        shown = b""
        try:
            while chunk := terminal.read(4096):
                shown += chunk
        except OSError:
            pass  # its other end is closed: Linux says so with EIO
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"done\n"), shown
    assert (b"asking [red]localhost[/]" in shown) is seen


def test_a_pipe_shows_nothing_of_that(tmp_path: Path) -> None:
    told = run(tmp_path, "-c", WAITS.format(patience=0.01, work=0.3))
    assert (told.stdout, told.stderr) == ("done\n", "")
