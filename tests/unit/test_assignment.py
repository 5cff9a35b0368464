"""Which splits are ours."""

from __future__ import annotations

from faust_grpc.assignment import Membership, co_owned, wanted_splits
from faust_grpc.types import Split


def test_a_partition_is_ours_only_with_all_its_tables() -> None:
    actives = [("cp", 0), ("cp", 1), ("stock", 0), ("stock", 1), ("new", 1), ("topic", 3)]
    owned = co_owned(actives, ["cp"], ["cp", "stock", "new"])
    assert owned.partitions == {1}
    assert owned.waiting == {0}


def test_nothing_is_ours_without_a_checkpoint() -> None:
    assert co_owned([("stock", 0)], ["cp"], ["cp", "stock"]).partitions == frozenset()
    assert co_owned([("stock", 0)], [], ["stock"]).partitions == frozenset()


def test_partitions_are_kept_only_without_a_missed_generation() -> None:
    membership = Membership()
    ours = frozenset({0, 1})
    assert membership.assigned(4, ours) == frozenset()
    membership.ready(ours)
    assert membership.assigned(5, ours) == ours
    assert membership.assigned(7, ours) == frozenset()
    membership.ready(ours)
    membership.lost()
    assert membership.assigned(8, ours) == frozenset()


def test_a_partition_that_was_away_for_one_generation_is_not_kept() -> None:
    """Also when that generation's recovery was interrupted by the next rebalance."""
    membership = Membership()
    membership.assigned(4, frozenset({0, 1}))
    membership.ready(frozenset({0, 1}))
    assert membership.assigned(5, frozenset({1})) == {1}
    assert membership.assigned(6, frozenset({0, 1})) == {1}
    assert membership.assigned(6, frozenset({0, 1})) == {1}, "asked again"


def test_what_was_not_recovered_is_not_kept() -> None:
    membership = Membership()
    assert membership.assigned(1, frozenset({0})) == frozenset()
    assert membership.assigned(2, frozenset({0})) == frozenset()


def test_splits_go_to_partitions_in_turn() -> None:
    splits = [Split(name) for name in "abcdefghij"]
    parts = [wanted_splits(splits, 4, frozenset({p})) for p in range(4)]
    assert [list(part) for part in parts] == [
        ["a", "e", "i"],
        ["b", "f", "j"],
        ["c", "g"],
        ["d", "h"],
    ]
    assert {p for part in parts for p in part.values()} == {0, 1, 2, 3}


def test_a_split_stays_where_it_has_a_place() -> None:
    """Its neighbours were removed: by the list it would go elsewhere now, and be read twice."""
    splits = [Split("c"), Split("a"), Split("new")]
    places = {"a": 0, "b": 1, "c": 2}
    parts = [wanted_splits(splits, 4, frozenset({p}), places) for p in range(4)]
    assert parts == [{"a": 0}, {}, {"c": 2, "new": 2}, {}]
