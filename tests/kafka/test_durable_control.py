"""People control splits that are written into a topic, and a checkpoint of theirs is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from support import OrderServer
from support.controlled import REGIONS, Controlled
from support.durable import sequences
from support.judge import read_topic
from support.reading import read_records, wait_for_markers

from faust_grpc.testing import Broker, wait_until

SINK = "controlled-orders"
APP = ("-A", "controlled")


@pytest.fixture
def make(
    request: pytest.FixtureRequest, order_server: OrderServer, tmp_path: Path
) -> Iterator[Callable[..., Controlled]]:
    """``make(broker, regions=..., **env)``: a cluster whose workers are still to be started."""
    with ExitStack() as stack:

        def made(broker: Broker, **options: str) -> Controlled:
            cluster = Controlled(broker, order_server, tmp_path, **options)  # type: ignore[arg-type]
            cluster.env["SINK"] = f"{cluster.env['APP_ID']}-{SINK}"
            return stack.enter_context(cluster)

        yield made


def checkpoints(broker: Broker, cluster: Controlled) -> dict[str, dict[str, object]]:
    """Return what is saved last of each region."""
    topic = f"{cluster.env['APP_ID']}-orders-checkpoint-changelog"
    return {record.key: record.value for record in read_topic(broker.bootstrap, topic)}


def born(broker: Broker, cluster: Controlled) -> set[str]:
    """Return the regions that are known to have been at work."""
    topic = f"{cluster.env['APP_ID']}-faust-grpc-births-checkpoint-changelog"
    return {record.key.removeprefix("orders/") for record in read_topic(broker.bootstrap, topic)}


def written(broker: Broker, cluster: Controlled) -> dict[str, list[int]]:
    """Return what is in the topic, now that nobody writes."""
    topic = cluster.env["SINK"]
    if broker.kind != "mock":
        wait_for_markers(broker.bootstrap, topic)
    return sequences(read_records(broker.bootstrap, topic))


def lose_checkpoints(broker: Broker, cluster: Controlled) -> None:
    """Delete the topic of the checkpoints while nobody runs."""
    topic = f"{cluster.env['APP_ID']}-orders-checkpoint-changelog"
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    client.delete_topics([topic])[topic].result(30)
    wait_until(lambda: topic not in client.list_topics(timeout=10).topics, 30, "it is gone")


@pytest.fixture(params=["at_least_once", "exactly_once"])
def guarantee(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def broker_of(request: pytest.FixtureRequest, guarantee: str) -> Broker:
    """The mock broker, unless transactions are at stake."""
    name = "kafka_broker" if guarantee == "exactly_once" else "mock_broker"
    found: Broker = request.getfixturevalue(name)
    return found


@pytest.mark.timeout(300)
def test_pauses_and_cursors_survive_those_who_read(
    make: Callable[..., Controlled], broker_of: Broker, guarantee: str
) -> None:
    """A pause holds over a rebalance and over restarts, with its cursor; any worker can be asked.
    A cursor that was set is resumed behind, by whoever has the split next, too."""
    cluster = make(broker_of, DELIVERY=guarantee)
    cluster.start("w1", "w2")
    cluster.wait_states("w1")
    cluster.wait_cursors("w1", least=20)

    cluster.run("pause", "orders", "--url", cluster.urls["w1"], "--reason", "inventory")
    paused = cluster.wait_states("w2", **dict.fromkeys(REGIONS, "paused"))
    assert {split["reason"] for split in paused.values()} == {"inventory"}
    # What the command said is done is kept.
    saved = checkpoints(broker_of, cluster)
    assert {one["paused"] for one in saved.values()} == {"inventory"}
    for region in ("east", "west"):
        cluster.run("resume", "orders", "--split", region, "--url", cluster.urls["w2"])
    cluster.wait_states("w1", north="paused", south="paused")
    calls = {region: cluster.resumed_behind(region) for region in REGIONS}

    cluster.stop("w1")
    cluster.wait_states("w2", north="paused", south="paused")
    cluster.stop("w2")
    cluster.start("w1")
    told = cluster.wait_states("w1", north="paused", south="paused")
    for region in ("north", "south"):
        assert cluster.resumed_behind(region) == calls[region], "nobody called meanwhile"
        assert told[region]["cursor"] == saved[region]["cursor"]
        assert told[region]["reason"] == "inventory"
    shown = cluster.run("checkpoint", "show", "orders", *APP)
    assert shown.count("paused: inventory") == 2

    # A cursor that a worker set while the split was paused: it stays paused, and is resumed there.
    url = cluster.urls["w1"]
    to = ("--through-worker", url, *APP)
    cluster.run("checkpoint", "set", "orders", "--split", "south", "--to", "7", *to)
    cluster.wait_states("w1", north="paused", south="paused")
    assert checkpoints(broker_of, cluster)["south"] == {"cursor": 7, "paused": "inventory"}
    cluster.run("restart", "orders", "--split", "north", "--url", url)
    cluster.run("resume", "orders", "--split", "south", "--url", url)
    cluster.wait_states("w1")
    assert cluster.resumed_behind("south")[-1] == 7
    assert cluster.resumed_behind("north")[-1] == saved["north"]["cursor"]
    # And of one that is being read.
    cluster.run("checkpoint", "reset", "orders", "--split", "west", *to)
    wait_until(lambda: cluster.resumed_behind("west")[-1] == 0, 30, "west from the start")
    cluster.wait_states("w1")
    cluster.stop("w1")

    assert all(not one.get("paused") for one in checkpoints(broker_of, cluster).values())
    found = written(broker_of, cluster)
    for region, numbers in found.items():
        last = checkpoints(broker_of, cluster)[region]["cursor"]
        assert set(numbers) >= set(range(1, int(str(last)) + 1)), region
    if guarantee == "exactly_once":
        for region in ("north", "east"):  # whose cursors nobody moved
            assert sorted(found[region]) == list(range(1, len(found[region]) + 1))


@pytest.mark.timeout(180)
def test_cursors_are_changed_while_nobody_runs_and_only_then(
    make: Callable[..., Controlled], kafka_broker: Broker
) -> None:
    cluster = make(kafka_broker, regions=["north", "south"], DELIVERY="exactly_once")
    cluster.start("w1")
    cluster.wait_states("w1")
    cluster.wait_cursors("w1", least=20)
    change = ("checkpoint", "set", "orders", "--split", "north", "--to", "5", *APP)
    assert "--through-worker" in cluster.run(*change, status=1)
    cluster.stop("w1")

    # A worker that was halted, and believes in its splits, can commit nothing over the change.
    halted = Producer(
        {
            "bootstrap.servers": kafka_broker.bootstrap,
            "transactional.id": f"{cluster.env['APP_ID']}-orders-north",
        }
    )
    halted.init_transactions(30)
    halted.begin_transaction()
    halted.produce(cluster.env["SINK"], b"{}")
    halted.flush(30)
    cluster.run(*change)
    with pytest.raises(KafkaException, match="fenced"):
        halted.commit_transaction(30)
    cluster.run("checkpoint", "reset", "orders", "--split", "south", *APP)
    calls = {region: len(cluster.resumed_behind(region)) for region in ("north", "south")}
    cluster.start("w1")
    cluster.wait_states("w1")
    assert cluster.resumed_behind("north")[calls["north"]] == 5
    assert cluster.resumed_behind("south")[calls["south"]] == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_F06_a_lost_checkpoint_is_told_from_a_first_start(
    make: Callable[..., Controlled], kafka_broker: Broker, guarantee: str
) -> None:
    """The topic is deleted while nobody runs: nothing begins anew until somebody says so."""
    cluster = make(kafka_broker, regions=["north", "south"], DELIVERY=guarantee)
    cluster.start("w1")
    cluster.wait_states("w1")
    wait_until(lambda: born(kafka_broker, cluster) == {"north", "south"}, 60, "both are noted")
    cluster.stop("w1")
    calls = {region: cluster.resumed_behind(region) for region in ("north", "south")}
    assert calls == {"north": [0], "south": [0]}, "the first start was none"
    lose_checkpoints(kafka_broker, cluster)
    before = written(kafka_broker, cluster)

    cluster.start("w1")
    lost = cluster.wait_states("w1", north="fatal", south="fatal")
    assert "its checkpoint is lost" in lost["north"]["reason"]
    url = ("--url", cluster.urls["w1"])
    for command in ("restart", "resume", "pause"):
        told = cluster.run(command, "orders", "--split", "north", *url, status=1)
        assert "is lost" in told, command
    how = ("--through-worker", cluster.urls["w1"], *APP)
    cluster.run("checkpoint", "set", "orders", "--split", "north", "--to", "7", *how)
    cluster.wait_states("w1", south="fatal")
    cluster.stop("w1")
    assert written(kafka_broker, cluster)["south"] == before["south"]

    # One was told where to go on; the other is as lost as before.
    cluster.start("w1")
    cluster.wait_states("w1", south="fatal")
    how = ("--through-worker", cluster.urls["w1"], *APP)
    cluster.run("checkpoint", "reset", "orders", "--split", "south", *how)
    cluster.wait_states("w1")
    assert cluster.resumed_behind("north")[1] == 7
    assert cluster.resumed_behind("north")[2] > 7
    assert cluster.resumed_behind("south") == [0, 0]


@pytest.mark.timeout(180)
def test_F06_a_lost_checkpoint_begins_anew_where_that_was_declared(
    make: Callable[..., Controlled], kafka_broker: Broker
) -> None:
    cluster = make(
        kafka_broker, regions=["north", "south"], DELIVERY="exactly_once", ON_LOST="earliest"
    )
    cluster.start("w1")
    cluster.wait_states("w1")
    wait_until(lambda: born(kafka_broker, cluster) == {"north", "south"}, 60, "both are noted")
    cluster.stop("w1")
    lose_checkpoints(kafka_broker, cluster)
    cluster.start("w1")
    cluster.wait_states("w1")
    assert cluster.resumed_behind("north") == [0, 0]
    log = cluster.workers["w1"].output()
    assert "orders/north: its checkpoint is lost" in log
    assert "events are missing or come twice" in log
