"""Rolling upgrades: one worker after the other comes back with another declaration."""

from __future__ import annotations

from collections.abc import Callable

from support.cluster import Cluster

SECONDS = 30.0


def test_source_added_to_a_running_cluster(make_cluster: Callable[..., Cluster]) -> None:
    """A rolling upgrade: one worker after the other comes back with a second source."""
    cluster = make_cluster()
    cluster.start("w1", "w2")
    cluster.wait_settled()
    old = dict(cluster.shop.sources)
    for name in ("w1", "w2"):
        cluster.stop(name)
        cluster.shop.sources = {**old, "returns": ["x0", "x1", "x2", "x3"]}
        cluster.start(name)
        # While old and new workers are mixed, the splits of the old source go on.
        cluster.wait_settled(timeout=SECONDS, regions=old["orders"])
    cluster.wait_settled(timeout=SECONDS)
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []


def test_table_added_to_a_running_cluster(make_cluster: Callable[..., Cluster]) -> None:
    """A rolling upgrade: one worker after the other comes back with one more table, which for a
    while is assigned apart from the others."""
    cluster = make_cluster()
    cluster.start("w1", "w2")
    cluster.wait_settled()
    for name in ("w1", "w2"):
        cluster.stop(name)
        cluster.shop.extra_tables = ["more"]
        cluster.start(name)
        cluster.wait_settled(timeout=SECONDS)
    cluster.wait_settled(timeout=SECONDS)
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []
    more = cluster.table("more")
    assert set(more) == cluster.shop.regions
    assert all(more[region] <= judgement.splits[region].highest for region in more)


def test_more_splits_and_fewer(make_cluster: Callable[..., Cluster]) -> None:
    """A source grows from eight splits to ten; then it loses three from its middle, and one gets
    another name. Each goes on from its own cursor, which is kept by name, beside its tables."""
    cluster = make_cluster()
    old = list(cluster.shop.sources["orders"])
    grown = [*old, "r8", "r9"]
    fewer = ["r0", "r3", "r4", "renamed", "r7", "r8", "r9"]
    cluster.start("w1", "w2")
    cluster.wait_settled()
    for regions in (grown, fewer):
        for name in ("w1", "w2"):
            cluster.stop(name)
            cluster.shop.sources = {"orders": regions}
            cluster.start(name)
            # Old and new workers are mixed: what both know goes on.
            cluster.wait_settled(timeout=SECONDS, regions=set(old) & set(regions))
        old = regions
        cluster.wait_settled(timeout=SECONDS)
    cluster.stop("w1", "w2")
    cluster.shop.sources = {"orders": [*grown, "renamed"]}
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert judgement.duplicates == 0
    assert cluster.overlaps() == []
