"""Recovery in bulk on a real broker: whole workers, against Faust's own recovery."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from support import Worker

from faust_grpc.testing import Broker

APP = str(Path(__file__).parent / "apps" / "tables.py")

_numbers = itertools.count(1)


class Tables:
    """Workers of one application with every kind of table."""

    def __init__(
        self,
        broker: Broker,
        start_worker: Callable[..., Worker],
        directory: Path,
        settings: dict[str, Any],
    ) -> None:
        self.id = f"tables{next(_numbers)}"
        self.broker = broker
        self.settings = settings
        self._start = start_worker
        self._directory = directory

    def start(self, name: str, **config: Any) -> Worker:
        """Start a worker; its data is its own, by name."""
        full = {
            "id": self.id,
            "datadir": str(self._directory / f"data-{config.pop('data', name)}"),
            "settings": {**self.broker.faust_settings(), **self.settings},
            "tagged": "store" not in self.settings,
            **config,
        }
        return self._start(APP, json.dumps(full), name=name)

    def write(self, numbers: range) -> None:
        """Have numbers written, by whoever runs."""
        producer = Producer({"bootstrap.servers": self.broker.bootstrap})
        for number in numbers:
            key = f"k{number % 100}"
            producer.produce(
                f"{self.id}-in", str(number).encode(), key.encode(), partition=number % 4
            )
        assert producer.flush(30) == 0


@pytest.fixture
def make_tables(
    kafka_broker: Broker, start_worker: Callable[..., Worker], tmp_path: Path
) -> Callable[..., Tables]:
    return lambda **settings: Tables(kafka_broker, start_worker, tmp_path, settings)


def found(worker: Worker) -> dict[str, Any]:
    """Return what it found in its tables after its recovery, and stop it."""
    line = worker.wait_for_line(r'^\{"tables": .*$', timeout=60)
    worker.terminate()
    assert worker.wait(60) == 0
    return dict(json.loads(line[0])["tables"])


@pytest.mark.parametrize("store", ["memory://", "rocksdb://?driver=rocksdict"])
def test_it_finds_what_faust_finds(make_tables: Callable[..., Tables], store: str) -> None:
    """Every kind of table, with tombstones; and again from what is on disk."""
    settings = {} if store.startswith("memory") else {"store": store}
    tables = make_tables(**settings)
    writer = tables.start("writer")
    writer.wait_for_line(r'^\{"tables": .*$', timeout=60)
    tables.write(range(1000))
    writer.wait_for_line(r'^\{"had": 1000\}$', timeout=60)
    writer.terminate()
    assert writer.wait(60) == 0

    plain = found(tables.start("plain"))
    bulk = tables.start("bulk", bulk=True)
    ours = found(bulk)
    assert {name: len(of_table) for name, of_table in ours.items()} == {
        name: len(of_table) for name, of_table in plain.items()
    }
    assert ours == plain
    assert all(ours.values())
    loaded = bulk.log.read_text().split("Tables loaded: ")[1].split(" records")[0]
    assert int(loaded) > 1000

    if settings:
        again = tables.start("again", bulk=True, data="bulk")
        assert found(again) == plain
        assert "Tables loaded: 0 records" in again.log.read_text()
