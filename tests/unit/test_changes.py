"""Changes of checkpoint records, until they are written."""

from __future__ import annotations

import pytest

from faust_grpc.changes import Change, Changes
from faust_grpc.exceptions import HostError


def change(partition: int, split: str = "north") -> Change:
    return Change("orders", split, partition, lambda saved: saved)


async def test_changes_are_taken_by_partition_in_order() -> None:
    changes = Changes()
    first, other, second = change(0), change(1), change(0)
    for one in (first, other, second):
        changes.add(one)

    assert changes.take({0}) == {0: [first, second]}
    assert changes.take(None) == {1: [other]}
    assert changes.take(None) == {}


async def test_what_could_not_be_written_comes_first_again() -> None:
    changes = Changes()
    early, late = change(0), change(0)
    changes.add(late)
    changes.put_back([early])

    assert changes.take(None) == {0: [early, late]}


async def test_whoever_waits_hears_that_the_partition_went_away() -> None:
    changes = Changes()
    kept, lost = change(0), change(1)
    changes.add(kept)
    changes.add(lost)
    changes.keep({0})

    assert changes.take(None) == {0: [kept]}
    assert not kept.done.done()
    with pytest.raises(HostError, match="orders/north went to another worker"):
        await lost.done


async def test_written_is_told_once() -> None:
    one = change(0)
    one.written()
    one.lost()

    assert await one.done is None
