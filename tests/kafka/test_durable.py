"""Into a topic, on a real broker: every order once and in order, whatever happens to the workers.

What is judged is read back from the topic, committed records only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.cluster import Cluster
from support.durable import DurableShop, read_written, sequences
from support.judge import read_topic
from support.orders import OrderServer

from faust_grpc.kafka import check_transactions, is_mock
from faust_grpc.testing import Broker

EIGHT = tuple(f"r{number}" for number in range(8))


@pytest.fixture
def make_durable(
    kafka_broker: Broker,
    start_go_order_server: Callable[..., OrderServer],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Cluster]]:
    """``make_durable(regions=EIGHT, broker=None, **options of DurableShop)``."""
    with ExitStack() as ending:

        def make(
            regions: tuple[str, ...] = EIGHT, broker: Broker | None = None, **options: Any
        ) -> Cluster:
            name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")
            options.setdefault("session_seconds", 3.0)
            options.setdefault("rate", 300)
            shop = DurableShop(
                app_id=f"durable-{name}",
                topic=f"{name}-orders",
                sources={"orders": regions},
                **options,
            )
            return ending.enter_context(
                Cluster(broker or kafka_broker, start_go_order_server(), tmp_path, shop)
            )

        yield make


def start(cluster: Cluster, *names: str) -> None:
    cluster.start(*names, program="durable.py")


def written(cluster: Cluster) -> dict[str, list[int]]:
    shop = cluster.shop
    assert isinstance(shop, DurableShop)
    return sequences(read_written(cluster.broker.bootstrap, shop.topic))


def checkpoints(cluster: Cluster) -> dict[str, int]:
    topic = f"{cluster.shop.app_id}-orders-checkpoint-changelog"
    records = read_topic(cluster.broker.bootstrap, topic)
    return {record.key: record.value["cursor"] for record in records}


def explain(cluster: Cluster, wrong: dict[str, list[int]]) -> None:
    """Print what the topic has of wrong numbers that is not committed."""
    shop = cluster.shop
    assert isinstance(shop, DurableShop)
    records = read_written(cluster.broker.bootstrap, shop.topic, committed=False)
    for region, numbers in wrong.items():
        print(f"{region}: {len(numbers)} wrong: {numbers[:20]}")
        for record in records:
            order = json.loads(record.value or b"{}")
            if order["region"] == region and order["sequence"] in numbers[:20]:
                print(f"  {order['sequence']}: {record[:4]} {record.headers}")


def assert_once_and_in_order(cluster: Cluster, least: int = 1) -> None:
    """The topic has 1, 2, 3, … of every split, and ends where its checkpoint is."""
    found, saved = written(cluster), checkpoints(cluster)
    assert set(found) == cluster.shop.regions
    wrong = {
        region: sorted(set(numbers) ^ set(range(1, saved[region] + 1)))
        for region, numbers in found.items()
        if numbers != list(range(1, saved[region] + 1))
    }
    if wrong:
        explain(cluster, wrong)
    assert not wrong
    assert min(map(len, found.values())) >= least
    cluster.say(f"once and in order: { {region: len(n) for region, n in found.items()} }")


def test_a_real_broker_is_no_mock(kafka_broker: Broker) -> None:
    options = {"bootstrap.servers": kafka_broker.bootstrap}
    assert not is_mock(options)
    check_transactions(options, "orders")


@pytest.mark.timeout(300)
def test_ten_kills_exactly_once(make_durable: Callable[..., Cluster], seed: int) -> None:
    """Two workers, of which one after the other is killed at a random moment and comes back."""
    cluster, chance = make_durable(), random.Random(seed)
    start(cluster, "w1", "w2")
    cluster.wait_processed(200)
    for _ in range(10):
        name = chance.choice(["w1", "w2"])
        more = chance.randrange(20, 300)
        cluster.wait_processed(more)
        cluster.kill(name)
        start(cluster, name)
    cluster.wait_processed(300)
    cluster.stop("w1", "w2")
    assert_once_and_in_order(cluster, least=2000)
    assert cluster.overlaps() == []
