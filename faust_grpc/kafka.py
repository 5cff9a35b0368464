"""librdkafka settings that follow the app's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer, TopicPartition, admin
from confluent_kafka.admin import AdminClient
from faust.auth import SASLCredentials
from faust.types import AppT
from faust.types.tuples import TP

from .exceptions import ConfigurationError

__all__ = ["check_transactions", "connection_options", "end_offsets", "is_mock", "producer"]

#: The broker may be starting beside us.
_ANSWER_SECONDS = 10.0


def connection_options(app: AppT, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return how librdkafka reaches the app's broker.

    Arguments:
        app: the application, configured.
        overrides: the user's ``kafka_options``; they win.

    Raises:
        ConfigurationError: the app's credentials cannot be translated and ``overrides`` does not
            state them either.
    """
    conf = app.conf
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(
            f"{url.host}:{url.port or 9092}" for url in conf.broker_producer or conf.broker
        ),
        "client.id": conf.broker_client_id,
    }
    credentials = conf.broker_credentials
    if isinstance(credentials, SASLCredentials) and credentials.ssl_context is None:
        options |= {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": credentials.mechanism.value,
            "sasl.username": credentials.username,
            "sasl.password": credentials.password,
        }
    elif credentials is not None and "security.protocol" not in overrides:
        raise ConfigurationError(
            f"broker_credentials={type(credentials).__name__}: a ready SSL context (or token "
            "provider) cannot be given to librdkafka; say the same in kafka_options="
            "{'security.protocol': ..., 'ssl.ca.location': ..., ...}"
        )
    return {**options, **overrides}


def producer(app: AppT, overrides: Mapping[str, Any]) -> Producer:
    """Return an idempotent producer for the app's broker."""
    conf = app.conf
    options = {
        "enable.idempotence": True,
        "linger.ms": 5,
        "message.max.bytes": conf.producer_max_request_size,
        **connection_options(app, overrides),
    }
    if conf.producer_compression_type:
        options.setdefault("compression.type", conf.producer_compression_type)
    return Producer(options)


def end_offsets(options: Mapping[str, Any], partitions: Sequence[TP]) -> dict[TP, int]:
    """Return the offset behind the last record of each partition, committed or not; blocks.

    Arguments:
        options: as :func:`connection_options` returns them.
        partitions: which.

    Raises:
        KafkaException: the broker does not tell.
    """
    if not partitions:
        return {}
    client: Any = AdminClient(dict(options))
    spec: Any = admin.OffsetSpec  # type: ignore[attr-defined]  # not in its __all__
    wanted = {TopicPartition(*tp): spec.latest() for tp in partitions}
    found = client.list_offsets(wanted, request_timeout=_ANSWER_SECONDS)
    return {TP(at.topic, at.partition): answer.result().offset for at, answer in found.items()}


def is_mock(options: Mapping[str, Any]) -> bool:
    """Return whether a broker is librdkafka's mock cluster; blocks.

    Arguments:
        options: as :func:`connection_options` returns them.

    Raises:
        KafkaException: it does not answer.
    """
    # The name that rd_kafka_mock_cluster_new() gives a cluster; a real one has random text.
    cluster = AdminClient(dict(options)).list_topics(timeout=_ANSWER_SECONDS).cluster_id
    return (cluster or "").startswith("mockCluster")


def check_transactions(options: Mapping[str, Any], source: str) -> None:
    """Refuse ``delivery="exactly_once"`` on a broker whose transactions mean nothing; blocks.

    Arguments:
        options: as :func:`connection_options` returns them.
        source: who wants it.

    Raises:
        ConfigurationError: it is the mock broker. One that does not answer is taken for real.
    """
    try:
        mock = is_mock(options)
    except KafkaException:
        return  # what needs it says so, and knows when it is back
    if mock:
        raise ConfigurationError(
            f"{source}: delivery='exactly_once' on a mock broker, whose transactions hold nothing: "
            "use a real one (in tests broker('kafka')), or delivery='at_least_once'"
        )
