"""The way back: a Faust worker without faust_grpc reads the same changelogs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.cluster import Cluster


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_plain_faust_recovers_the_same_tables(
    make_cluster: Callable[..., Cluster], delivery: str
) -> None:
    """After a clean stop it finds in its tables what the changelogs say, key by key."""
    cluster = make_cluster(block=100, delivery=delivery)
    cluster.start("w1", "w2")
    cluster.wait_settled()
    cluster.wait_processed(300)
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []

    cluster.start("plain", program="plain.py")
    line = cluster.members["plain"].wait_for_line(r'^\{"tables": .*$', timeout=60)
    cluster.stop("plain")
    tables = json.loads(line[0])["tables"]
    assert tables["seen"] == cluster.table("seen")
    assert tables["totals"] == cluster.table("totals")
    print(f"plain Faust recovered {len(tables['seen'])} + {len(tables['totals'])} keys")
