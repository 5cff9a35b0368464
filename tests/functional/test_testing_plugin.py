"""The pytest plugin, in a pytest of its own as users run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

USES_THEM = """
import grpc
from faust_grpc.testing import Broker, ScriptedServer, Send


def test_server(grpc_server: ScriptedServer) -> None:
    grpc_server.script("shop.v1.OrderService/StreamOrders", Send(b"one"))
    with grpc.insecure_channel(grpc_server.target) as channel:
        call = channel.unary_stream("/shop.v1.OrderService/StreamOrders")(b"", timeout=10)
        assert list(call) == [b"one"]


def test_broker(faust_broker: Broker) -> None:
    assert faust_broker.url.startswith("kafka://127.0.0.1:")
    assert faust_broker.process.alive
"""

USES_NONE = """
import sys


def test_nothing_heavy_is_imported() -> None:
    heavy = {"faust", "grpc", "confluent_kafka", "google.protobuf", "aiohttp"}
    assert not heavy & set(sys.modules)
    assert "faust_grpc.testing.plugin" in sys.modules
"""

OWN_FIXTURE = """
import pytest


@pytest.fixture
def kafka_broker() -> str:
    return "mine"


def test_ours_gives_way(kafka_broker: str) -> None:
    assert kafka_broker == "mine"
"""


@pytest.mark.parametrize(
    ("text", "passed"),
    [(USES_THEM, 2), (USES_NONE, 1), (OWN_FIXTURE, 1)],
    ids=["used", "unused", "own"],
)
def test_a_users_run(tmp_path: Path, text: str, passed: int) -> None:
    (tmp_path / "test_it.py").write_text(text)
    # Only this plugin: others of this environment import what they like.
    plugins = ["-p", "faust_grpc.testing.plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugins, "test_it.py"],
        cwd=tmp_path,
        env={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{passed} passed" in done.stdout


def test_it_is_there_once_the_package_is_installed(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.hasplugin("faust_grpc")


def test_fixtures_are_told(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    ).stdout
    for fixture in ("grpc_server", "faust_broker", "kafka_broker [session scope]"):
        assert f"\n{fixture} -- " in told
