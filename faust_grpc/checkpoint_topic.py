"""The checkpoint topic of a source, read and written while no worker runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from faust.types import AppT

from .assignment import partition_of
from .changelog import Batch, Writes, encode
from .exceptions import HostError, WriteFailed
from .kafka import connection_options, producer
from .saved import Saved
from .seams import CheckpointTable
from .types import Split
from .writers import PlainWriter

__all__ = ["CheckpointTopic", "Group", "SavedSplit", "find_group"]

#: How long the broker may take for an answer, and for one more record.
_ANSWER_SECONDS = 10.0

#: A transaction that somebody left open is ended first.
_FENCE_SECONDS = 30.0

#: librdkafka's own complaints would come beside the one line that we raise.
_quiet = logging.getLogger(f"{__name__}.librdkafka")
_quiet.propagate = False
_quiet.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class SavedSplit:
    """A split, and what the topic has of it.

    Arguments:
        name: the split.
        partition: where it belongs as the source is declared now; for one that is not declared,
            where its record is.
        saved: the checkpoint; ``None`` when there is none.
        saved_at: when it was written, in seconds since 1970.
        declared: the source has a split of that name.
    """

    name: str
    partition: int
    saved: Saved | None = None
    saved_at: float | None = None
    declared: bool = True


class Group(NamedTuple):
    """The consumer group of an application, as the broker knows it."""

    #: Client id and host of each member.
    members: tuple[str, ...]
    #: Why the broker cannot tell, or empty.
    unknown: str = ""


class _Found(NamedTuple):
    saved: Saved | None
    saved_at: float


class CheckpointTopic:
    """The cursors of one source, without a worker.

    Arguments:
        app: the application, finalized.
        source: its name.
        splits: as declared.
        kafka_options: librdkafka settings that the app's settings cannot express.
        transactional_ids: with which its workers write.
    """

    def __init__(
        self,
        app: AppT,
        source: str,
        splits: Iterable[Split],
        kafka_options: Mapping[str, Any],
        transactional_ids: Iterable[str] = (),
    ) -> None:
        self.app = app
        self._options = dict(kafka_options)
        self._transactional_ids = list(transactional_ids)
        partitions = app.conf.topic_partitions
        self._table = CheckpointTable.of(app, source)
        self._wanted = {
            split.name: partition_of(index, partitions) for index, split in enumerate(splits)
        }

    @property
    def topic(self) -> str:
        """Its name."""
        return self._table.changelog_topic_name

    def take_over(self) -> None:
        """Let no worker that was halted write any more, and end what it had begun; blocks.

        Raises:
            HostError: the broker cannot be reached, or does not let us.
        """
        for name in self._transactional_ids:
            try:
                producer(self.app, {**self._options, "transactional.id": name}).init_transactions(
                    _FENCE_SECONDS
                )
            except KafkaException as error:
                options = connection_options(self.app, self._options)
                raise _unreachable(options, error.args[0]) from error

    def read(self) -> list[SavedSplit]:
        """Return every declared split, and those that were declared once; blocks.

        Raises:
            HostError: the broker cannot be reached, or a record is none of a checkpoint.
        """
        found = self._records()
        splits = []
        for name, partition in self._wanted.items():
            places = [at for (at, split), record in found.items() if split == name and record.saved]
            if places and partition not in places:
                partition = min(places)  # where it began; its place in the list was another then
            record = found.pop((partition, name), _Found(None, 0.0))
            splits.append(_saved_split(name, partition, record, declared=True))
        for (partition, name), record in sorted(found.items()):
            if record.saved is not None and record.saved != Saved():
                splits.append(_saved_split(name, partition, record, declared=False))
        return splits

    def write(self, saved: Mapping[SavedSplit, Saved]) -> None:
        """Write records, each into the partition of its split; blocks.

        The records stand outside any transaction: a topic that ends in a transaction's marker
        would stop a plain Faust worker from recovering.

        Raises:
            HostError: the broker did not take them.
        """
        batches = []
        for split, value in saved.items():
            writes = Writes(self._table)
            writes.values[split.name] = value.dump(), None, None
            batches.append(Batch(split.partition, [writes]))
        records = asyncio.run(encode(batches))
        try:
            PlainWriter(lambda: producer(self.app, self._options)).write(records)
        except WriteFailed as error:
            raise HostError(f"{self.topic}: {error}") from error

    def _records(self) -> dict[tuple[int, str], _Found]:
        options = connection_options(self.app, self._options) | {
            "group.id": f"{self.app.conf.id}-cli",  # never joined: partitions are assigned
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "allow.auto.create.topics": False,
        }
        consumer = Consumer(options, logger=_quiet)
        try:
            return self._read_all(consumer)
        except KafkaException as error:
            raise _unreachable(options, error.args[0]) from error
        finally:
            consumer.close()

    def _read_all(self, consumer: Consumer) -> dict[tuple[int, str], _Found]:
        topics = consumer.list_topics(timeout=_ANSWER_SECONDS).topics
        if self.topic not in topics:
            return {}
        partitions = list(topics[self.topic].partitions)
        consumer.assign([TopicPartition(self.topic, partition, 0) for partition in partitions])
        found: dict[tuple[int, str], _Found] = {}
        unfinished, deadline = set(partitions), time.monotonic() + _ANSWER_SECONDS
        while unfinished:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() > deadline:
                    raise HostError(f"{self.topic}: no answer for {_ANSWER_SECONDS:g} s")
                continue
            deadline = time.monotonic() + _ANSWER_SECONDS
            error = message.error()
            if error is None:
                split, record = self._decoded(message)
                found[message.partition() or 0, split] = record
            elif error.code() == KafkaError._PARTITION_EOF:
                unfinished.discard(message.partition())
            else:
                raise KafkaException(error)
        return found

    def _decoded(self, message: Any) -> tuple[str, _Found]:
        table, serializers = self._table, self.app.serializers
        where = f"{self.topic}, partition {message.partition()}, offset {message.offset()}"
        try:
            key: Any = serializers.loads_key(
                table.key_type, message.key(), serializer=table.key_serializer
            )
            value: Any = serializers.loads_value(
                table.value_type, message.value(), serializer=table.value_serializer
            )
            saved = None if value is None else Saved.load(value)
        except Exception as error:  # any codec's; somebody else wrote into the topic
            raise HostError(f"{where}: not a checkpoint: {error!r}") from error
        return str(key), _Found(saved, message.timestamp()[1] / 1000)


def _saved_split(name: str, partition: int, record: _Found, *, declared: bool) -> SavedSplit:
    at = None if record.saved is None else record.saved_at
    return SavedSplit(name, partition, record.saved, at, declared)


def find_group(app: AppT, kafka_options: Mapping[str, Any]) -> Group:
    """Return who is in the application's consumer group now; blocks.

    Raises:
        HostError: the broker cannot be reached.
    """
    options = connection_options(app, kafka_options)
    group = app.conf.id
    client = AdminClient(options, logger=_quiet)
    try:
        described = client.describe_consumer_groups([group], request_timeout=_ANSWER_SECONDS)
        members = described[group].result().members
    except KafkaException as exc:
        error = exc.args[0]
        if error.code() == KafkaError.GROUP_ID_NOT_FOUND:
            return Group(())
        if error.code() == KafkaError._UNSUPPORTED_FEATURE:
            return Group((), "the broker does not tell who is in a group")
        raise _unreachable(options, error) from exc
    return Group(tuple(f"{member.client_id} at {member.host.lstrip('/')}" for member in members))


def _unreachable(options: Mapping[str, Any], error: KafkaError) -> HostError:
    return HostError(f"broker {options['bootstrap.servers']} does not answer: {error.str()}")
