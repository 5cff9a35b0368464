"""What the command line says about itself, and how it refuses."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner, Result

import faust_grpc
from faust_grpc.cli.base import commands

COMMANDS = sorted(commands.commands)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, arguments)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_teaches_by_examples_and_fits_in_80_columns(command: str) -> None:
    result = run(*command.split(), "--help")

    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert "faust-grpc " + command in result.output
    assert max(map(len, result.output.splitlines())) <= 80


def test_every_command_is_named_with_what_it_does() -> None:
    lines = run("--help").output.partition("Commands:\n")[2].splitlines()

    assert [line.split()[0] for line in lines] == COMMANDS
    assert all(line.endswith(".") for line in lines)


def test_version() -> None:
    assert run("--version").output == f"faust-grpc, version {faust_grpc.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["describ"], "describe"),
        (["describe"], "TARGET"),
        (["describe", "h:1", "a.B", "--descriptor-set", "f"], "--descriptor-set"),
        (["tail", "h:1"], "METHOD"),
        (["tail", "h:1", "a.B/C", "--limit", "0"], "--limit"),
        (["tail", "h:1", "a.B/C", "--cursor", "sequence"], "PATH:INTO"),
        (["tail", "h:1", "a.B/C", "--metadata", "token"], "NAME=VALUE"),
        (["tail", "h:1", "a.B/C", "--metadata", "x-bin=%"], "base64"),
        (["tail", "h:1", "a.B/C", "--roots", "no-such.pem"], "--roots"),
        (["demo", "--broker", "rabbit"], "mock"),
        (["demo", "--seconds", "1"], "--seconds"),
    ],
)
def test_wrong_usage_is_status_2_and_names_what_is_wrong(arguments: list[str], named: str) -> None:
    result = run(*arguments)

    assert result.exit_code == 2
    assert named in result.stderr
    assert result.stdout == ""


def test_metadata_values_are_not_repeated_in_errors() -> None:
    result = run("tail", "h:1", "a.B/C", "--metadata", "grpc-secret=hush")

    assert result.exit_code == 2
    assert "hush" not in result.output


def test_our_errors_are_one_line_and_status_1() -> None:
    result = run("describe", "localhost")

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("faust-grpc: target='localhost': has no port")
    assert result.stderr.count("\n") == 1


def test_describe_and_tail_do_not_need_faust() -> None:
    code = "import sys, faust_grpc.cli; sys.exit('faust' in sys.modules or 'mode' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
