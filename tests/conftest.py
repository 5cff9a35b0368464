"""Servers, brokers and workers for all tests; everything started here ends with its test.

``kafka_broker``, the real Kafka of the session, comes with the package's own plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import Etcd, OrderServer, Worker, go_server_binary
from support.orders import PYTHON_SERVER

from faust_grpc.testing import Broker, broker


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """``--dist loadscope`` knows which tests must not run at the same time."""
    from support.scheduling import Scheduling

    return Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture
def mock_broker() -> Iterator[Broker]:
    """A fresh mock broker."""
    with broker("mock") as started:
        yield started


@pytest.fixture
def start_order_server(tmp_path: Path) -> Iterator[Callable[..., OrderServer]]:
    """``start_order_server(*flags)`` starts an order server in Python."""
    with ExitStack() as started:
        yield lambda *flags: _started(started, OrderServer(PYTHON_SERVER, tmp_path, *flags))


@pytest.fixture
def order_server(start_order_server: Callable[..., OrderServer]) -> OrderServer:
    """An order server in Python."""
    return start_order_server()


@pytest.fixture(scope="session")
def go_server() -> Path:
    """The binary of the order server in Go."""
    return go_server_binary()


@pytest.fixture
def start_go_order_server(go_server: Path, tmp_path: Path) -> Iterator[Callable[..., OrderServer]]:
    """``start_go_order_server(*flags)`` starts an order server in Go."""
    with ExitStack() as started:
        yield lambda *flags: _started(started, OrderServer([go_server], tmp_path, *flags))


@pytest.fixture
def go_order_server(start_go_order_server: Callable[..., OrderServer]) -> OrderServer:
    """An order server in Go."""
    return start_go_order_server()


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    """A fresh etcd."""
    with Etcd(tmp_path) as started:
        yield started


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """``start_worker(program, *arguments, name=..., env=..., cwd=...)`` starts a Python program."""
    with ExitStack() as started:

        def start(program: str | Path, *arguments: str, name: str, **options: Any) -> Worker:
            log = tmp_path / f"{name}.log"
            return _started(started, Worker(program, *arguments, log=log, name=name, **options))

        yield start


def _started(stack: ExitStack, process: Any) -> Any:
    stack.callback(process.close)
    process.start()
    return process
