"""The processes of the demo: a broker, the order service, and workers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from ..testing import Broker, ChildProcess, free_port
from ..testing.orders import order_message
from .settings import WorkerSettings

__all__ = ["Cluster", "Member"]

#: Short, so that a dead worker is soon noticed; long enough for a machine with two busy cores.
SESSION_SECONDS = 3.0
#: A worker that did not write its status for so long is not working.
_SILENT_SECONDS = 3.0
#: The mock broker answers a SyncGroup so when another worker joins at that moment, as a real one
#: does not. aiokafka ends its group task then, and the worker waits for ever.
_REFUSED = "Unexpected error from SyncGroup: [Error 42]"


@dataclass
class Member:
    """One worker.

    Arguments:
        process: its process.
        status_file: where it keeps its status.
        expected: it is meant to run.
        ending: what became of it, once it is not.
    """

    process: ChildProcess
    status_file: Path
    expected: bool = True
    ending: str = ""

    def splits(self) -> Iterator[dict[str, Any]]:
        """Yield the status of each split that it runs now."""
        try:
            fresh = time.time() - self.status_file.stat().st_mtime < _SILENT_SECONDS
            if fresh and self.process.alive:
                yield from json.loads(self.status_file.read_text())["splits"]
        except FileNotFoundError:
            return  # it has not begun

    def trouble(self) -> str:
        """Return why it has to be started again, or an empty text."""
        if not self.expected:
            return ""
        if not self.process.alive:
            return f"ended by itself (status {self.process.wait()})"
        if _REFUSED in self.process.output():
            return "was refused by the mock broker (SyncGroup error 42)"
        return ""


class Cluster:
    """Starts, kills and asks the processes.

    Arguments:
        broker: a broker that runs.
        directory: for logs, status and data.
        rate: orders per second and region.
        count: orders per region in all.
        lose: an order to pass over.
    """

    def __init__(
        self, broker: Broker, directory: Path, *, rate: int, count: int, lose: str = ""
    ) -> None:
        self.broker = broker
        self.directory = directory
        self.members: dict[str, Member] = {}
        self._lose = lose
        port = free_port()
        self._target = f"127.0.0.1:{port}"
        options = {
            "--port": port,
            "--rate": rate,
            "--count": count,
            "--history": directory / "orders-sent.jsonl",
            "--log": directory / "orders-calls.jsonl",
        }
        self.service = ChildProcess(
            [
                *(sys.executable, "-m", "faust_grpc.testing.orders"),
                *(str(part) for option in options.items() for part in option),
            ],
            log=directory / "orders.log",
            name="order service",
        )
        self._sent: dict[str, int] = {}
        self._grpc_channel = grpc.insecure_channel(
            self._target,
            options=[
                ("grpc.enable_http_proxy", 0),
                # It is killed and comes back within seconds.
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 500),
            ],
        )

    def start_service(self) -> None:
        """Start the order service and wait until it listens."""
        self.service.start()
        self.service.wait_for_line(r"^listening on ")

    def sent(self, timeout: float = 0.5) -> dict[str, int]:
        """Return the last sequence number that the service sent, per region.

        While the service is down it is what it said last.

        Arguments:
            timeout: seconds that it may take to answer.
        """
        if self.service.alive:
            ask = self._grpc_channel.unary_unary(
                "/shop.v1.OrderService/GetProgress",
                request_serializer=lambda request: bytes(request.SerializeToString()),
                response_deserializer=order_message("Progress").FromString,
            )
            try:
                answer = ask(order_message("GetProgressRequest")(), timeout=timeout)
                self._sent = dict(answer.sent)
            except grpc.RpcError:
                return self._sent
        return self._sent

    def start_worker(self, name: str) -> None:
        """Start a worker, or start it again."""
        if name in self.members:
            member = self.members[name]
        else:
            member = self.members[name] = self._member(name)
        member.status_file.unlink(missing_ok=True)
        member.expected, member.ending = True, ""
        member.process.close()  # in order: it leaves the group, which would wait for it
        member.process.start()

    def kill_worker(self, name: str) -> None:
        """``kill -9`` a worker."""
        member = self.members[name]
        member.expected, member.ending = False, "killed"
        member.process.kill()

    def stop_workers(self) -> None:
        """Stop all workers in order: they save what they did and leave."""
        running = [member for member in self.members.values() if member.process.alive]
        for member in running:
            member.expected, member.ending = False, "stopped"
            member.process.terminate()
        for member in running:
            member.process.wait(30.0)

    def close(self) -> None:
        """End everything but the broker."""
        self._grpc_channel.close()
        for member in self.members.values():
            member.process.close()
        self.service.close()

    def _member(self, name: str) -> Member:
        status_file = self.directory / f"{name}.json"
        settings = WorkerSettings(
            name=name,
            target=self._target,
            status=str(status_file),
            faust={
                **self.broker.faust_settings(),
                "datadir": str(self.directory / f"{name}-data"),
                "store": "memory://",
                "broker_session_timeout": SESSION_SECONDS,
                "broker_heartbeat_interval": SESSION_SECONDS / 5,
                "topic_replication_factor": 1,
                "table_standby_replicas": 0,
            },
            lose=self._lose,
        )
        process = ChildProcess(
            [sys.executable, "-m", "faust_grpc.demo.app"],
            log=self.directory / f"{name}.log",
            env=settings.environment(),
            name=name,
        )
        return Member(process, status_file)
