"""Which tests run one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scheduling import GROUPS, ONE_FILE, REAL_KAFKA, group

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", [*GROUPS, *REAL_KAFKA, *ONE_FILE])
def test_what_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_what_has_a_real_kafka_is_in_three_groups() -> None:
    files = [file for folder in REAL_KAFKA for file in (ROOT / folder).glob("test_*.py")]
    groups = {group(f"{file.relative_to(ROOT)}::test_one[a::b]") for file in files}
    assert groups == {"faults", "topics", "workers"}


def test_others_are_alone_but_for_those_that_share_workers() -> None:
    for path in ONE_FILE:
        assert group(f"{path}::test_one") == group(f"{path}::test_two")
    first, second = "tests/unit/test_acks.py::test_one", "tests/unit/test_acks.py::test_two"
    assert group(first) != group(second)
