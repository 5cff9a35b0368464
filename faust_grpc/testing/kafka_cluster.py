"""Several Kafka brokers that are one cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from .brokers import Broker
from .kafka_broker import KafkaBroker
from .processes import ChildProcess, wait_until

__all__ = ["KafkaCluster"]

_SYNC_SECONDS = 120.0
#: Every topic is on three brokers; a record counts as written when two have it.
_REPLICATED = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
}


class KafkaCluster(Broker):
    """Three Kafka brokers or more: while one is away, others lead and coordinate in its place.

    Each of its ``nodes`` can be killed and restarted alone.

    Arguments:
        brokers: how many, at least three.
        settings: broker properties to set beside ours.
        heap_mb: size of each Java heap, in MB.
        directory: for data and logs.
    """

    kind = "kafka"
    transactions = True

    def __init__(
        self,
        *,
        brokers: int = 3,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 192,
        directory: Path | None = None,
    ) -> None:
        super().__init__(directory=directory)
        self.nodes = [
            KafkaBroker(
                settings={**_REPLICATED, **(settings or {})},
                heap_mb=heap_mb,
                directory=self.directory / f"node-{number}",
                node=number,
            )
            for number in range(1, brokers + 1)
        ]
        for node in self.nodes:
            node.voters = [other.voter for other in self.nodes]

    @property
    def process(self) -> ChildProcess:
        """The process of the first node."""
        return self.nodes[0].process

    @property
    def url(self) -> str:
        """Its addresses, as Faust wants them: ``kafka://127.0.0.1:PORT;kafka://…``."""
        return ";".join(node.url for node in self.nodes)

    def start(self) -> None:
        """Start all nodes and wait until every one knows all others.

        Raises:
            NotReady: one did not start; with the tail of its log.
        """
        for node in self.nodes:
            node.launch()
        self._wait_ready()

    def restart(self) -> None:
        """Start all nodes again with the same data, killing those that run."""
        self.kill()
        for node in self.nodes:
            node.process.start()
        self._wait_ready()

    def kill(self) -> None:
        """``kill -9`` all nodes."""
        for node in self.nodes:
            node.kill()

    def close(self) -> None:
        """End all nodes and remove their temporary files."""
        for node in self.nodes:
            node.close()
        super().close()

    def leader(self, topic: str, partition: int = 0) -> KafkaBroker:
        """Return the node that leads a partition now; of ``__transaction_state`` and
        ``__consumer_offsets`` the leader is also the coordinator."""
        number = self._topics()[topic].partitions[partition].leader
        return next(node for node in self.nodes if node.node == number)

    def wait_in_sync(self, timeout: float = _SYNC_SECONDS) -> None:
        """Wait until every partition is on as many brokers as it should be: then any one of them
        can be lost.

        Raises:
            NotReady: not in time.
        """

        def in_sync() -> bool:
            return all(
                len(partition.isrs) == len(partition.replicas)
                for topic in self._topics().values()
                for partition in topic.partitions.values()
            )

        wait_until(in_sync, timeout, "all replicas in sync")

    def faust_settings(self) -> dict[str, Any]:
        """Return the settings that a ``faust.App`` needs on this cluster, its address included."""
        return {**super().faust_settings(), "topic_replication_factor": 3}

    def _topics(self) -> Any:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        return admin.list_topics(timeout=10).topics

    def _wait_ready(self) -> None:
        for node in self.nodes:
            node.wait_ready()
        self._bootstrap = ",".join(node.bootstrap for node in self.nodes)
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        wait_until(
            lambda: len(admin.list_topics(timeout=5).brokers) == len(self.nodes),
            _SYNC_SECONDS,
            "all brokers in the cluster",
        )
