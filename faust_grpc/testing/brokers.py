"""Brokers for tests and demos, without installing Kafka."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import uuid
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from ..exceptions import ConfigurationError
from .processes import ChildProcess

__all__ = ["Broker", "BrokerKind", "MockBroker"]

BrokerKind = Literal["mock", "kafka"]

BrokerT = TypeVar("BrokerT", bound="Broker")


class Broker(ABC):
    """A broker in a process of its own, which ends when its owner ends.

    A context manager, ``with`` and ``async with`` alike.

    Arguments:
        directory: for logs and data; a temporary one, removed afterwards, by default.
    """

    #: Name for :func:`broker`.
    kind: BrokerKind
    #: Whether ``delivery="exactly_once"`` works on it.
    transactions: bool

    def __init__(self, *, directory: Path | None = None) -> None:
        # Named now, made at the start: a broker that is never used leaves nothing.
        temporary = Path(tempfile.gettempdir()) / f"faust-grpc-{self.kind}-{uuid.uuid4().hex}"
        self.directory = directory or temporary
        self._scratch = None if directory else temporary
        self._bootstrap = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._bootstrap or 'not started'}>"

    @property
    def bootstrap(self) -> str:
        """Its address, as Kafka clients want it: ``127.0.0.1:PORT``."""
        if not self._bootstrap:
            raise ConfigurationError(f"{type(self).__name__}: use it in a with statement first")
        return self._bootstrap

    @property
    def url(self) -> str:
        """Its address, as Faust wants it: ``kafka://127.0.0.1:PORT``."""
        return f"kafka://{self.bootstrap}"

    @property
    @abstractmethod
    def process(self) -> ChildProcess:
        """The process that serves."""

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            NotReady: it did not start; with the tail of its log.
        """

    def close(self) -> None:
        """End it and remove its temporary files."""
        self.process.close()
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def kill(self) -> None:
        """``kill -9`` it."""
        self.process.kill()

    @abstractmethod
    def restart(self) -> None:
        """Start it again on the same address with the same data, killing it first if it runs."""

    def faust_settings(self) -> dict[str, Any]:
        """Return the settings that a ``faust.App`` needs on this broker, its address included."""
        return {"broker": self.url, "topic_partitions": 4}

    def __enter__(self: BrokerT) -> BrokerT:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self: BrokerT) -> BrokerT:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)


class MockBroker(Broker):
    """librdkafka's mock cluster: there at once, keeps nothing, no real transactions.

    Arguments:
        brokers: brokers of the cluster.
        directory: for its log.
    """

    kind = "mock"
    transactions = False

    def __init__(self, *, brokers: int = 1, directory: Path | None = None) -> None:
        super().__init__(directory=directory)
        self._process = ChildProcess(
            [sys.executable, "-m", "faust_grpc.testing.mock_broker", "--brokers", str(brokers)],
            log=self.directory / "mock-broker.log",
            scratch=self._scratch,
            name="mock broker",
        )

    @property
    def process(self) -> ChildProcess:
        """The process that serves."""
        return self._process

    def start(self) -> None:
        """Start it; its port is new each time."""
        self._process.start()
        self._bootstrap = self._process.wait_for_line(r"^listening on (\S+)$")[1]

    def restart(self) -> None:
        """Refuse: a mock broker that ended is gone, with all its topics.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "broker('mock') keeps nothing to restart with: use broker('kafka')"
        )

    def faust_settings(self) -> dict[str, Any]:
        """Return the settings that a ``faust.App`` needs on this broker, its address included.

        It cannot create topics on request, only by their first use, and with 4 partitions.
        """
        return {
            **super().faust_settings(),
            "topic_allow_declare": False,
            "topic_disable_leader": True,
            "PartitionAssignor": "faust_grpc.testing.assignor:UnhurriedAssignor",
        }
