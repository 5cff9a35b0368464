"""The judge itself: it must see each kind of damage, or the tests beside it prove nothing."""

from __future__ import annotations

from typing import Any

from support.calls import call_spans, overlapping
from support.judge import Judgement, ReadRecord, judge_records

SOURCES = {"orders": ["r0"]}


def records(*entries: tuple[int, str, Any], partition: int = 0) -> list[ReadRecord]:
    """Records of one partition, from (time in ms, key, value)."""
    return [ReadRecord(partition, offset, *entry) for offset, entry in enumerate(entries)]


def judged(seen: list[ReadRecord], cursors: list[ReadRecord], total: tuple[int, int]) -> Judgement:
    """Judge blocks of four orders."""
    totals = records((0, "r0", {"count": total[0], "last": total[1]}))
    return judge_records(seen, totals, {"orders": cursors}, SOURCES, 4)


def cursor(time: int, value: int) -> tuple[int, str, dict[str, int]]:
    """A checkpoint."""
    return time, "r0", {"cursor": value}


def test_a_good_run() -> None:
    """Six orders, one of them twice, all below the checkpoint."""
    seen = records((1, "r0:0", "111"), (3, "r0:0", "1121"), (3, "r0:1", "11"))
    found = judged(seen, records(cursor(2, 2), cursor(4, 6)), (7, 6))
    assert found.problems == []
    assert (found.processed, found.lost, found.duplicates, found.unsaved) == (6, 0, 1, 0)


def test_orders_above_the_checkpoint_are_unsaved() -> None:
    """They will be processed again."""
    found = judged(records((1, "r0:0", "1111")), records(cursor(2, 3)), (4, 4))
    assert found.problems == []
    assert found.unsaved == 1


def test_a_hole_is_a_loss() -> None:
    """Also where a whole key is missing."""
    found = judged(records((1, "r0:0", "1011")), records(cursor(2, 4)), (3, 4))
    assert found.splits["r0"].lost == [2]
    found = judged(records((1, "r0:1", "11")), records(), (2, 6))
    assert found.splits["r0"].lost == [1, 2, 3, 4]


def test_tables_behind_the_checkpoint() -> None:
    """In either table."""
    found = judged(records((1, "r0:0", "11")), records(cursor(2, 3)), (2, 2))
    assert found.splits["r0"].lost == [3]
    assert any("behind 3" in problem for problem in found.problems)


def test_a_checkpoint_that_was_ahead_for_a_moment() -> None:
    """The end is good, but a crash in between would have lost two orders."""
    seen = records((1, "r0:0", "11"), (3, "r0:0", "1111"))
    found = judged(seen, records(cursor(2, 4)), (4, 4))
    (problem,) = found.problems
    assert "was ahead" in problem


def test_counts_and_checkpoints_that_went_back() -> None:
    """Written by somebody whose tables were old."""
    seen = records((1, "r0:0", "111"), (0, "r0:0", "1"), (5, "r0:0", "1111"))
    found = judged(seen, records(cursor(2, 3), cursor(2, 1), cursor(6, 4)), (4, 4))
    assert [problem.split(" at ")[0] for problem in found.problems] == [
        "seen['r0:0']: 2 counts went back",
        "r0: checkpoint went back from 3 to 1",
    ]


def test_an_order_counted_after_its_checkpoint() -> None:
    """Whoever took over began before the checkpoint that was there."""
    seen = records((1, "r0:0", "1111"), (3, "r0:0", "1122"))
    found = judged(seen, records(cursor(2, 3), cursor(4, 4)), (6, 4))
    (problem,) = found.problems
    assert problem == "r0: 1 orders from 3 to 3 were counted after checkpoint 3, time 0.003"
    assert found.splits["r0"].twice == [3, 4]


def test_exactly_once_is_exact() -> None:
    """One order twice, in either table, even for a moment; at least once allows it."""
    seen, saved = records((1, "r0:0", "1111")), records(cursor(2, 4))
    totals = records((1, "r0", {"count": 4, "last": 4}))
    arguments = (totals, {"orders": saved}, SOURCES, 4)
    assert judge_records(seen, *arguments, exactly_once=True).problems == []
    twice = records((1, "r0:0", "1121"), (1, "r0:0", "1121"))
    (problem,) = judge_records(twice, *arguments, exactly_once=True).problems
    assert problem == "seen['r0:0']: 1 orders more than once at partition 0 offset 0 time 0.001"
    totals = records((1, "r0", {"count": 5, "last": 4}), (2, "r0", {"count": 4, "last": 4}))
    (problem,) = judge_records(
        seen, totals, {"orders": saved}, SOURCES, 4, exactly_once=True
    ).problems
    assert problem.startswith("totals['r0']: {'count': 5, 'last': 4} at partition 0 offset 0")


def test_one_table() -> None:
    """It is enough."""
    found = judge_records(
        records((1, "r0:0", "11")), None, {"orders": records(cursor(2, 2))}, SOURCES, 4
    )
    assert found.problems == []
    assert (found.processed, found.duplicates, found.unsaved) == (2, 0, 0)


def test_a_key_in_two_partitions() -> None:
    """Its two values would be recovered by two workers."""
    seen = records((1, "r0:0", "11")) + records((1, "r0:0", "111"), partition=1)
    assert any("in partitions [0, 1]" in problem for problem in judged(seen, [], (3, 3)).problems)


def test_tables_that_disagree() -> None:
    """Behind the other one, an update was lost; ahead of it, some were made again."""
    seen, saved = records((1, "r0:0", "11")), records(cursor(2, 2))
    assert any("2 were seen" in problem for problem in judged(seen, saved, (1, 2)).problems)
    ahead = judged(seen, saved, (3, 2))
    assert ahead.problems == []
    assert ahead.duplicates == 1


def call(time: float, event: str, number: int, reader: str) -> dict[str, Any]:
    """A line of the server's log."""
    return {
        "time": time,
        "event": event,
        "call": number,
        "reader": reader,
        "region": "r0",
        "after_sequence": 0,
    }


def test_overlaps() -> None:
    """Two calls at once; not with a call that ended with its server, nor with a halted reader's."""
    calls = [
        call(1.0, "open", 1, "w1"),
        call(2.0, "open", 2, "w2"),
        call(2.5, "close", 1, "w1"),
        call(4.0, "open", 1, "w3"),
    ]
    (overlap,) = overlapping(call_spans(calls, server_ends=[3.0]))
    assert str(overlap) == "r0: w1 and w2 for 0.500 s from 2.000"
    assert overlapping(call_spans(calls, server_ends=[3.0]), halted=["w1"]) == []
    assert len(overlapping(call_spans(calls))) == 2
