"""Whether topics on the broker have as many partitions as the app's splits are spread over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from faust.types import AppT

from .kafka import connection_options

__all__ = ["find_mismatch", "mismatch"]

#: The broker answered the consumer a moment ago.
_ANSWER_SECONDS = 5.0


def mismatch(counts: Mapping[str, int], topics: Iterable[str], partitions: int) -> str | None:
    """Return one line about the first topic with another partition count, if there is one.

    Such a topic is assigned apart from the others: a split would be read where its tables are
    not, or nowhere.

    Arguments:
        counts: partitions by topic, as the broker has them.
        topics: checkpoints first: a topic that the broker does not have yet is passed over.
        partitions: the app's ``topic_partitions``.
    """
    for topic in topics:
        found = counts.get(topic, partitions)
        if found != partitions:
            return (
                f"topic {topic!r} has {found} partitions, but the app has "
                f"topic_partitions={partitions}: set topic_partitions={found}, or begin anew with "
                "another app id (or without the topic)"
            )
    return None


async def find_mismatch(
    app: AppT, kafka_options: Mapping[str, Any], topics: Iterable[str]
) -> str | None:
    """Ask the broker; return one line about the first topic that does not fit.

    Arguments:
        app: the application.
        kafka_options: librdkafka settings that the app's settings cannot express.
        topics: changelog topics of checkpoints and tables.
    """
    options = connection_options(app, kafka_options)
    try:
        counts = await asyncio.get_running_loop().run_in_executor(None, _counts, options)
    except KafkaException:
        return None  # Faust says what is wrong with the broker, and we are asked again
    return mismatch(counts, topics, app.conf.topic_partitions)


def _counts(options: dict[str, Any]) -> dict[str, int]:
    # All topics: to ask for one by name could make it.
    metadata = AdminClient(options).list_topics(timeout=_ANSWER_SECONDS)
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}
