"""What a source and its splits do, at one moment: for people, pages and metrics."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from .splits import RunningSplit
from .types import CursorValue

__all__ = ["SourceStatus", "SplitStatus"]


@dataclass(frozen=True)
class SplitStatus:
    """One running split, at one moment.

    Arguments:
        name: the split.
        partition: the partition its events belong to.
        state: what it is doing: connecting, open, receiving, synced, waiting, stuck, paused,
            finished, fatal.
        state_seconds: for how long.
        reason: why, for people.
        rule: the rule that decided about the last end of a call.
        hint: what the last calls have in common, if they end alike.
        messages: received in this process.
        received_bytes: their size.
        events: given to agents.
        event_lag_seconds: of the last event, from its own time to its receipt; ``None`` before it.
        unacked: delivered and not finished by every agent.
        buffered: messages read ahead.
        buffer_fill: the part of the buffer that they use, from 0 to 1.
        backoff_seconds: the delay until the next call, while there is none.
        cursor: where a restart would resume.
        dead_letters: messages that could not be decoded or converted.
        repeated: messages that the server sent again and that were dropped.
        dropped: events that an overflow policy dropped, by policy.
        possible_gaps: times an unknown number of messages may be missing.
        lost_cursors: times the server could not resume and the stream began elsewhere.
        cursor_regressions: times a cursor went back within a call.
        calls: calls opened.
        endings: ends of calls by status code; those that we ended by name.
        verdicts: ends of calls by status code and what they meant.
    """

    name: str
    partition: int
    state: str
    state_seconds: float
    reason: str
    rule: str
    hint: str
    messages: int
    received_bytes: int
    events: int
    event_lag_seconds: float | None
    unacked: int
    buffered: int
    buffer_fill: float
    backoff_seconds: float
    cursor: CursorValue | None
    dead_letters: int
    repeated: int
    dropped: Mapping[str, int]
    possible_gaps: int
    lost_cursors: int
    cursor_regressions: int
    calls: int
    endings: Mapping[str, int]
    verdicts: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, split: RunningSplit) -> SplitStatus:
        """Take a snapshot."""
        counts = split.protocol.counts
        return cls(
            name=split.name,
            partition=split.partition,
            state=split.state.value,
            state_seconds=time.monotonic() - split.since,
            reason=split.reason,
            rule=split.protocol.rule,
            hint=split.protocol.hint,
            messages=split.protocol.messages,
            received_bytes=split.received_bytes,
            events=split.events,
            event_lag_seconds=_lag(split.last_event),
            unacked=split.unacked,
            buffered=split.buffered,
            buffer_fill=split.buffer_fill,
            backoff_seconds=split.backoff_seconds,
            cursor=split.cursor,
            dead_letters=counts.dead,
            repeated=counts.repeated,
            dropped=dict(counts.dropped),
            possible_gaps=counts.possible_gaps,
            lost_cursors=counts.lost_cursors,
            cursor_regressions=counts.cursor_regressions,
            calls=counts.calls,
            endings=dict(counts.endings),
            verdicts=_nested(counts.verdicts),
        )


@dataclass(frozen=True)
class SourceStatus:
    """One source in this worker, at one moment.

    Arguments:
        name: the source.
        waiting_for: why nothing runs, or empty.
        splits: those that run here.
        bad_timestamps: event times that were out of range or unreadable; the time of receipt was
            taken instead.
        dead_letters_kept: dead letters that ``dead_letter=`` has taken.
        dead_letters_waiting: those that it has not taken yet: their checkpoint waits.
        proxy: the HTTP proxy that connections go through, without its password; empty for none.
    """

    name: str
    waiting_for: str
    splits: tuple[SplitStatus, ...]
    bad_timestamps: int = 0
    dead_letters_kept: int = 0
    dead_letters_waiting: int = 0
    proxy: str = ""


def _lag(last_event: tuple[float, float] | None) -> float | None:
    if last_event is None:
        return None
    timestamp, received = last_event
    return received - timestamp


def _nested(counts: Mapping[tuple[str, str], int]) -> Mapping[str, Mapping[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (code, verdict), count in dict(counts).items():
        nested.setdefault(code, {})[verdict] = count
    return nested
