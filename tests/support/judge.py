"""What really happened: read from the changelogs on the broker, not told by a worker."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .members import Shop
from .reading import read_records, wait_for_markers

__all__ = [
    "Judgement",
    "ReadRecord",
    "SplitJudgement",
    "judge",
    "judge_records",
    "read_topic",
]


class ReadRecord(NamedTuple):
    """One record of a changelog; the timestamp is in ms."""

    partition: int
    offset: int
    timestamp: int
    key: Any
    value: Any


def read_topic(bootstrap: str, topic: str) -> list[ReadRecord]:
    """Return every committed record of a JSON topic up to its end, in order by partition.

    Raises:
        AssertionError: it has no partitions, or its end was not reached in time.
    """
    return [
        ReadRecord(
            record.partition,
            record.offset,
            record.timestamp,
            json.loads(record.key or b"null"),
            json.loads(record.value) if record.value is not None else None,
        )
        for record in read_records(bootstrap, topic)
    ]


@dataclass
class SplitJudgement:
    """One split.

    Arguments:
        region: its name.
        checkpoint: the saved cursor; 0 when there is none.
        times: how often each sequence number was processed; ``times[0]`` is for number 1.
        total: the region's entry in the other table.
    """

    region: str
    checkpoint: int
    times: Sequence[int]
    total: Mapping[str, int]

    @property
    def highest(self) -> int:
        """The highest sequence number processed."""
        return len(self.times)

    @property
    def lost(self) -> list[int]:
        """Sequence numbers passed over: below the highest, or up to the checkpoint."""
        known = [number for number, times in enumerate(self.times, 1) if not times]
        return known + list(range(self.highest + 1, self.checkpoint + 1))

    @property
    def distinct(self) -> int:
        """Orders, each counted once."""
        return sum(1 for times in self.times if times)

    @property
    def duplicates(self) -> int:
        """Orders that a table has twice; the one that has more. (A worker killed in the middle of
        writing may leave one table ahead of the other: at least once holds for each.)"""
        return max(sum(self.times), self.total.get("count", 0)) - self.distinct

    @property
    def twice(self) -> list[int]:
        """Sequence numbers processed more than once."""
        return [number for number, times in enumerate(self.times, 1) if times > 1]


@dataclass
class Judgement:
    """A whole run.

    Arguments:
        splits: by region.
        problems: what must not be, one line each.
        records: number of changelog records read.
    """

    splits: dict[str, SplitJudgement]
    problems: list[str] = field(default_factory=list)
    records: int = 0

    @property
    def processed(self) -> int:
        """Orders, each counted once."""
        return sum(split.distinct for split in self.splits.values())

    @property
    def lost(self) -> int:
        """Orders passed over."""
        return sum(len(split.lost) for split in self.splits.values())

    @property
    def duplicates(self) -> int:
        """Orders processed again."""
        return sum(split.duplicates for split in self.splits.values())

    @property
    def unsaved(self) -> int:
        """Orders processed and not below a checkpoint."""
        return sum(split.highest - split.checkpoint for split in self.splits.values())

    def __str__(self) -> str:
        lines = [
            f"judge: splits={len(self.splits)} processed={self.processed} lost={self.lost} "
            f"duplicates={self.duplicates} behind_checkpoint={self.unsaved} "
            f"changelog_records={self.records} problems={len(self.problems)}"
        ]
        lines += [
            f"  {split.region}: checkpoint={split.checkpoint} highest={split.highest} "
            f"lost={len(split.lost)} duplicates={split.duplicates} total={dict(split.total)}"
            for split in self.splits.values()
        ]
        return "\n".join([*lines, *(f"  PROBLEM {problem}" for problem in self.problems)])


def judge(bootstrap: str, shop: Shop) -> Judgement:
    """Judge what the workers of an app left on the broker.

    Arguments:
        bootstrap: the broker.
        shop: how they were configured.
    """
    seen, totals = f"{shop.app_id}-seen-changelog", f"{shop.app_id}-totals-changelog"
    cursors = {source: f"{shop.app_id}-{source}-checkpoint-changelog" for source in shop.sources}
    wait_for_markers(bootstrap, seen, *([totals] if shop.totals else ()), *cursors.values())
    return judge_records(
        read_topic(bootstrap, seen),
        read_topic(bootstrap, totals) if shop.totals else None,
        {source: read_topic(bootstrap, topic) for source, topic in cursors.items()},
        shop.sources,
        shop.block,
        exactly_once=shop.delivery == "exactly_once",
    )


def judge_records(
    seen: Sequence[ReadRecord],
    totals: Sequence[ReadRecord] | None,
    cursors: Mapping[str, Sequence[ReadRecord]],
    sources: Mapping[str, Iterable[str]],
    block: int,
    *,
    exactly_once: bool = False,
) -> Judgement:
    """Judge the records of an app's changelogs.

    Every record ever written is looked at, not only the last of each key: counts may never go
    back, not even for a moment; a checkpoint may never be ahead of the tables that were on the
    broker when it was written; and no order at or below a checkpoint may be counted after it.

    Arguments:
        seen: of the table ``seen``.
        totals: of the table ``totals``; ``None`` when there is no such table.
        cursors: of the checkpoints, by source.
        sources: the sources and their splits.
        block: sequence numbers per key of ``seen``.
        exactly_once: no order may ever have been counted twice, in any table.
    """
    problems = [*_moved_keys(seen, "seen"), *_moved_keys(totals or (), "totals")]
    problems += _counts_went_back(seen)
    if exactly_once:
        problems += [*_counted_twice(seen), *_totals_do_not_match(totals or ())]
    last_total = {record.key: record.value for record in totals or ()}
    splits = {}
    for source, regions in sources.items():
        problems += _moved_keys(cursors[source], source)
        for region in regions:
            saved = [_numbered(record) for record in cursors[source] if record.key == region]
            blocks = [record for record in seen if record.key.rpartition(":")[0] == region]
            problems += _checkpoint_went_back(region, saved)
            problems += _checkpoint_was_ahead(region, saved, blocks, block)
            problems += _counted_after_checkpoint(region, saved, blocks, block)
            split = SplitJudgement(
                region,
                saved[-1].value["cursor"] if saved else 0,
                _times(blocks, block),
                last_total.get(region, {}),
            )
            problems += _table_problems(split, with_totals=totals is not None)
            splits[region] = split
    count = len(seen) + len(totals or ()) + sum(map(len, cursors.values()))
    return Judgement(splits, problems, count)


def _numbered(record: ReadRecord) -> ReadRecord:
    """A split's first record has no cursor yet."""
    return record._replace(value={**record.value, "cursor": record.value["cursor"] or 0})


def _times(blocks: Sequence[ReadRecord], block: int) -> list[int]:
    last = {int(record.key.rpartition(":")[2]): record.value for record in blocks}
    text = "".join(last.get(b, "").ljust(block, "0") for b in range(max(last, default=-1) + 1))
    return [int(digit) for digit in text.rstrip("0")]


def _table_problems(split: SplitJudgement, *, with_totals: bool) -> list[str]:
    problems = []
    if split.lost:
        problems.append(f"{split.region}: {len(split.lost)} lost, first {split.lost[:5]}")
    if not with_totals:
        return problems
    if split.total.get("last", 0) < split.checkpoint:
        problems.append(f"{split.region}: totals {split.total} behind {split.checkpoint}")
    if split.total.get("count", 0) < split.distinct:
        problems.append(f"{split.region}: totals {split.total}, but {split.distinct} were seen")
    return problems


def _moved_keys(records: Iterable[ReadRecord], table: str) -> list[str]:
    partitions: dict[Any, set[int]] = defaultdict(set)
    for record in records:
        partitions[record.key].add(record.partition)
    return [
        f"table {table}: key {key!r} is in partitions {sorted(where)}"
        for key, where in partitions.items()
        if len(where) > 1
    ]


def _counts_went_back(blocks: Iterable[ReadRecord]) -> list[str]:
    """A count that goes back was written by somebody whose table lacked what another had done."""
    problems = []
    last: dict[str, str] = {}
    for record in blocks:
        before, last[record.key] = last.get(record.key, ""), record.value
        after = record.value.ljust(len(before), "0")
        back = sum(1 for old, new in zip(before, after, strict=False) if new < old)
        if back:
            problems.append(
                f"seen[{record.key!r}]: {back} counts went back at partition {record.partition} "
                f"offset {record.offset} time {record.timestamp / 1000:.3f}"
            )
    return problems


def _counted_twice(blocks: Iterable[ReadRecord]) -> list[str]:
    """Once committed, not even a later correction would undo it: somebody may have read it."""
    first: dict[str, str] = {}
    for record in blocks:
        twice = len(record.value) - record.value.count("0") - record.value.count("1")
        if twice:
            first.setdefault(
                record.key,
                f"seen[{record.key!r}]: {twice} orders more than once at partition "
                f"{record.partition} offset {record.offset} time {record.timestamp / 1000:.3f}",
            )
    return list(first.values())


def _totals_do_not_match(totals: Iterable[ReadRecord]) -> list[str]:
    first: dict[str, str] = {}
    for record in totals:
        if record.value["count"] != record.value["last"]:
            first.setdefault(
                record.key,
                f"totals[{record.key!r}]: {record.value} at partition {record.partition} "
                f"offset {record.offset} time {record.timestamp / 1000:.3f}",
            )
    return list(first.values())


def _checkpoint_went_back(region: str, saved: Sequence[ReadRecord]) -> list[str]:
    return [
        f"{region}: checkpoint went back from {before.value['cursor']} to {after.value['cursor']} "
        f"at offset {after.offset} time {after.timestamp / 1000:.3f}"
        for before, after in itertools.pairwise(saved)
        if after.value["cursor"] < before.value["cursor"]
    ]


def _checkpoint_was_ahead(
    region: str, saved: Sequence[ReadRecord], blocks: Sequence[ReadRecord], block: int
) -> list[str]:
    """Look at the moment of each checkpoint: all processes share this machine's clock."""
    problems = []
    known: dict[int, str] = {}
    waiting = sorted(blocks, key=lambda record: record.timestamp, reverse=True)
    covered = 0
    for record in saved:
        while waiting and waiting[-1].timestamp <= record.timestamp:
            one = waiting.pop()
            known[int(one.key.rpartition(":")[2])] = one.value
        cursor = record.value["cursor"]
        while covered < cursor:
            number, place = divmod(covered, block)
            if known.get(number, "").ljust(block, "0")[place] == "0":
                break
            covered += 1
        if covered < cursor:
            problems.append(
                f"{region}: checkpoint {cursor} at offset {record.offset} was ahead of the "
                f"tables, which had {covered}, time {record.timestamp / 1000:.3f}"
            )
    return problems


def _counted_after_checkpoint(
    region: str, saved: Sequence[ReadRecord], blocks: Sequence[ReadRecord], block: int
) -> list[str]:
    """Whoever begins behind a checkpoint must not meet an order again that is at or below it. (One
    that was not counted before either is another mistake: the checkpoint was ahead.)"""
    problems = []
    waiting = sorted(saved, key=lambda record: record.timestamp, reverse=True)
    known: dict[str, str] = {}
    cursor = 0
    for record in sorted(blocks, key=lambda record: record.timestamp):
        while waiting and waiting[-1].timestamp < record.timestamp:
            cursor = max(cursor, waiting.pop().value["cursor"])
        before, known[record.key] = known.get(record.key, ""), record.value
        first = int(record.key.rpartition(":")[2]) * block + 1
        if first > cursor:
            continue
        covered = record.value[: cursor - first + 1]
        again = [
            first + place
            for place, (old, new) in enumerate(
                zip(before.ljust(len(covered), "0"), covered, strict=False)
            )
            if new > old > "0"
        ]
        if again:
            problems.append(
                f"{region}: {len(again)} orders from {again[0]} to {again[-1]} were counted after "
                f"checkpoint {cursor}, time {record.timestamp / 1000:.3f}"
            )
    return problems
