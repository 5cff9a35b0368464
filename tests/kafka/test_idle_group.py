"""A worker whose consumer never gets a record, because all its events come from a source."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.cluster import Cluster

#: aiokafka leaves the group when no record was fetched for so long.
MAX_POLL_SECONDS = 6.0


def test_worker_without_topics_stays_in_its_group(make_cluster: Callable[..., Cluster]) -> None:
    """It stays for three times ``broker_max_poll_interval``, and can still rejoin afterwards."""
    cluster = make_cluster(settings={"broker_max_poll_interval": MAX_POLL_SECONDS})
    cluster.start("w1")
    cluster.wait_settled()
    generation, began = cluster.status("w1")["generation"], time.monotonic()
    cluster.wait(
        lambda: time.monotonic() - began > 3 * MAX_POLL_SECONDS, 60, "three poll intervals"
    )
    assert cluster.status("w1")["generation"] == generation
    assert "LeaveGroup" not in cluster.members["w1"].output()
    cluster.start("w2")
    cluster.wait_settled()
    cluster.stop("w1", "w2")
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.unsaved == 0
    assert cluster.overlaps() == []
