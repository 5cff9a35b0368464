"""Who read what and when, from the order server's log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["CallSpan", "Overlap", "call_spans", "overlapping"]


class CallSpan(NamedTuple):
    """One call, as the server saw it; times in seconds since the epoch."""

    region: str
    reader: str
    opened: float
    #: Infinite while it is open.
    closed: float
    after_sequence: int


class Overlap(NamedTuple):
    """Two calls that read one region at the same time."""

    first: CallSpan
    second: CallSpan

    @property
    def seconds(self) -> float:
        """How long."""
        return min(self.first.closed, self.second.closed) - self.second.opened

    def __str__(self) -> str:
        return (
            f"{self.first.region}: {self.first.reader} and {self.second.reader} for "
            f"{self.seconds:.3f} s from {self.second.opened:.3f}"
        )


def call_spans(
    calls: Iterable[dict[str, Any]], server_ends: Sequence[float] = ()
) -> list[CallSpan]:
    """Return the calls of a server's log, in the order they were opened.

    Arguments:
        calls: lines of the log, over all of the server's lives.
        server_ends: times at which the server was killed: its calls ended with it, unlogged.
    """
    spans: list[CallSpan] = []
    open_calls: dict[int, int] = {}
    ends = sorted(server_ends)
    for entry in calls:
        while ends and entry["time"] > ends[0]:
            _close(spans, open_calls.values(), ends.pop(0))
            open_calls.clear()
        if entry["event"] == "open":
            open_calls[entry["call"]] = len(spans)
            spans.append(
                CallSpan(
                    entry["region"],
                    entry["reader"],
                    entry["time"],
                    float("inf"),
                    entry["after_sequence"],
                )
            )
        elif entry["call"] in open_calls:
            _close(spans, [open_calls.pop(entry["call"])], entry["time"])
    if ends:
        _close(spans, open_calls.values(), ends[0])
    return spans


def _close(spans: list[CallSpan], indexes: Iterable[int], when: float) -> None:
    for index in indexes:
        spans[index] = spans[index]._replace(closed=when)


def overlapping(spans: Iterable[CallSpan], halted: Iterable[str] = ()) -> list[Overlap]:
    """Return the pairs of calls that read one region at the same time.

    Arguments:
        spans: calls.
        halted: readers that were stopped with SIGSTOP: their connection stays open and nobody can
            close it for them.
    """
    by_region: dict[str, list[CallSpan]] = defaultdict(list)
    for span in spans:
        if span.reader not in set(halted):
            by_region[span.region].append(span)
    found = []
    for ordered in by_region.values():
        for index, first in enumerate(ordered):
            found += [
                Overlap(first, second)
                for second in ordered[index + 1 :]
                if second.opened < first.closed
            ]
    return found
