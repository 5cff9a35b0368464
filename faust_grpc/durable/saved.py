"""The last checkpoint of one split, read from its topic before anything is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from faust.tables.base import Collection

from ..exceptions import WriteFailed
from ..saved import Saved

__all__ = ["CheckpointRecord", "checkpoint_record", "last_saved"]

#: How long one request waits before we look whether we may go on.
_STEP_SECONDS = 1.0
#: Records looked at first, from the end; further back it is so many times as many.
_FIRST_WINDOW, _WINDOW_GROWTH = 512, 16

#: Asking again would not help.
_FINAL = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._AUTHENTICATION,
}


class CheckpointRecord(NamedTuple):
    """One serialized checkpoint."""

    topic: str
    partition: int
    key: bytes
    value: bytes | None
    headers: Any


def checkpoint_record(
    table: Collection, partition: int, split: str, saved: Saved
) -> CheckpointRecord:
    """Return a checkpoint as the source's checkpoint table would write it."""
    topic: Any = table.changelog_topic  # its interface lacks the headers argument
    key, headers = topic.prepare_key(split, table.key_serializer, None, {})
    value, headers = topic.prepare_value(saved.dump(), table.value_serializer, None, headers)
    name = table.changelog_topic_name
    return CheckpointRecord(name, partition, key, value, list(headers.items()) or None)


def last_saved(
    table: Collection,
    partition: int,
    split: str,
    options: Mapping[str, Any],
    may_go_on: Callable[[], bool],
) -> Saved | None:
    """Return a split's last committed checkpoint, or ``None``; blocks.

    Call it after earlier owners were fenced off: what they had open is aborted then, and the high
    watermark taken now bounds all that they can have committed. Transactions of other splits in
    the same partition may hold the last stable offset back for a while: it is waited for.

    Arguments:
        table: the source's checkpoint table.
        partition: where the split belongs.
        split: its name.
        options: how to reach the broker, see :func:`.kafka.connection_options`.
        may_go_on: asked again and again while waiting.

    Raises:
        KafkaException: the broker refuses.
        WriteFailed: it did not answer, and we may not go on.
        ValueError: what was found is no checkpoint.
    """
    reader = _Reader(table.changelog_topic_name, partition, options, may_go_on)
    try:
        low, high = reader.watermarks()
        window, end = _FIRST_WINDOW, high
        key = checkpoint_record(table, partition, split, Saved()).key
        while end > low:
            # Backwards: a split that was at work is found near the end, however long the topic.
            start = max(low, end - window)
            found = reader.last(key, start, end)
            if found is not None:
                return _loaded(table, found) if found.value() is not None else None
            window, end = window * _WINDOW_GROWTH, start
        return None
    finally:
        reader.close()


class _Reader:
    """Reads committed records of one partition, between two offsets."""

    def __init__(
        self,
        topic: str,
        partition: int,
        options: Mapping[str, Any],
        may_go_on: Callable[[], bool],
    ) -> None:
        self._topic, self._partition = topic, partition
        self._options = {
            **options,
            "group.id": "faust-grpc-takeover",  # never joined: the partition is assigned
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        self._may_go_on = may_go_on
        self._consumer = Consumer(
            {
                **self._options,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )

    def close(self) -> None:
        self._consumer.close()

    def watermarks(self) -> tuple[int, int]:
        """Return the first offset and the one behind the last record, committed or not."""
        # One that reads committed records is told the last stable offset instead.
        consumer = Consumer({**self._options, "isolation.level": "read_uncommitted"})
        try:
            while True:
                try:
                    tp = TopicPartition(self._topic, self._partition)
                    return consumer.get_watermark_offsets(tp, _STEP_SECONDS)
                except KafkaException as exc:
                    self._again(exc.args[0])
        finally:
            consumer.close()

    def last(self, key: bytes, start: int, end: int) -> Message | None:
        """Return the last committed record of a key at or behind one offset, before another."""
        self._consumer.assign([TopicPartition(self._topic, self._partition, start)])
        found = None
        while True:
            messages = self._consumer.consume(1000, _STEP_SECONDS)
            if not messages:
                self._again(KafkaError(KafkaError._TIMED_OUT))
            for message in messages:
                error, offset = message.error(), message.offset() or 0
                if error is None:
                    if offset >= end:
                        return found
                    if message.key() == key:
                        found = message
                elif error.code() == KafkaError._PARTITION_EOF:
                    # Of the stable records only, while another split's transaction is open.
                    if offset >= end:
                        return found
                else:
                    self._again(error)

    def _again(self, error: KafkaError) -> None:
        if error.fatal() or error.code() in _FINAL:
            raise KafkaException(error)
        if not self._may_go_on():
            raise WriteFailed(f"topic {self._topic}: {error.str()}")
        if error.code() != KafkaError._TIMED_OUT:
            time.sleep(0.1)


def _loaded(table: Collection, message: Message) -> Saved:
    value: Any = table.app.serializers.loads_value(
        table.value_type, message.value(), serializer=table.value_serializer
    )
    return Saved.load(value)
