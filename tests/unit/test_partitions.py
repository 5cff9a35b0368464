from __future__ import annotations

from faust_grpc.partitions import mismatch


def test_equal_counts_fit() -> None:
    assert mismatch({"a": 4, "b": 4, "other": 7}, ["a", "b"], 4) is None


def test_a_topic_that_is_not_there_yet_fits() -> None:
    assert mismatch({}, ["a"], 4) is None


def test_the_first_topic_that_differs_is_named_with_both_counts() -> None:
    line = mismatch({"a": 4, "b": 6, "c": 5}, ["a", "b", "c"], 4)
    assert line is not None
    assert line.startswith("topic 'b' has 6 partitions, but the app has topic_partitions=4: set")
    assert "\n" not in line
