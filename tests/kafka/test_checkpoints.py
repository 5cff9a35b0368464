"""Checkpoints on a real broker: changed by people while nobody runs, and lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from support import OrderServer
from support.controlled import Controlled
from support.judge import read_topic

from faust_grpc.testing import Broker, wait_until


@pytest.fixture
def make(
    kafka_broker: Broker, order_server: OrderServer, tmp_path: Path
) -> Iterator[Callable[..., Controlled]]:
    """``make(regions=..., **env)``: a cluster whose workers are still to be started."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            Controlled(kafka_broker, order_server, tmp_path, regions=["north", "south"], **options)
        )


def topic_of(cluster: Controlled) -> str:
    return f"{cluster.env['APP_ID']}-orders-checkpoint-changelog"


def records(broker: Broker, cluster: Controlled, region: str) -> list[Any]:
    """Return what was ever saved of a region."""
    return [
        record.value["cursor"]
        for record in read_topic(broker.bootstrap, topic_of(cluster))
        if record.key == region
    ]


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_cursors_are_changed_while_nobody_runs_and_only_then(
    make: Callable[..., Controlled], kafka_broker: Broker, delivery: str
) -> None:
    cluster = make(DELIVERY=delivery)
    app = ("-A", "controlled")
    before = cluster.run("checkpoint", "show", "orders", *app)
    assert before.count("never") == 2
    cluster.start("w1")
    cluster.wait_states("w1")
    cluster.wait_cursors("w1", least=20)
    refused = cluster.run(
        "checkpoint", "set", "orders", "--split", "north", "--to", "5", *app, status=1
    )
    assert "run (faust-" in refused
    assert "--through-worker" in refused
    assert 5 not in records(kafka_broker, cluster, "north")[-1:]
    cluster.stop("w1")

    told = cluster.run("checkpoint", "set", "orders", "--split", "north", "--to", "5", *app)
    last = records(kafka_broker, cluster, "north")
    assert last[-1] == 5
    assert f"{last[-2]}" in told, "what was there before is printed"
    cluster.run("checkpoint", "reset", "orders", "--split", "south", *app)
    wrong = cluster.run(
        "checkpoint", "set", "orders", "--split", "south", "--to", "x", *app, status=1
    )
    assert "the cursor is an integer" in wrong

    calls = {region: len(cluster.resumed_behind(region)) for region in ("north", "south")}
    cluster.start("w1")
    cluster.wait_states("w1")
    assert cluster.resumed_behind("north")[calls["north"]] == 5
    assert cluster.resumed_behind("south")[calls["south"]] == 0


def test_F06_a_lost_checkpoint_is_told_from_a_first_start(
    make: Callable[..., Controlled], kafka_broker: Broker
) -> None:
    """The topic is deleted while nobody runs: nothing begins anew until somebody says so."""
    cluster = make()
    cluster.start("w1")
    cluster.wait_states("w1")
    wait_noted(kafka_broker, cluster)
    cluster.stop("w1")
    calls = {region: cluster.resumed_behind(region) for region in ("north", "south")}
    assert calls == {"north": [0], "south": [0]}, "the first start was none"
    delete(kafka_broker, topic_of(cluster))

    cluster.start("w1")
    lost = cluster.wait_states("w1", north="fatal", south="fatal")
    assert "its checkpoint is lost" in lost["north"]["reason"]
    url = ("--url", cluster.urls["w1"])
    assert "orders/north: fatal: " in cluster.run("status", *url, status=1)
    assert "is lost" in cluster.run("restart", "orders", "--split", "north", *url, status=1)
    how = ("--through-worker", cluster.urls["w1"], "-A", "controlled")
    cluster.run("checkpoint", "set", "orders", "--split", "north", "--to", "7", *how)
    cluster.run("checkpoint", "reset", "orders", "--split", "south", *how)
    cluster.wait_states("w1")
    assert cluster.resumed_behind("north") == [0, 7]
    assert cluster.resumed_behind("south") == [0, 0]

    cluster.stop("w1")
    cluster.start("w1")
    cluster.wait_states("w1")
    assert cluster.resumed_behind("north")[2] > 7


def test_F06_a_lost_checkpoint_begins_anew_where_that_was_declared(
    make: Callable[..., Controlled], kafka_broker: Broker
) -> None:
    cluster = make(ON_LOST="earliest")
    cluster.start("w1")
    cluster.wait_states("w1")
    wait_noted(kafka_broker, cluster)
    cluster.stop("w1")
    delete(kafka_broker, topic_of(cluster))
    cluster.start("w1")
    cluster.wait_states("w1")

    assert cluster.resumed_behind("north") == [0, 0]
    log = cluster.workers["w1"].output()
    assert "orders/north: its checkpoint is lost" in log
    assert "events are missing or come twice" in log


def wait_noted(broker: Broker, cluster: Controlled) -> None:
    """Wait until both splits are known to have been at work: two checkpoints after their start."""
    topic = f"{cluster.env['APP_ID']}-faust-grpc-births-checkpoint-changelog"
    wait_until(lambda: len(read_topic(broker.bootstrap, topic)) == 2, 60, "both are noted")


def delete(broker: Broker, topic: str) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    client.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in client.list_topics(timeout=10).topics, 30, "it is gone")
