"""A worker of a cluster, and how it is configured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from faust_grpc.testing import Broker

from .workers import Worker

__all__ = ["Member", "Shop", "Tail"]


@dataclass(kw_only=True)
class Shop:
    """How the workers of a cluster are configured.

    Arguments:
        app_id: the application; its topics and its group.
        sources: name → regions, one split each.
        rate: orders per second and split.
        block: orders per key of the table ``seen``.
        unacked: orders of a split that an agent may hold.
        buffered: orders of a split that may be read ahead.
        standby: Faust's ``table_standby_replicas``.
        session_seconds: after this time without a heartbeat the group gives a member up.
        delivery: the sources' ``delivery``; empty is their default.
        totals: the events are counted in the table ``totals`` too.
        store: Faust's ``store``, of all tables.
        interval_seconds: time between two checkpoints.
        drain_seconds: how long agents may take to finish what they were given.
        stuck_seconds: a split whose oldest order is not finished for so long is stuck.
        extra_tables: more tables, that count the orders of each region.
        refunds_topic: a topic for an ordinary agent with a table of its own.
        web_ports: of the workers that have a web server, by name.
        settings: more settings of the Faust app.
        kafka_options: the sources' librdkafka settings.
        options: for programs other than ``shop.py``.
    """

    app_id: str
    sources: Mapping[str, Sequence[str]]
    rate: int = 200
    block: int = 1000
    unacked: int = 1024
    buffered: int = 4096
    standby: int = 0
    session_seconds: float = 6.0
    delivery: str = ""
    totals: bool = True
    store: str = "memory://"
    interval_seconds: float = 0.5
    drain_seconds: float = 5.0
    stuck_seconds: float = 30.0
    extra_tables: Sequence[str] = ()
    refunds_topic: str = ""
    web_ports: dict[str, int] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    kafka_options: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def regions(self) -> set[str]:
        """All splits of all sources."""
        return {region for regions in self.sources.values() for region in regions}


class Tail:
    """Reads the complete lines of a growing file, each once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self) -> list[str]:
        """Return the lines that are new."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        end = text.rfind(b"\n") + 1
        self._offset += end
        return text[:end].decode(errors="replace").splitlines()


class Member(Worker):
    """One worker process; every start is a reader of its own: ``w1.1``, ``w1.2``, …"""

    def __init__(self, name: str, program: Path, directory: Path) -> None:
        self._directory = directory
        self._starts = 0
        #: Every status line of every life.
        self.told: list[dict[str, Any]] = []
        super().__init__(program, log=directory / f"{name}.log", name=name)
        self._tail = Tail(self.log)

    @property
    def reader(self) -> str:
        """Its name in the server's log."""
        return f"{self.name}.{self._starts}"

    def start_as(self, shop: Shop, broker: Broker, target: str) -> None:
        """Start it with a configuration, on a broker, reading from a server."""
        self._starts += 1
        config = {
            **asdict(shop),
            "reader": self.reader,
            "web_port": shop.web_ports.get(self.name),
            "target": target,
            "datadir": str(self._directory / f"data-{self.name}"),
            "settings": {**broker.faust_settings(), **shop.settings},
        }
        del self.command[2:]
        self.command.append(json.dumps(config))
        self.start()

    def status(self) -> dict[str, Any]:
        """Return the last status line of this life; empty before the first."""
        self.told += [
            json.loads(line)["status"] for line in self._tail.read() if line.startswith('{"status"')
        ]
        last = self.told[-1] if self.told else {}
        return last if last.get("reader") == self.reader else {}
