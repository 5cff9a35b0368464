"""Workers that write into a topic, and what is in the topic afterwards."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .members import Shop
from .reading import Record

__all__ = ["DurableShop", "sequences"]


@dataclass(kw_only=True)
class DurableShop(Shop):
    """How the workers are configured; see ``tests/kafka/apps/durable.py``.

    Arguments:
        topic: the sink.
        delivery: of the source.
        partition_by: of the sink.
        interval_seconds: between two commits.
        limit: last sequence number of each split; 0: none.
        agent: an agent reads the source.
        flicker: the source is held and released all the time, as in rebalance after rebalance.
    """

    topic: str
    delivery: str = "exactly_once"
    partition_by: str | None = None
    interval_seconds: float = 0.1
    limit: int = 0
    agent: bool = False
    flicker: bool = False


def sequences(records: Iterable[Record]) -> dict[str, list[int]]:
    """Return the sequence numbers of each region, as they are in the topic."""
    found: dict[str, list[int]] = defaultdict(list)
    for record in records:
        order = json.loads(record.value or b"{}")
        found[order["region"]].append(order["sequence"])
    return found
