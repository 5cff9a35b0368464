"""One worker that stops, or dies, and comes back.

(Standby replicas, both builds of Faust, RocksDB and two sources are in ``test_faults.py``.)
"""

from __future__ import annotations

from collections.abc import Callable

from support.cluster import Cluster

UNACKED = 64


def test_clean_stop_resumes_exactly(make_cluster: Callable[..., Cluster]) -> None:
    """Stopped in order three times: every order is processed once, none twice. One key per order:
    many dirty keys in every checkpoint."""
    cluster = make_cluster(block=1, sources={"orders": ["r0", "r1", "r2", "r3"]})
    for _ in range(3):
        cluster.start("w1")
        cluster.wait_processed(400)
        cluster.stop("w1")

    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.duplicates == 0
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []
    resumed = [span for span in cluster.calls() if span.reader == "w1.3"]
    assert len(resumed) == 4
    assert all(span.after_sequence > 0 for span in resumed)


def test_kill_resumes_behind_the_checkpoint(make_cluster: Callable[..., Cluster]) -> None:
    """After ``kill -9`` what was not saved comes again; what is in the tables already comes twice,
    and that is at most what was processed between two checkpoints."""
    cluster = make_cluster(unacked=UNACKED)
    kills = 3
    for _ in range(kills):
        cluster.start("w1")
        cluster.wait_processed(300)
        cluster.kill("w1")
    cluster.start("w1")
    cluster.wait_processed(300)
    cluster.stop("w1")

    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert all(split.highest >= 300 * (kills + 1) for split in judgement.splits.values())
    # A checkpoint is due every half second and takes time; a second's worth is generous.
    assert all(
        split.duplicates <= kills * (cluster.shop.rate + UNACKED)
        for split in judgement.splits.values()
    )
    assert cluster.overlaps() == []


def test_fewer_splits_than_workers(make_cluster: Callable[..., Cluster]) -> None:
    """The third worker reads nothing, until it has to."""
    cluster = make_cluster(sources={"orders": ["r0", "r1"]})
    cluster.start("w1", "w2", "w3")
    cluster.wait(
        lambda: all(cluster.status(name).get("generation", -1) > 0 for name in cluster.running),
        60,
        "three members",
    )
    for _ in range(2):
        cluster.wait_processed(200)
        (reader,) = {span.reader for span in cluster.calls()[-1:]}
        cluster.kill(reader.partition(".")[0])
        cluster.wait_processed(200)
    cluster.stop(*cluster.running)

    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []


def test_topic_agent_beside_a_source(make_cluster: Callable[..., Cluster]) -> None:
    """An ordinary agent on a topic, with a table of its own, works beside the source."""
    cluster = make_cluster(refunds_topic="refunds", sources={"orders": ["r0", "r1", "r2", "r3"]})
    refunds = cluster.produce("refunds", (f"order-{number % 10}" for number in range(500)))
    cluster.start("w1")
    cluster.wait_processed(300)
    cluster.wait(lambda: cluster.status("w1")["refunded"] == refunds, 30, "all refunds")
    refunds += cluster.produce("refunds", (f"order-{number % 10}" for number in range(500)))
    cluster.wait(lambda: cluster.status("w1")["refunded"] == refunds, 30, "all refunds")
    cluster.wait_processed(300)
    cluster.stop("w1")
    cluster.start("w1")
    cluster.wait_processed(300)
    cluster.stop("w1")

    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.duplicates == 0
    assert judgement.unsaved == 0
    counts = cluster.table("refund-counts")
    assert counts == {f"order-{number}": refunds // 10 for number in range(10)}
    assert cluster.overlaps() == []
