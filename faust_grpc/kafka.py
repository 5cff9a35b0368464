"""librdkafka settings that follow the app's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Producer
from faust.auth import SASLCredentials
from faust.types import AppT

from .exceptions import ConfigurationError

__all__ = ["connection_options", "producer"]


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
