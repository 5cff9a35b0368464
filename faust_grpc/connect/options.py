"""What a gRPC source connector of Kafka Connect can be told.

The list is that of the connector ``io.conduktor.connect.grpc.GrpcSourceConnector``, version 1.0.0
(its ``GrpcSourceConnectorConfig``), and of Connect's own options for source connectors (Kafka 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..exceptions import ConfigurationError
from .expressions import has_reference

__all__ = ["CONNECTOR_CLASS", "FRAMEWORK", "METADATA_PREFIX", "OPTIONS", "Option", "Options"]

CONNECTOR_CLASS = "io.conduktor.connect.grpc.GrpcSourceConnector"
#: ``grpc.metadata.NAME``: one metadata entry each.
METADATA_PREFIX = "grpc.metadata."


@dataclass(frozen=True)
class Option:
    """One option of the connector.

    Arguments:
        name: as it is written.
        kind: what its value is.
        default: what the connector takes when it is not given; ``None`` is nothing.
        is_required: the connector does not start without.
    """

    name: str
    kind: Literal["text", "integer", "boolean"] = "text"
    default: str | int | bool | None = None
    is_required: bool = False


#: Every ``grpc.*`` and ``kafka.*`` option, by name.
OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option("grpc.server.host", is_required=True),
        Option("grpc.server.port", is_required=True),
        Option("grpc.service.name", is_required=True),
        Option("grpc.method.name", is_required=True),
        Option("grpc.request.message", default="{}"),
        Option("grpc.proto.descriptor"),
        Option("grpc.tls.enabled", "boolean", False),
        Option("grpc.tls.ca.cert"),
        Option("grpc.tls.client.cert"),
        Option("grpc.tls.client.key"),
        Option("grpc.metadata"),
        Option("grpc.reconnect.enabled", "boolean", True),
        Option("grpc.reconnect.interval.ms", "integer", 5_000),
        Option("grpc.reconnect.max.attempts", "integer", -1),
        Option("grpc.reconnect.backoff.max.ms", "integer", 60_000),
        Option("grpc.message.queue.size", "integer", 10_000),
        Option("grpc.connection.timeout.ms", "integer", 30_000),
        Option("grpc.keepalive.time.ms", "integer", 30_000),
        Option("grpc.keepalive.timeout.ms", "integer", 10_000),
        Option("grpc.max.inbound.message.size", "integer", 4 * 1024 * 1024),
        Option("kafka.topic", is_required=True),
    )
}

#: Connect's own options, or what their names begin with (a dot at the end) → what becomes of them.
FRAMEWORK: Mapping[str, str] = {
    "name": "names the application and the source",
    "connector.class": "is the source itself",
    "connector.plugin.version": "is the version of faust-grpc that is installed",
    "tasks.max": (
        "the connector makes one task whatever it says; here splits= reads several streams, shared "
        "among all workers"
    ),
    "key.converter": "keys are what key= says; the connector has none",
    "key.converter.": "keys are what key= says; the connector has none",
    "value.converter": "values are written as the topic's value_serializer= says",
    "value.converter.": "values are written as the topic's value_serializer= says",
    "header.converter": "headers are what headers= says; the connector has none",
    "header.converter.": "headers are what headers= says; the connector has none",
    "transforms": "write it in Python: a callable as value_type=, or an agent",
    "transforms.": "write it in Python: a callable as value_type=, or an agent",
    "predicates": "skip= passes messages over, by a field or a callable",
    "predicates.": "skip= passes messages over, by a field or a callable",
    "errors.": "what cannot be decoded goes to dead_letter=, and the stream goes on",
    "config.action.reload": "metadata= as a function is asked before every call",
    "config.providers": "secrets come from the environment, or from a function: metadata=",
    "config.providers.": "secrets come from the environment, or from a function: metadata=",
    "topic.creation.": "app.topic(name, partitions=..., replicas=..., config=...)",
    "producer.override.": "the application's producer settings, or kafka_options= of the source",
    "consumer.override.": "a source consumes nothing",
    "admin.override.": "the application's broker settings",
    "exactly.once.support": 'delivery="exactly_once", once the source has a cursor',
    "transaction.boundary": "a transaction ends at every checkpoint",
    "transaction.boundary.": "checkpoint=Checkpoint(interval_seconds=...)",
    "offsets.storage.topic": "the checkpoint is a table of the application: NAME-checkpoint",
    "tasks.max.enforce": "there are no tasks; see splits=",
}


class Options:
    """Options that were given, read as the connector reads them.

    Arguments:
        given: name → text.
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __contains__(self, name: str) -> bool:
        return bool(self._given.get(name, "").strip())

    def text(self, name: str) -> str:
        """Return the text of an option, or its default.

        Raises:
            ConfigurationError: it is required and missing.
        """
        option = OPTIONS[name]
        given = self._given.get(name, "").strip()
        if not given and option.is_required:
            raise ConfigurationError(f"{name}: is missing, and the connector needs it")
        return given or ("" if option.default is None else str(option.default))

    def integer(self, name: str, *, least: int | None = None) -> int:
        """Return a number, or its default.

        Raises:
            ConfigurationError: it is not one, or less than ``least``.
        """
        text = self.text(name)
        self._check_known(name, text)
        try:
            value = int(text)
        except ValueError:
            raise ConfigurationError(f"{name}={text}: give a whole number") from None
        if least is not None and value < least:
            raise ConfigurationError(f"{name}={text}: give a number from {least} on")
        return value

    def boolean(self, name: str) -> bool:
        """Return a truth value, or its default.

        Raises:
            ConfigurationError: it is not one.
        """
        text = self.text(name)
        self._check_known(name, text)
        if text.lower() not in ("true", "false"):
            raise ConfigurationError(f"{name}={text}: give true or false")
        return text.lower() == "true"

    def _check_known(self, name: str, text: str) -> None:
        if has_reference(text):
            raise ConfigurationError(
                f"{name}={text}: what it stands for is known to Connect only; write the value"
            )
