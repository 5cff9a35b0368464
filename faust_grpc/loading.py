"""Reads changelogs with librdkafka, in a thread and in batches, straight into the stores."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec
from faust.types.tuples import TP

from .exceptions import HostError
from .stores import StoreLoader

__all__ = ["Load", "LoadFailed", "Part", "Progress"]

logger = logging.getLogger(__name__)

#: Records taken from librdkafka at once. They are made into objects without giving the
#: interpreter away: some milliseconds, after which heartbeats get their turn.
BATCH = 2_000

#: How long to wait for a full batch; also for the order to stop.
POLL_SECONDS = 0.05

#: Without a record and without an answer for so long, loading begins anew.
STALL_SECONDS = 60.0

#: How long the broker may take to say where changelogs begin and end.
ANSWER_SECONDS = 30.0


#: Errors after which librdkafka goes on by itself; no progress for long ends the attempt.
_PASSING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    }
)


class LoadFailed(HostError):
    """The broker did not answer in time, or gave an error; loading begins anew."""


@dataclass(frozen=True)
class Progress:
    """How far loading is.

    Attributes:
        is_loading: a load is under way; the rest is about it, or about the last one.
        loaded: records applied to tables.
        left: records still to load, at most (a compacted changelog has fewer).
        per_second: records loaded per second.
        seconds_left: until all is loaded; ``None`` while nothing can be said.
    """

    is_loading: bool = False
    loaded: int = 0
    left: int = 0
    per_second: float = 0.0
    seconds_left: float | None = None

    def __str__(self) -> str:
        left = "?" if self.seconds_left is None else f"{self.seconds_left:.0f}"
        return (
            f"{self.loaded:,} records loaded, {self.left:,} to go at most, "
            f"{self.per_second:,.0f} records/s, {left} s left"
        )


class Part:
    """A changelog partition to load.

    Arguments:
        tp: its topic and number.
        loader: of its table.
        first: the first offset to read.
        end: its high watermark.
    """

    __slots__ = ("end", "first", "last", "loader", "position", "tp")

    def __init__(self, tp: TP, loader: StoreLoader, first: int, end: int) -> None:
        self.tp = tp
        self.loader = loader
        self.first = first
        self.end = end
        self.position = first
        #: The last data record: transaction markers may follow.
        self.last: Message | None = None


class Load:
    """One load, in a thread.

    Arguments:
        options: how librdkafka reaches the broker.
        loaders: what to load, by changelog partition.
        kept: of these only the high watermark is asked for.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        loaders: Mapping[TP, StoreLoader],
        kept: Iterable[TP] = (),
    ) -> None:
        self._options = dict(options)
        self._loaders = loaders
        self._kept = frozenset(kept)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._started_at = time.monotonic()
        self._ended_at: float | None = None
        self._advanced_at = self._started_at
        self._parts: list[Part] = []
        self.records = 0

    def stop(self) -> None:
        """End soon: the partitions may be given up."""
        self._stop.set()

    @property
    def is_stopped(self) -> bool:
        """It was told to end; what it loaded is incomplete."""
        return self._stop.is_set()

    def progress(self) -> Progress:
        """Return how far it is; from any thread."""
        seconds = max((self._ended_at or time.monotonic()) - self._started_at, 1e-3)
        parts = self._parts
        left = sum(self.remaining().values())
        done = sum(part.position - part.first for part in parts)
        return Progress(
            is_loading=self._ended_at is None,
            loaded=self.records,
            left=left,
            per_second=self.records / seconds,
            seconds_left=left * seconds / done if done else None,
        )

    def remaining(self) -> dict[TP, int]:
        """Return how many offsets are left, by partition; from any thread."""
        return {part.tp: max(part.end - part.position, 0) for part in self._parts}

    def run(self) -> tuple[dict[TP, int], list[Part]]:
        """Load; return the high watermark of every partition, and what was read.

        Raises:
            LoadFailed: the broker gave an error, or no answer.
        """
        try:
            begin, end = self._watermarks()
            parts = [self._part(tp, begin[tp], end[tp]) for tp in self._loaders]
            kept = {tp.partition for tp in self._kept}
            for loader in {id(loader): loader for loader in self._loaders.values()}.values():
                loader.purge(kept)
            self._parts = parts
            self._read([part for part in parts if part.first < part.end])
            return end, parts
        except KafkaException as exc:
            raise LoadFailed(f"changelogs cannot be loaded: {exc}") from exc
        finally:
            self._ended_at = time.monotonic()

    def _part(self, tp: TP, begin: int, end: int) -> Part:
        loader = self._loaders[tp]
        persisted = loader.persisted(tp)
        return Part(tp, loader, begin if persisted is None else max(begin, persisted + 1), end)

    def _watermarks(self) -> tuple[dict[TP, int], dict[TP, int]]:
        """Return where each partition begins and ends.

        The end is the high watermark, not the last stable offset: what lies between is ours
        too, once the transaction it belongs to has ended.
        """
        admin = AdminClient(self._options, logger=logger)
        specs: Any = OffsetSpec  # its methods are not typed
        every = [TopicPartition(*tp) for tp in {*self._loaders, *self._kept}]
        asked = [
            admin.list_offsets(
                dict.fromkeys(every, spec),
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=ANSWER_SECONDS,
            )
            for spec in (specs.earliest(), specs.latest())
        ]
        begin, end = (
            {TP(at.topic, at.partition): self._answer(answer) for at, answer in of.items()}
            for of in asked
        )
        return begin, end

    def _answer(self, answer: Future[Any]) -> int:
        """Wait for an offset; not in one go: it may be told to stop."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            try:
                return int(answer.result(POLL_SECONDS).offset)
            except FutureTimeout:
                if self.is_stopped or time.monotonic() > deadline:
                    raise LoadFailed(
                        "changelogs cannot be loaded: the broker does not say where they end"
                    ) from None

    def _read(self, parts: list[Part]) -> None:
        if not parts:
            return
        consumer = Consumer(
            {
                # What is read is held in memory until it is applied.
                "queued.max.messages.kbytes": 32_768,
                "queued.min.messages": 100_000,
                "fetch.wait.max.ms": 100,
                "fetch.queue.backoff.ms": 5,
                **self._options,
                # No member of a group: partitions are given, and nothing is committed.
                "group.id": "faust-grpc-recovery",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
            },
            logger=logger,
        )
        try:
            consumer.assign([TopicPartition(*part.tp, part.first) for part in parts])
            left = {part.tp: part for part in parts}
            self._advanced_at = time.monotonic()
            while left and not self.is_stopped:
                self._take(consumer.consume(BATCH, POLL_SECONDS), left)
        finally:
            consumer.close()

    def _take(self, messages: list[Message], left: dict[TP, Part]) -> None:
        """Apply a batch; take partitions out that are read to their end."""
        runs: dict[tuple[Any, Any], list[Message]] = {}
        ends: list[Message] = []
        for message in messages:
            if message.error() is None:
                runs.setdefault((message.topic(), message.partition()), []).append(message)
            else:
                ends.append(message)
        for name, run in runs.items():
            part = left.get(TP(*name))
            if part is not None:  # else: beyond its high watermark
                part.loader.apply(part.tp, run)
                part.last = run[-1]
                self.records += len(run)
                self._advance(part, int(run[-1].offset() or 0) + 1, left)
        for message in ends:
            self._end(message, left)
        if time.monotonic() - self._advanced_at > STALL_SECONDS:
            raise LoadFailed(_stalled(next(iter(left.values()))))

    def _end(self, message: Message, left: dict[TP, Part]) -> None:
        error = message.error()
        assert error is not None
        if error.code() != KafkaError._PARTITION_EOF:
            if error.retriable() or error.code() in _PASSING:
                logger.warning("Loading tables: %s", error.str())
                return
            raise KafkaException(error)
        part = left.get(TP(str(message.topic()), int(message.partition() or 0)))
        if part is not None:
            # Not yet its high watermark, when a transaction has not ended: told again later.
            self._advance(part, int(message.offset() or 0), left)

    def _advance(self, part: Part, position: int, left: dict[TP, Part]) -> None:
        if position > part.position:
            part.position = position
            self._advanced_at = time.monotonic()
        if position >= part.end:
            del left[part.tp]
            part.loader.finish(part.tp, part.end - 1)


def _tp(at: Any) -> TP:
    topic, partition = at.topic, at.partition
    return TP(
        topic() if callable(topic) else topic, partition() if callable(partition) else partition
    )


def _stalled(part: Part) -> str:
    return (
        f"changelog {part.tp.topic!r}, partition {part.tp.partition}: nothing came for "
        f"{STALL_SECONDS:g} s at offset {part.position} of {part.end}: the broker does not answer, "
        "or a transaction there has not ended"
    )
