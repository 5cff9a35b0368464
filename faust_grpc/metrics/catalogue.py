"""Every metric there is: name, meaning, and where its value is read.

Backends and the documentation are made from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..reports import SourceStatus, SplitStatus

__all__ = ["DISTRIBUTIONS", "METRICS", "PREFIX", "Distribution", "Metric", "Reading", "Sample"]

PREFIX = "faust_grpc"

#: Values of a metric's labels, in their order, and its value.
Sample: TypeAlias = "tuple[tuple[str, ...], float]"
Unit: TypeAlias = Literal["", "seconds", "bytes", "ratio"]


@dataclass(frozen=True)
class Reading:
    """What is read of one application when somebody looks.

    Arguments:
        app: its id.
        sources: its sources in this worker.
        checkpoint_age: seconds since everything that was to be saved was saved.
        transaction_aborts: transactions that had to be written again.
    """

    app: str
    sources: tuple[SourceStatus, ...]
    checkpoint_age: float
    transaction_aborts: int


@dataclass(frozen=True)
class Metric:
    """A value that is read from counters.

    Arguments:
        name: without prefix, unit and ``_total``.
        kind: a counter only grows while the worker lives.
        help: what it is, for people.
        labels: beside ``app``.
        samples: reads it.
        unit: of its values; the end of its name.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...]
    samples: Callable[[Reading], Iterable[Sample]]
    unit: Unit = ""

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        parts = [PREFIX, self.name, self.unit, "total" if self.kind == "counter" else ""]
        return "_".join(filter(None, parts))


@dataclass(frozen=True)
class Distribution:
    """Durations that are measured when they happen: a histogram.

    Arguments:
        name: without prefix and unit.
        help: what it is, for people.
        labels: beside ``app``.
        buckets: upper ends, in seconds.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]

    @property
    def full_name(self) -> str:
        """As Prometheus has it."""
        return f"{PREFIX}_{self.name}_seconds"


def _of_sources(read: Callable[[SourceStatus], float]) -> Callable[[Reading], Iterator[Sample]]:
    def samples(reading: Reading) -> Iterator[Sample]:
        for source in reading.sources:
            yield (source.name,), read(source)

    return samples


def _of_splits(
    read: Callable[[SplitStatus], float | None],
) -> Callable[[Reading], Iterator[Sample]]:
    def samples(reading: Reading) -> Iterator[Sample]:
        for source in reading.sources:
            for split in source.splits:
                value = read(split)
                if value is not None:
                    yield (source.name, split.name), value

    return samples


def _by_label(
    read: Callable[[SplitStatus], Mapping[str, float]],
) -> Callable[[Reading], Iterator[Sample]]:
    def samples(reading: Reading) -> Iterator[Sample]:
        for source in reading.sources:
            for split in source.splits:
                for label, value in read(split).items():
                    yield (source.name, split.name, label), value

    return samples


def _call_ends(reading: Reading) -> Iterator[Sample]:
    for source in reading.sources:
        for split in source.splits:
            for code, reasons in split.verdicts.items():
                for reason, count in reasons.items():
                    yield (source.name, split.name, code, reason), count


_SPLIT = ("source", "split")

METRICS: tuple[Metric, ...] = (
    # What came
    Metric(
        "messages",
        "counter",
        "Messages received.",
        _SPLIT,
        _of_splits(lambda split: split.messages),
    ),
    Metric(
        "received",
        "counter",
        "Bytes of the messages received, as they were on the wire after decompression.",
        _SPLIT,
        _of_splits(lambda split: split.received_bytes),
        unit="bytes",
    ),
    Metric(
        "events",
        "counter",
        "Events given to agents; a message may make none, one or several.",
        _SPLIT,
        _of_splits(lambda split: split.events),
    ),
    Metric(
        "event_time_lag",
        "gauge",
        "From the newest event's own time to its receipt.",
        _SPLIT,
        _of_splits(lambda split: split.event_lag_seconds),
        unit="seconds",
    ),
    Metric(
        "bad_timestamps",
        "counter",
        "Event times that could not be used; the time of receipt was taken.",
        ("source",),
        _of_sources(lambda source: source.bad_timestamps),
    ),
    # What was not given to agents, or may be missing
    Metric(
        "decode_failures",
        "counter",
        "Messages that could not be decoded or converted.",
        _SPLIT,
        _of_splits(lambda split: split.dead_letters),
    ),
    Metric(
        "dead_letters",
        "counter",
        "Dead letters that dead_letter= has taken.",
        ("source",),
        _of_sources(lambda source: source.dead_letters_kept),
    ),
    Metric(
        "dead_letters_waiting",
        "gauge",
        "Dead letters that dead_letter= has not taken yet; the checkpoint waits for them.",
        ("source",),
        _of_sources(lambda source: source.dead_letters_waiting),
    ),
    Metric(
        "dropped_events",
        "counter",
        "Events that an overflow policy dropped.",
        (*_SPLIT, "policy"),
        _by_label(lambda split: split.dropped),
    ),
    Metric(
        "repeated_messages",
        "counter",
        "Messages that the server sent again after a resume, dropped.",
        _SPLIT,
        _of_splits(lambda split: split.repeated),
    ),
    Metric(
        "possible_gaps",
        "counter",
        "Times an unknown number of messages may be missing: a stream without a cursor broke.",
        _SPLIT,
        _of_splits(lambda split: split.possible_gaps),
    ),
    Metric(
        "lost_cursors",
        "counter",
        "Times the server could not resume and the stream began elsewhere.",
        _SPLIT,
        _of_splits(lambda split: split.lost_cursors),
    ),
    Metric(
        "cursor_regressions",
        "counter",
        "Times a cursor went back within a call; it was not saved.",
        _SPLIT,
        _of_splits(lambda split: split.cursor_regressions),
    ),
    # Calls
    Metric(
        "calls",
        "counter",
        "Calls opened.",
        _SPLIT,
        _of_splits(lambda split: split.calls),
    ),
    Metric(
        "call_ends",
        "counter",
        "Ends of calls, by status code and what they meant.",
        (*_SPLIT, "code", "reason"),
        _call_ends,
    ),
    Metric(
        "split_state",
        "gauge",
        "1 for the state that the split is in; other states have no series.",
        (*_SPLIT, "state"),
        _by_label(lambda split: {split.state: 1}),
    ),
    Metric(
        "split_state_age",
        "gauge",
        "For how long the split is in its state.",
        _SPLIT,
        _of_splits(lambda split: split.state_seconds),
        unit="seconds",
    ),
    Metric(
        "backoff",
        "gauge",
        "The delay until the next call; 0 while there is a call.",
        _SPLIT,
        _of_splits(lambda split: split.backoff_seconds),
        unit="seconds",
    ),
    # Between the socket and the checkpoint
    Metric(
        "buffered_messages",
        "gauge",
        "Messages read ahead.",
        _SPLIT,
        _of_splits(lambda split: split.buffered),
    ),
    Metric(
        "buffer_fill",
        "gauge",
        "The part of the read-ahead buffer that is used, from 0 to 1.",
        _SPLIT,
        _of_splits(lambda split: split.buffer_fill),
        unit="ratio",
    ),
    Metric(
        "unacked_messages",
        "gauge",
        "Messages given to agents and not finished by all of them.",
        _SPLIT,
        _of_splits(lambda split: split.unacked),
    ),
    Metric(
        "checkpoint_age",
        "gauge",
        "Since when something may wait to be saved; 0 in a worker that reads nothing.",
        (),
        lambda reading: [((), reading.checkpoint_age)],
        unit="seconds",
    ),
    Metric(
        "transaction_aborts",
        "counter",
        "Transactions that were aborted and written again.",
        (),
        lambda reading: [((), reading.transaction_aborts)],
    ),
)


_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

DISTRIBUTIONS: tuple[Distribution, ...] = (
    Distribution(
        "ack_latency",
        "From the receipt of an event to its ack by every agent; one event of each batch is timed.",
        ("source",),
        _FAST,
    ),
    Distribution(
        "checkpoint_duration",
        "Writing a checkpoint: table records and cursors, until the broker has them.",
        (),
        _FAST,
    ),
    Distribution(
        "event_loop_delay",
        "How late the worker's event loop was, looked at once a second.",
        (),
        _FAST,
    ),
)
