"""Which tests run one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.scheduling import FAULTS, ONE_FILE, REAL_KAFKA, group

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", [*FAULTS, *REAL_KAFKA, ONE_FILE])
def test_what_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_what_has_a_real_kafka_is_in_two_groups() -> None:
    files = [path.relative_to(ROOT) for path in (ROOT / "tests/kafka").glob("test_*.py")]
    assert len({group(f"{path}::test_one[a::b]") for path in files}) == 2
    assert group("tests/peers/test_etcd.py::test_one") == group("tests/kafka/test_agents.py::test")


def test_others_are_alone_but_for_those_that_share_workers() -> None:
    assert group(f"{ONE_FILE}::test_one") == group(f"{ONE_FILE}::test_two")
    first, second = "tests/unit/test_acks.py::test_one", "tests/unit/test_acks.py::test_two"
    assert group(first) != group(second)
