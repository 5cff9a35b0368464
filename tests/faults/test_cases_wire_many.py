"""The acceptance case about many splits that open at the same moment."""

from __future__ import annotations

import math

import pytest
from consuming import CURSOR, Kind, asked_after, consuming, tick
from h2_server import H2Server, Stream

SPLITS = {f"s{number}": {"sym": f"S{number}"} for number in range(100)}


@pytest.mark.parametrize("limit", [100, 30])
async def test_W22_a_hundred_splits_at_once(kind: Kind, limit: int) -> None:
    """As few connections as the server's limit of streams allows, and no call waits or fails."""

    async def script(stream: Stream) -> None:
        after = await asked_after(stream)
        await stream.headers()
        await stream.message(tick(after + 1))

    async with (
        H2Server(script, max_streams=limit) as server,
        consuming(
            server.target, kind, cursor=CURSOR, splits=SPLITS, streams_per_connection=limit
        ) as rig,
    ):
        await rig.until(lambda: len(rig.seen) == 100)
        assert rig.seen == [1] * 100
        splits = rig.source.status().splits
        assert {split.name for split in splits} == set(SPLITS)
        assert {split.state for split in splits} == {"receiving"}
        assert {split.calls for split in splits} == {1}
        assert not rig.warnings
        assert len(server.peers) == math.ceil(100 / limit)
