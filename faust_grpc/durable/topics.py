"""The topic of a sink: made if it is not there, and how many partitions it has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, admin
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from faust.types import TopicT

from ..exceptions import HostError

__all__ = ["create_topic", "partition_count", "retention_seconds"]

#: How long the broker may take for an answer.
_ANSWER_SECONDS = 10.0


def create_topic(topic: TopicT, options: Mapping[str, Any]) -> bool:
    """Make a topic as it was declared, with the app's defaults, if it is not there; blocks.

    Arguments:
        topic: what was declared.
        options: how to reach the broker, see :func:`.kafka.connection_options`.

    Returns:
        Whether it was made.

    Raises:
        KafkaException: the broker cannot be reached.
        HostError: the broker refuses to make it.
    """
    conf, name = topic.app.conf, topic.get_topic_name()
    admin = AdminClient(dict(options))
    if not conf.topic_allow_declare:
        # Brokers that make topics by themselves do so for who asks for one by its name.
        admin.list_topics(name, timeout=_ANSWER_SECONDS)
        return False
    if name in admin.list_topics(timeout=_ANSWER_SECONDS).topics:
        return False
    new = NewTopic(
        name,
        num_partitions=topic.partitions or conf.topic_partitions,
        replication_factor=topic.replicas or conf.topic_replication_factor,
        config=_topic_config(topic),
    )
    try:
        admin.create_topics([new], request_timeout=_ANSWER_SECONDS)[name].result()
    except KafkaException as exc:
        error = exc.args[0]
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False  # another worker was faster
        if error.retriable():
            raise
        raise HostError(f"sink={name}: the broker does not make the topic: {error.str()}") from exc
    return True


def partition_count(name: str, options: Mapping[str, Any]) -> int:
    """Return how many partitions a topic has; blocks.

    Raises:
        KafkaException: the broker cannot be reached, or does not have it yet.
    """
    # Asked for by its name: where topics are made by their first use, this is it.
    topic = AdminClient(dict(options)).list_topics(name, timeout=_ANSWER_SECONDS).topics[name]
    if topic.error is not None:
        raise KafkaException(topic.error)
    return len(topic.partitions)


def retention_seconds(name: str, options: Mapping[str, Any]) -> float:
    """Return how old a record may get, by its own time, before Kafka deletes it; blocks.

    Returns:
        Seconds; infinite when nothing is deleted by time, or the broker does not tell.
    """
    resource: Any = admin.ConfigResource  # type: ignore[attr-defined]  # not in its __all__
    topic = resource(resource.Type.TOPIC, name)
    client = AdminClient(dict(options))
    try:
        config = client.describe_configs([topic], request_timeout=_ANSWER_SECONDS)[topic].result()
    except KafkaException:
        return math.inf
    deletes = "delete" in config["cleanup.policy"].value
    its_own_time = config["message.timestamp.type"].value == "CreateTime"
    retention_ms = int(config["retention.ms"].value)
    if not deletes or not its_own_time or retention_ms < 0:
        return math.inf
    return retention_ms / 1000


def _topic_config(topic: TopicT) -> dict[str, str]:
    """Return a topic's configuration as Faust would have it."""
    config = {key: str(value) for key, value in (topic.config or {}).items()}
    policies = [
        name
        for name, wanted in (("compact", topic.compacting), ("delete", topic.deleting))
        if wanted
    ]
    if policies:
        config["cleanup.policy"] = ",".join(policies)
    if topic.retention:
        seconds: Any = topic.retention
        seconds = seconds.total_seconds() if hasattr(seconds, "total_seconds") else seconds
        config["retention.ms"] = str(int(seconds * 1000))
    return config
