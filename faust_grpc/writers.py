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

from .changelog import Records, Unsealed
from .exceptions import Fenced, HostError, WriteFailed
from .serializing import Serialized

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
        self, records: Iterable[Records], may_write: Callable[[], bool] = lambda: True
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
            for part in records:
                report = reports.of(part)
                for item in part.items:
                    _check(may_write)
                    _produce(producer, part, item, report, may_write)
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
        return reports.offsets()

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
        self, partition: int, records: Sequence[Records], may_write: Callable[[], bool]
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
        offsets = reports.offsets()
        for part in records:
            tp = TP(part.topic, partition)
            self.last[tp] = Unsealed(part._replace(items=part.items[-1:]), offsets[tp] + 2)
        return offsets

    def close(self) -> None:
        """Let all producers go."""
        self._producers.clear()
        self._threads.shutdown(wait=False)


class _Report:
    """What the broker said of the records of one partition: they arrive in order."""

    __slots__ = ("_failures", "last")

    def __init__(self, failures: list[str]) -> None:
        self._failures = failures
        self.last: Message | None = None

    def __call__(self, error: Any, message: Message) -> None:
        if error is None:
            self.last = message
        else:
            self._failures.append(f"{message.topic()}: {error}")


class _Reports:
    """What the broker said of all records."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._parts: dict[TP, _Report] = {}

    def of(self, part: Records) -> _Report:
        """Return what is to be told of the records of a partition."""
        return self._parts.setdefault(TP(part.topic, part.partition), _Report(self.failures))

    def offsets(self) -> dict[TP, int]:
        """Return the offset of the last record of each partition."""
        return {
            tp: int(report.last.offset() or 0)
            for tp, report in self._parts.items()
            if report.last is not None
        }


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
    records: Sequence[Records],
    reports: _Reports,
    may_write: Callable[[], bool],
) -> bool:
    """Try one transaction; return whether it was committed, not aborted."""
    try:
        _check(may_write)
        producer.begin_transaction()
        for part in records:
            # One report will do: a commit fails if any record failed.
            *items, last = part.items
            for item in items:
                _produce(producer, part, item, None, may_write)
            _produce(producer, part, last, reports.of(part), may_write)
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
    producer: Producer,
    part: Records,
    item: Serialized,
    report: _Report | None,
    may_write: Callable[[], bool],
) -> None:
    key, value, headers = item
    options: dict[str, Any] = {"headers": headers} if headers else {}
    if report is not None:
        options["on_delivery"] = report
    while True:
        try:
            producer.produce(part.topic, value, key, part.partition, **options)
            return
        except BufferError:
            producer.poll(0.1)  # its queue is full: let it send some
            _check(may_write)
