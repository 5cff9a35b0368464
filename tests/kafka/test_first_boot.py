"""The first start: no topic exists, and Faust's first assignment may not know the new ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.cluster import Cluster

from faust_grpc.testing import Broker, broker

SECONDS = 30.0


@pytest.fixture(scope="module")
def fresh_broker() -> Iterator[Broker]:
    """A Kafka on which nothing ever ran: not even the topic of group offsets exists."""
    with broker("kafka") as started:
        yield started


def test_first_worker_of_a_fresh_broker(
    make_cluster: Callable[..., Cluster], fresh_broker: Broker
) -> None:
    """It reads within 30 s, without a human."""
    cluster = make_cluster(broker=fresh_broker)
    cluster.start("w1")
    cluster.wait_processed(timeout=SECONDS)
    cluster.stop("w1")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_first_workers_at_once(make_cluster: Callable[..., Cluster], delivery: str) -> None:
    """All create topics, all join, one rebalance interrupts the other: all splits are read within
    30 s, in one place each, and no worker takes another one for a zombie."""
    cluster = make_cluster(delivery=delivery)
    cluster.start("w1", "w2", "w3")
    cluster.wait_settled(timeout=SECONDS)
    cluster.stop("w1", "w2", "w3")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []
