"""Two workers and more, looked at and controlled by people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import OrderServer
from support.controlled import Controlled
from support.views import Story, agree

from faust_grpc.testing import Broker, wait_until

RECEIVING = frozenset({"receiving"})
#: Who waits for a server calls it now and then.
WAITING = frozenset({"waiting", "connecting"})


@pytest.fixture
def make(
    mock_broker: Broker, order_server: OrderServer, tmp_path: Path
) -> Iterator[Callable[..., Controlled]]:
    """``make(regions=..., **env)``: a cluster whose workers are still to be started."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            Controlled(mock_broker, order_server, tmp_path, **options)
        )


def test_pauses_and_cursors_survive_those_who_read(make: Callable[..., Controlled]) -> None:
    """A pause holds over a rebalance and over restarts; any worker can be asked."""
    cluster = make()
    cluster.start("w1", "w2")
    cluster.wait_states("w1")
    owners = {name: split["worker"] for name, split in cluster.splits("w1").items()}
    assert set(owners.values()) == set(cluster.urls.values())

    # Asked of one worker, done by both.
    cluster.run("pause", "orders", "--url", cluster.urls["w1"], "--reason", "inventory")
    paused = cluster.wait_states("w2", **dict.fromkeys(owners, "paused"))
    assert {split["reason"] for split in paused.values()} == {"inventory"}
    for region in ("east", "west"):
        cluster.run("resume", "orders", "--split", region, "--url", cluster.urls["w2"])
    cluster.wait_states("w1", north="paused", south="paused")
    calls = {region: len(cluster.resumed_behind(region)) for region in owners}

    cluster.stop("w1")
    cluster.wait_states("w2", north="paused", south="paused")
    cluster.stop("w2")
    cluster.start("w1")
    cluster.wait_states("w1", north="paused", south="paused")
    for region in ("north", "south"):
        assert len(cluster.resumed_behind(region)) == calls[region], "nobody called meanwhile"
    shown = cluster.run("checkpoint", "show", "orders", "-A", "controlled")
    assert shown.count("paused: inventory") == 2

    # A cursor set by the worker, and the split resumed behind it.
    url = cluster.urls["w1"]
    to = ("--through-worker", url, "-A", "controlled")
    cluster.run("checkpoint", "set", "orders", "--split", "south", "--to", "7", *to)
    cluster.run("resume", "orders", "--url", url)
    cluster.wait_states("w1")
    assert cluster.resumed_behind("south")[-1] == 7
    cluster.run("checkpoint", "reset", "orders", "--split", "west", *to)
    wait_until(lambda: cluster.resumed_behind("west")[-1] == 0, 30, "west from the start")


def test_F04_idle_workers_are_named(make: Callable[..., Controlled]) -> None:
    """One split, three workers: who reads it, and who has nothing to do."""
    cluster = make(regions=["north"])
    cluster.start("w1", "w2", "w3")

    def all_known() -> bool:
        _, status = cluster.get("w1", "status?cluster=true")
        phases = [worker["phase"] for worker in status["workers"]] if status else []
        return phases == ["running"] * 3

    wait_until(all_known, 90, "three workers in one group")
    split = cluster.wait_states("w2")["north"]
    told = " ".join(cluster.run("status", "--url", cluster.urls["w2"]).split())
    idle = sorted(set(cluster.urls.values()) - {split["worker"]})
    for url in idle:
        assert f"{url} running idle" in told
    assert f"{split['worker']} running 1" in told
    owner = next(name for name, url in cluster.urls.items() if url == split["worker"])
    line = (
        f"2 of 3 workers have no split to read (a split is read by one worker): {', '.join(idle)}"
    )
    wait_until(lambda: line in cluster.workers[owner].output(), 30, line)
    assert cluster.workers[owner].output().count(line) == 1


def test_a_worker_that_does_not_answer_needs_a_person(make: Callable[..., Controlled]) -> None:
    cluster = make()
    cluster.start("w1", "w2")
    cluster.wait_states("w1")
    cluster.workers["w2"].stop()
    told = cluster.run("status", "--url", cluster.urls["w1"], status=1)
    cluster.workers["w2"].cont()

    assert f"worker {cluster.urls['w2']} does not answer" in told
    assert told.count("unknown") >= 2


def test_page_status_metrics_and_readiness_tell_the_same_story(
    make: Callable[..., Controlled], order_server: OrderServer
) -> None:
    """The server is killed and comes back; then a worker goes, and its splits move."""
    cluster = make()
    cluster.start("w1", "w2")
    agree(cluster, Story(RECEIVING, {"w1": 2, "w2": 2}))
    order_server.kill()
    agree(cluster, Story(WAITING, {"w1": 2, "w2": 2}))
    order_server.start()
    agree(cluster, Story(RECEIVING, {"w1": 2, "w2": 2}))
    cluster.stop("w2")
    agree(cluster, Story(RECEIVING, {"w1": 4}))
