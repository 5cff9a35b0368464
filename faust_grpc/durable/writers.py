"""How one split's records and its checkpoint get into Kafka: in transactions, or plainly.

``add`` is the hot path and never waits. Everything else blocks: it runs in a thread of its own, one
call at a time, and nothing is added meanwhile.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from confluent_kafka import KafkaError, KafkaException, Producer

from ..exceptions import Fenced, HostError, WriteFailed
from .saved import CheckpointRecord

__all__ = ["ExactlyOnceWriter", "PlainWriter", "SplitWriter", "Writing"]

#: How long one request to librdkafka waits before we look whether we may go on.
_STEP_SECONDS = 1.0
#: How long an abort at the end may take; the next owner's ``init_transactions`` aborts as well.
_ABORT_SECONDS = 2.0

#: Another producer has our transactional id, or the broker ended the transaction.
_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}
#: The very same record would be refused again and again.
_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
    KafkaError.POLICY_VIOLATION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
}


class Writing(NamedTuple):
    """What a writer needs to know.

    Arguments:
        topic: where records go.
        partition: of every record; -1: by its key.
        transactional_id: of this split, in this application.
        transaction_seconds: after so long the broker aborts a transaction that was left open.
        new_producer: makes a producer; takes further librdkafka settings.
        may_write: whether this worker still owns the split; asked again and again while waiting.
    """

    topic: str
    partition: int
    transactional_id: str
    transaction_seconds: float
    new_producer: Callable[[Mapping[str, Any]], Producer]
    may_write: Callable[[], bool]


class SplitWriter(ABC):
    """Writes the records of one split, and its checkpoint behind them.

    Arguments:
        writing: where and how.
    """

    #: Settings of the producer.
    options: Mapping[str, Any] = {}

    def __init__(self, writing: Writing) -> None:
        self.writing = writing
        self._topic, self._partition = writing.topic, writing.partition
        self._refusal: KafkaError | None = None
        #: Something was added since the last commit.
        self.is_dirty = False
        settings = {
            # As Kafka's own producers choose, so that other programs' records join ours.
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 100_000,
            "queue.buffering.max.kbytes": 32 * 1024,
            # The reports of what went well would cost as much as the records.
            "delivery.report.only.error": True,
            "on_delivery": self._on_failure,
            **self.options,
        }
        self._producer = writing.new_producer(settings)

    @abstractmethod
    def open(self) -> None:
        """Make sure that no earlier owner can write any more, if that can be.

        Raises:
            Fenced: the next owner did so already.
            WriteFailed: the broker did not answer.
            HostError: we may not.
        """

    @abstractmethod
    def add(self, key: bytes | None, value: bytes | None, timestamp_ms: int, headers: Any) -> None:
        """Write one record, some time before the next commit is over.

        Arguments:
            key: of the record.
            value: of the record.
            timestamp_ms: 0 for now.
            headers: a list of pairs, a dict, or ``None``.

        Raises:
            BufferError: too much waits for the broker already.
            KafkaException: the producer takes nothing any more.
        """

    def add_beside(self, topic: str, value: bytes, headers: Any) -> None:
        """Write a record into another topic; otherwise as :meth:`add`."""
        self.is_dirty = True
        self._producer.produce(topic, value, headers=headers)

    def poll(self) -> None:
        """Hear what the broker said of records; does not wait.

        Raises:
            WriteFailed, HostError: it refused one.
        """
        self._producer.poll(0)
        self._check()

    @abstractmethod
    def commit(self, checkpoint: CheckpointRecord | None) -> None:
        """Wait until the broker has everything that was added, then the checkpoint.

        Raises:
            Fenced: another worker has the split.
            WriteFailed: it was not taken; all since the last commit must be read again.
            HostError: it will never be taken.
        """

    def abandon(self) -> None:
        """Forget what was not committed; the writer is not used any more."""
        self._refusal = None
        self._producer.purge()
        try:
            self._producer.poll(0)
        except KafkaException:
            pass  # a producer that failed says so at every call

    def _on_failure(self, error: KafkaError | None, _message: object) -> None:
        if error is not None and error.code() != KafkaError._PURGE_QUEUE and self._refusal is None:
            self._refusal = error

    def _check(self) -> None:
        if self._refusal is not None:
            raise self.failure(self._refusal)

    def failure(self, error: KafkaError) -> HostError:
        """Return what an answer of librdkafka or the broker means."""
        error = self._cause(error)
        text = f"topic {self._topic}: {error.str()}"
        return HostError(text) if error.code() in _REFUSED else WriteFailed(text)

    def _cause(self, error: KafkaError) -> KafkaError:
        """Return why a producer is unusable; ``produce`` only says that it is."""
        if error.code() == KafkaError._FATAL:
            try:
                self._producer.poll(0)
            except KafkaException as exc:
                return cast(KafkaError, exc.args[0])
        return error

    def _insist(self, ask: Callable[[], object], what: str) -> None:
        """Ask for an answer for as long as librdkafka says that it can be asked again.

        Raises:
            KafkaException: the answer is no.
            WriteFailed: we may not write any more.
        """
        while True:
            try:
                ask()
                return
            except KafkaException as exc:
                error = exc.args[0]
                if not error.retriable():
                    raise
                if not self.writing.may_write():
                    raise WriteFailed(f"{what}: {error.str()}") from exc
                if error.code() != KafkaError._TIMED_OUT:
                    time.sleep(0.1)  # an answer at once: the coordinator moves, or loads


class PlainWriter(SplitWriter):
    """An idempotent producer: at least once. The checkpoint follows when all before it is there.

    Arguments:
        writing: where and how.
        checkpoint_producer: writes the checkpoints of all splits. A record must not be sent late,
            over what another worker wrote: its producer gives up sooner than the group does.
    """

    def __init__(self, writing: Writing, checkpoint_producer: Producer) -> None:
        super().__init__(writing)
        self._checkpoints = checkpoint_producer

    def open(self) -> None:
        """There is no fencing: the lease keeps a worker that was halted from writing."""

    def add(self, key: bytes | None, value: bytes | None, timestamp_ms: int, headers: Any) -> None:
        self.is_dirty = True
        self._producer.produce(
            self._topic, value, key, self._partition, timestamp=timestamp_ms, headers=headers
        )

    def commit(self, checkpoint: CheckpointRecord | None) -> None:
        while self._producer.flush(_STEP_SECONDS):
            self._check()
            if not self.writing.may_write():
                raise WriteFailed("no heartbeat was answered for too long")
        self._check()
        self.is_dirty = False
        if checkpoint is not None:
            self._save(checkpoint)

    def _save(self, checkpoint: CheckpointRecord) -> None:
        answers: list[KafkaError | None] = []
        if not self.writing.may_write():
            raise WriteFailed("no heartbeat was answered for too long")
        topic, partition, key, value, headers = checkpoint
        self._checkpoints.produce(
            topic,
            value,
            key,
            partition,
            headers=headers,
            on_delivery=lambda error, _message: answers.append(error),
        )
        while not answers:
            self._checkpoints.poll(_STEP_SECONDS)
        if answers[0] is not None:
            raise WriteFailed(f"the checkpoint was not taken: {answers[0].str()}")


class ExactlyOnceWriter(SplitWriter):
    """A transactional producer: records and checkpoint become visible together, or not at all.

    Arguments:
        writing: where and how.
    """

    def __init__(self, writing: Writing) -> None:
        self._began = 0.0
        self.options = {
            "transactional.id": writing.transactional_id,
            "transaction.timeout.ms": int(1000 * writing.transaction_seconds),
        }
        super().__init__(writing)

    def open(self) -> None:
        """Fence earlier owners off; their open transaction is aborted."""
        if not self.writing.may_write():  # it would fence off whoever has the split by now
            raise WriteFailed("no heartbeat was answered for too long")
        try:
            self._insist(lambda: self._producer.init_transactions(_STEP_SECONDS), "fencing")
        except KafkaException as exc:
            raise self.failure(exc.args[0]) from exc

    def add(self, key: bytes | None, value: bytes | None, timestamp_ms: int, headers: Any) -> None:
        if not self.is_dirty:
            self._begin()
        self._producer.produce(
            self._topic, value, key, self._partition, timestamp=timestamp_ms, headers=headers
        )

    def add_beside(self, topic: str, value: bytes, headers: Any) -> None:
        if not self.is_dirty:
            self._begin()
        super().add_beside(topic, value, headers)

    def commit(self, checkpoint: CheckpointRecord | None) -> None:
        try:
            if checkpoint is not None:
                if not self.is_dirty:
                    self._begin()
                topic, partition, key, value, headers = checkpoint
                self._producer.produce(topic, value, key, partition, headers=headers)
            if self.is_dirty:
                self._insist(lambda: self._producer.commit_transaction(_STEP_SECONDS), "commit")
        except KafkaException as exc:
            refused = self._refusal or exc.args[0]
            raise self.failure(exc.args[0] if exc.args[0].fatal() else refused) from exc
        self.is_dirty = False

    def abandon(self) -> None:
        if self.is_dirty:
            try:
                self._producer.abort_transaction(_ABORT_SECONDS)
            except KafkaException:
                pass  # fenced, or no broker: it ends with the next owner's first words
        super().abandon()

    def _begin(self) -> None:
        self._producer.begin_transaction()
        self._began = time.monotonic()
        self.is_dirty = True

    def failure(self, error: KafkaError) -> HostError:
        """Return what an answer means: also whether another worker has the split."""
        error = self._cause(error)
        if error.code() not in _FENCED:
            return super().failure(error)
        # The broker says the same of a transaction that it ended because it took too long.
        if self.is_dirty and time.monotonic() - self._began > self.writing.transaction_seconds:
            return WriteFailed(
                f"a transaction was open for longer than {self.writing.transaction_seconds:g} s"
            )
        return Fenced(
            f"{self.writing.transactional_id}: another worker took this split over and fenced "
            f"this one off ({error.name()}): this worker was halted or cut off for longer than its "
            "session, and must be started again"
        )
