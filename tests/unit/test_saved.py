"""What a checkpoint record says."""

from __future__ import annotations

import pytest

from faust_grpc.saved import Saved

MAX_UINT64 = 2**64 - 1


@pytest.mark.parametrize(
    ("saved", "stored"),
    [
        (Saved(), {"cursor": None}),
        (Saved(MAX_UINT64), {"cursor": MAX_UINT64}),
        (Saved("a/b"), {"cursor": "a/b"}),
        (Saved(b"\0\xff"), {"cursor": {"bytes": "AP8="}}),
        (Saved(7, "moving"), {"cursor": 7, "paused": "moving"}),
    ],
)
def test_what_is_stored_is_what_is_loaded(saved: Saved, stored: dict[str, object]) -> None:
    assert saved.dump() == stored
    assert Saved.load(stored) == saved


@pytest.mark.parametrize("stored", [{"cursor": 1.5}, {"cursor": 1, "paused": True}])
def test_other_records_are_refused(stored: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a stored"):
        Saved.load(stored)
