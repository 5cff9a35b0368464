"""One call for every kind of broker."""

from __future__ import annotations

from typing import Any

from ..exceptions import ConfigurationError, nearest
from .brokers import Broker, BrokerKind, MockBroker
from .kafka_broker import KafkaBroker
from .kafka_cluster import KafkaCluster

__all__ = ["broker"]


def broker(kind: BrokerKind = "mock", **options: Any) -> Broker:
    """Return a broker to use in a ``with`` statement.

    Arguments:
        kind: ``"mock"`` starts at once and keeps nothing; ``"kafka"`` is a real Kafka (needs
            ``pip install 'faust-grpc[kafka]'``).
        options: of :class:`MockBroker` or :class:`~.kafka_broker.KafkaBroker`; with ``brokers=3``
            of :class:`~.kafka_cluster.KafkaCluster`.

    Raises:
        ConfigurationError: an unknown kind.
    """
    if kind == "mock":
        return MockBroker(**options)
    if kind == "kafka" and options.get("brokers", 1) > 1:
        return KafkaCluster(**options)
    if kind == "kafka":
        options.pop("brokers", None)
        return KafkaBroker(**options)
    raise ConfigurationError(f"broker({kind!r}): no such kind; {nearest(kind, ('mock', 'kafka'))}")
