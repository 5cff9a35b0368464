"""A broker that is away for a minute, under workers of every kind at once."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from faust_grpc.testing import Broker, broker

from .cluster import Cluster
from .durable import DurableShop
from .judge import Judgement
from .members import Shop
from .orders import OrderServer

__all__ = ["Away", "Found"]

AWAY_SECONDS = 60.0
#: For so long nothing more must be sent while the broker is away.
SILENT_SECONDS = 20.0
GUARANTEES = ("at_least_once", "exactly_once")
#: Orders of every split that are processed before the broker goes, and again when it is back.
ORDERS = 2000


class Found(NamedTuple):
    """What was found.

    Arguments:
        grown: by how many bytes each worker grew while the broker was away.
        judgements: of the clusters with tables; by guarantee, as in ``grown``.
        durable: the cluster that writes into a topic; its workers are stopped, its broker is there.
        read_ahead: the most orders that it had read ahead, by split.
    """

    grown: dict[str, int]
    judgements: dict[str, Judgement]
    durable: Cluster
    read_ahead: dict[str, int]


class Away:
    """Clusters with tables, one of each guarantee, and one that writes into a topic, ``durable``;
    their broker is killed and comes back after a minute. Most of that is waiting, while other tests
    run.

    Arguments:
        go_server: the order server's program.
        directory: for logs and data.
    """

    def __init__(self, go_server: Path, directory: Path) -> None:
        self._go_server = go_server
        self._directory = directory
        self._told: list[str] = []
        self._ending = ExitStack()
        self._read_ahead: dict[str, int] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="away")
        self._found: Future[Found] = self._pool.submit(self._run)

    def found(self) -> Found:
        """Wait for the end of it, and return what was found."""
        try:
            return self._found.result()
        finally:
            print("\n".join(self._told))

    def close(self) -> None:
        """Wait for the end of it, and end the broker."""
        self._pool.shutdown()
        self._ending.close()

    def _run(self) -> Found:
        kafka = self._ending.enter_context(broker("kafka"))
        tables = {
            name: self._with_tables(kafka, name) for name in ("at_least_once", "exactly_once")
        }
        durable = self._durable(kafka)
        clusters = {**tables, "durable": durable}
        for cluster in tables.values():
            cluster.start("w1")
        durable.start("w1", program="durable.py")
        for cluster in clusters.values():
            cluster.wait_settled(timeout=120)
            cluster.wait_processed(ORDERS, timeout=120)
        before = {name: cluster.memory("w1") for name, cluster in clusters.items()}
        kafka.kill()
        durable.say("kill the broker")
        self._wait_away_and_silent(list(clusters.values()), durable)
        grown = {name: cluster.memory("w1") - before[name] for name, cluster in clusters.items()}
        for name, cluster in clusters.items():
            cluster.say(f"{name}: {grown[name] / 2**20:.1f} MiB more, sent {cluster.sent()}")
        kafka.restart()
        durable.say("the broker is back")
        for name, cluster in clusters.items():
            cluster.wait_processed(ORDERS, timeout=180)
            cluster.say(f"{name}: {ORDERS} more orders of every split")
        durable.stop("w1")
        judgements = {name: cluster.finish() for name, cluster in tables.items()}
        return Found(grown, judgements, durable, self._read_ahead)

    def _with_tables(self, kafka: Broker, delivery: str) -> Cluster:
        shop = Shop(
            app_id=delivery,
            delivery=delivery,
            rate=500,
            buffered=512,
            unacked=128,
            sources={"orders": ["r0", "r1", "r2", "r3"]},
        )
        return self._cluster(kafka, shop)

    def _durable(self, kafka: Broker) -> Cluster:
        shop = DurableShop(
            app_id="durable", topic="durable-orders", rate=2000, sources={"orders": ["r0", "r1"]}
        )
        return self._cluster(kafka, shop)

    def _cluster(self, kafka: Broker, shop: Shop) -> Cluster:
        directory = self._directory / shop.app_id
        directory.mkdir()
        server = self._ending.enter_context(OrderServer([self._go_server], directory))
        cluster = Cluster(kafka, server, directory, shop, tell=self._told.append)
        return self._ending.enter_context(cluster)

    def _wait_away_and_silent(self, clusters: list[Cluster], durable: Cluster) -> None:
        until = time.monotonic() + AWAY_SECONDS
        sent, since = [cluster.sent() for cluster in clusters], time.monotonic()

        def away_and_silent() -> bool:
            nonlocal sent, since
            for region, (_, _, _, buffered, *_) in durable.status("w1")["splits"].items():
                self._read_ahead[region] = max(self._read_ahead.get(region, 0), buffered)
            now = [cluster.sent() for cluster in clusters]
            if now != sent:
                sent, since = now, time.monotonic()
            return time.monotonic() > until and time.monotonic() - since > SILENT_SECONDS

        durable.wait(away_and_silent, AWAY_SECONDS + 60, "the servers are held back")
