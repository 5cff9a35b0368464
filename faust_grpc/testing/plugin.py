"""Fixtures for pytest, there as soon as the package is installed.

pytest imports this module in every run: it imports nothing heavy before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .brokers import Broker
    from .server import ScriptedServer

__all__ = ["faust_broker", "grpc_server", "kafka_broker"]


@pytest.fixture
def grpc_server() -> Iterator[ScriptedServer]:
    """A gRPC server on a free port, whose calls follow a script; see ``ScriptedServer``."""
    from .server import ScriptedServer

    with ScriptedServer() as server:
        yield server


@pytest.fixture
def faust_broker() -> Iterator[Broker]:
    """A broker of this test: there at once, keeps nothing, transactions mean nothing."""
    from .choice import broker

    with broker("mock") as started:
        yield started


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[Broker]:
    """A real Kafka for the whole run: use topics and groups of your own, leave it running.

    It needs ``pip install 'faust-grpc[kafka]'``.
    """
    from .choice import broker

    with broker("kafka") as started:
        yield started
