"""A worker whose consumer never gets a record, because all its events come from a source."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.cluster import Cluster

#: aiokafka leaves the group when no record was fetched for so long.
MAX_POLL_SECONDS = 6.0


def test_workers_without_topics_stay_in_their_group(make_cluster: Callable[..., Cluster]) -> None:
    """They stay for three times ``broker_max_poll_interval``, and can still rejoin afterwards. (One
    of the two has the app's leader topic, the other nothing but changelogs.)"""
    cluster = make_cluster(settings={"broker_max_poll_interval": MAX_POLL_SECONDS})
    cluster.start("w1", "w2")
    cluster.wait_settled()
    generations, began = generations_of(cluster), time.monotonic()
    cluster.wait(
        lambda: time.monotonic() - began > 3 * MAX_POLL_SECONDS, 60, "three poll intervals"
    )
    assert generations_of(cluster) == generations
    assert not any("LeaveGroup" in member.output() for member in cluster.members.values())
    idle = {name: cluster.status(name)["idle_seconds"] for name in cluster.running}
    cluster.say(f"generations {generations}, seconds without a poll {idle}")
    cluster.start("w3")
    cluster.wait_settled()
    cluster.stop("w1", "w2", "w3")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []


def generations_of(cluster: Cluster) -> dict[str, int]:
    """Every worker's generation."""
    return {name: cluster.status(name)["generation"] for name in cluster.running}
