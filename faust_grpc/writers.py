"""How table records and cursors get to the broker: plainly, or in transactions.

Both run in threads: librdkafka waits there without holding the event loop up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from faust.types.tuples import TP

from .changelog import Record, Unsealed
from .exceptions import Fenced, HostError, WriteFailed

__all__ = ["PlainWriter", "TransactionalWriter"]

#: How long one request to librdkafka waits before the lease is looked at again.
_STEP_SECONDS = 2.0

#: Another producer has our transactional id, or the transaction was ended for us.
_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
}


class PlainWriter:
    """An idempotent producer for all partitions: at-least-once.

    Arguments:
        producer: makes it, when the first batch is written.
        timeout_seconds: how long the broker may take for a batch.
    """

    def __init__(self, producer: Callable[[], Producer], *, timeout_seconds: float = 20.0) -> None:
        self._make_producer = producer
        self._producer: Producer | None = None
        self._timeout = timeout_seconds

    def write(
        self, records: Iterable[Record], may_write: Callable[[], bool] = lambda: True
    ) -> dict[TP, int]:
        """Write records and wait until the broker has them all. Blocks.

        Arguments:
            records: encoded table writes, in order.
            may_write: asked before each record, and behind the last: a process that was halted in
                the middle must not go on, its partitions are with another worker. What waits for
                its linger then is taken back: the producer's ``linger.ms`` must be longer than it
                takes to ask, and holds up nothing here.

        Returns:
            The offset of the last record per changelog partition.

        Raises:
            WriteFailed: some record was refused, or not taken in time.
        """
        if self._producer is None:
            self._producer = self._make_producer()
        producer = self._producer
        reports = _Reports()
        try:
            for record in records:
                _check(may_write)
                _produce(producer, record, reports, may_write)
            _check(may_write)
            waiting = producer.flush(self._timeout)
        except WriteFailed:
            self.discard()
            raise
        except KafkaException as exc:
            raise WriteFailed(f"changelog write failed: {exc}") from exc
        if waiting or reports.failures:
            first = reports.failures[0] if reports.failures else f"{waiting} records were not taken"
            raise WriteFailed(f"changelog write failed: {first} in {self._timeout:g} s")
        return reports.offsets

    def discard(self) -> None:
        """Forget what waits in the producer: its partitions are given up."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.poll(0)

    def close(self) -> None:
        """Let the producer go."""
        self._producer = None


class TransactionalWriter:
    """A transactional producer for each partition: exactly-once.

    A transaction holds the table records and the cursors of one partition, cut where nothing that
    was delivered is un-acked. The next owner of a partition fences the last one off before it
    reads what was written (``init_transactions`` with the same transactional id): a worker that
    was halted cannot commit any more.

    Arguments:
        producer: makes one for a transactional id.
        prefix: of the transactional ids; the partition follows.
    """

    def __init__(self, producer: Callable[[str], Producer], prefix: str) -> None:
        self._make_producer = producer
        self._prefix = prefix
        self._producers: dict[int, Producer] = {}
        self._threads = ThreadPoolExecutor(thread_name_prefix="transactions")
        #: The last record of each changelog partition that was committed here.
        self.last: dict[TP, Unsealed] = {}
        #: Transactions that were aborted and written again.
        self.aborts = 0

    def fence(self, partitions: Iterable[int], may_write: Callable[[], bool]) -> None:
        """Fence the earlier owners of partitions off; their open transactions are aborted. Blocks.

        Raises:
            WriteFailed: the broker did not answer while we might go on.
            HostError: we may not use the transactional id.
        """
        partitions = sorted(partitions)
        # Others may have written since: what was the last record here is none to seal with.
        self._forget(partitions)

        def one(partition: int) -> tuple[int, Producer]:
            producer = self._make_producer(f"{self._prefix}-{partition}")
            _check(may_write)  # as late as can be: it would fence off whoever has it by now
            try:
                _insist(lambda: producer.init_transactions(_STEP_SECONDS), may_write, "fencing")
            except KafkaException as exc:
                raise _refusal(exc.args[0], partition) from exc
            return partition, producer

        asked = [self._threads.submit(one, partition) for partition in partitions]
        wait(asked)  # all: nobody may be fenced off after this returned
        for answer in asked:
            partition, producer = answer.result()
            self._producers[partition] = producer

    def keep(self, partitions: Iterable[int]) -> None:
        """Let the producers of all other partitions go; no transaction is open between commits."""
        self._forget(self._written() - set(partitions))

    def _written(self) -> set[int]:
        return {*self._producers, *(tp.partition for tp in self.last)}

    def _forget(self, partitions: Collection[int]) -> None:
        self._producers = {p: one for p, one in self._producers.items() if p not in partitions}
        self.last = {tp: one for tp, one in self.last.items() if tp.partition not in partitions}

    def commit(
        self, partition: int, records: Sequence[Record], may_write: Callable[[], bool]
    ) -> dict[TP, int]:
        """Write records in one transaction. Blocks.

        A transaction that must be aborted is tried again with the very same records: the cursors
        in it belong to these values, not to newer ones.

        Returns:
            The offset of the last record per changelog partition.

        Raises:
            Fenced: another worker has the partition.
            WriteFailed: the lease was lost; whether it was committed is not known.
            HostError: the broker will never take these records.
        """
        # Out of the map until it worked: after an error a transaction may be open in it.
        producer = self._producers.pop(partition, None)
        if producer is None:
            raise Fenced(f"partition {partition}: this worker may not write it any more")
        reports = _Reports()
        while not _committed(producer, partition, records, reports, may_write):
            self.aborts += 1
            reports = _Reports()
        self._producers[partition] = producer
        for record in records:
            tp = TP(record.topic, partition)
            self.last[tp] = Unsealed(record, reports.offsets[tp] + 2)
        return reports.offsets

    def close(self) -> None:
        """Let all producers go."""
        self._producers.clear()
        self._threads.shutdown(wait=False)


class _Reports:
    """What the broker said of each record."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.offsets: dict[TP, int] = {}

    def __call__(self, error: Any, message: Message) -> None:
        if error is not None:
            self.failures.append(f"{message.topic()}: {error}")
            return
        tp = TP(str(message.topic()), int(message.partition() or 0))
        self.offsets[tp] = max(self.offsets.get(tp, -1), int(message.offset() or 0))


def _check(may_write: Callable[[], bool]) -> None:
    if not may_write():
        raise WriteFailed("no heartbeat was answered for too long")


def _insist(ask: Callable[[], None], may_write: Callable[[], bool], what: str) -> None:
    """Ask again while librdkafka says that it can be asked again.

    Raises:
        KafkaException: the answer is no.
        WriteFailed: the lease was lost meanwhile.
    """
    while True:
        try:
            ask()
            return
        except KafkaException as exc:
            error = exc.args[0]
            if not error.retriable():
                raise
            if not may_write():
                raise WriteFailed(f"{what}: {error.str()}") from exc
            if error.code() != KafkaError._TIMED_OUT:
                time.sleep(0.1)  # an answer at once: the coordinator moves, or loads


def _committed(
    producer: Producer,
    partition: int,
    records: Sequence[Record],
    reports: _Reports,
    may_write: Callable[[], bool],
) -> bool:
    """Try one transaction; return whether it was committed, not aborted."""
    try:
        _check(may_write)
        producer.begin_transaction()
        # One report per topic will do: a commit fails if any record failed.
        last = {record.topic: number for number, record in enumerate(records)}
        for number, record in enumerate(records):
            report = reports if last[record.topic] == number else None
            _produce(producer, record, report, may_write)
        _check(may_write)
        _insist(lambda: producer.commit_transaction(_STEP_SECONDS), may_write, "commit")
        return True
    except KafkaException as exc:
        if not exc.args[0].txn_requires_abort():
            raise _refusal(exc.args[0], partition) from exc
    try:
        _insist(lambda: producer.abort_transaction(_STEP_SECONDS), may_write, "abort")
    except KafkaException as exc:
        raise _refusal(exc.args[0], partition) from exc
    return False


def _refusal(error: KafkaError, partition: int) -> HostError:
    if error.code() in _FENCED:
        return Fenced(
            f"partition {partition}: this worker was fenced off ({error.name()}): it was halted or "
            "cut off for longer than its session and another one took over, or that one's takeover "
            "came late, or a transaction took longer than transaction.timeout.ms"
        )
    return HostError(f"partition {partition}: its transaction cannot be written: {error.str()}")


def _produce(
    producer: Producer, record: Record, report: _Reports | None, may_write: Callable[[], bool]
) -> None:
    options: dict[str, Any] = {} if report is None else {"on_delivery": report}
    while True:
        try:
            producer.produce(
                record.topic,
                record.value,
                record.key,
                record.partition,
                headers=record.headers,
                **options,
            )
            return
        except BufferError:
            producer.poll(0.1)  # its queue is full: let it send some
            _check(may_write)
