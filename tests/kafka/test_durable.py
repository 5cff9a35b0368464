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
from support.away import Away
from support.cluster import Cluster
from support.durable import DurableShop, sequences
from support.judge import read_topic
from support.orders import OrderServer
from support.reading import read_records, wait_for_markers

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
            regions: tuple[str, ...] = EIGHT,
            broker: Broker | None = None,
            env: dict[str, str] | None = None,
            **options: Any,
        ) -> Cluster:
            name = request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")
            options.setdefault("rate", 300)
            shop = DurableShop(
                app_id=f"durable-{name}",
                topic=f"{name}-orders",
                sources={"orders": regions},
                **options,
            )
            return ending.enter_context(
                Cluster(broker or kafka_broker, start_go_order_server(), tmp_path, shop, env)
            )

        yield make


def start(cluster: Cluster, *names: str) -> None:
    cluster.start(*names, program="durable.py")


def written(cluster: Cluster) -> dict[str, list[int]]:
    shop = cluster.shop
    assert isinstance(shop, DurableShop)
    return sequences(read_records(cluster.broker.bootstrap, shop.topic))


def checkpoint_topic(cluster: Cluster) -> str:
    return f"{cluster.shop.app_id}-orders-checkpoint-changelog"


def checkpoints(cluster: Cluster) -> dict[str, int]:
    records = read_topic(cluster.broker.bootstrap, checkpoint_topic(cluster))
    return {record.key: record.value["cursor"] for record in records}


def at_the_end(cluster: Cluster) -> tuple[dict[str, list[int]], dict[str, int]]:
    """Return what is in the topic and in the checkpoints, now that nobody writes."""
    shop = cluster.shop
    assert isinstance(shop, DurableShop)
    wait_for_markers(cluster.broker.bootstrap, shop.topic, checkpoint_topic(cluster))
    return written(cluster), checkpoints(cluster)


def explain(cluster: Cluster, wrong: dict[str, list[int]]) -> None:
    """Print what the topic has of wrong numbers that is not committed."""
    shop = cluster.shop
    assert isinstance(shop, DurableShop)
    records = read_records(cluster.broker.bootstrap, shop.topic, committed=False)
    for region, numbers in wrong.items():
        print(f"{region}: {len(numbers)} wrong: {numbers[:20]}")
        for record in records:
            order = json.loads(record.value or b"{}")
            if order["region"] == region and order["sequence"] in numbers[:20]:
                print(f"  {order['sequence']}: {record[:4]} {record.headers}")


def assert_once_and_in_order(cluster: Cluster, least: int = 1) -> None:
    """The topic has 1, 2, 3, … of every split, and ends where its checkpoint is."""
    found, saved = at_the_end(cluster)
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


@pytest.mark.timeout(600)
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
    cluster.wait_settled(timeout=90)
    cluster.wait_processed(300)
    cluster.stop("w1", "w2")
    assert_once_and_in_order(cluster, least=2000)
    assert cluster.overlaps() == []


@pytest.mark.timeout(300)
def test_kills_at_least_once(make_durable: Callable[..., Cluster], seed: int) -> None:
    """An idempotent producer, then the cursor: nothing is lost, and what is there twice is what was
    written since the last cursor."""
    kills = 3
    cluster, chance = make_durable(delivery="at_least_once"), random.Random(seed)
    start(cluster, "w1", "w2")
    for _ in range(kills):
        cluster.wait_processed(chance.randrange(50, 300))
        name = chance.choice(["w1", "w2"])
        cluster.kill(name)
        start(cluster, name)
    cluster.wait_settled(timeout=90)
    cluster.wait_processed(300)
    cluster.stop("w1", "w2")

    found, saved = at_the_end(cluster)
    for region, numbers in found.items():
        assert set(numbers) == set(range(1, saved[region] + 1)), region
        first = dict.fromkeys(numbers)
        assert list(first) == sorted(first), region
        again = len(numbers) - len(first)
        # A commit is due every 0.1 s; on a busy machine it takes longer.
        assert again <= kills * cluster.shop.rate * 3, region
    cluster.say(f"twice: { {region: len(n) - len(set(n)) for region, n in found.items()} }")
    assert cluster.overlaps() == []


@pytest.mark.timeout(300)
def test_a_zombie_writes_nothing(make_durable: Callable[..., Cluster]) -> None:
    """Halted for longer than its session, with transactions open: its splits go to the other
    worker; resumed, it cannot commit what it had, and is a member again."""
    cluster = make_durable()
    start(cluster, "w1", "w2")
    cluster.wait_settled(timeout=90)
    for name in ("w1", "w2"):
        cluster.halt(name)
        cluster.wait_settled(timeout=90)
        cluster.wait_processed(300)
        cluster.resume(name)
        cluster.wait_settled(timeout=90)
    cluster.stop("w1", "w2")
    assert_once_and_in_order(cluster, least=600)


@pytest.mark.timeout(300)
def test_released_in_the_middle_of_commits(make_durable: Callable[..., Cluster]) -> None:
    """A rebalance that ends while a commit is under way delivers nothing into its transaction: that
    would be in the topic behind the cursor, and come again after a takeover."""
    cluster = make_durable(regions=("r0", "r1"), flicker=True)
    start(cluster, "w1")
    for _ in range(2):
        cluster.wait_processed(600)
        cluster.kill("w1")
        start(cluster, "w1")
    cluster.wait_processed(300)
    cluster.stop("w1")
    assert_once_and_in_order(cluster, least=1200)


@pytest.mark.parametrize("build", ["compiled", "pure"])
def test_agents_read_all_of_it(make_durable: Callable[..., Cluster], build: str) -> None:
    """Agents of the source, on two workers, get every order from the topic."""
    env = {"NO_CYTHON": "1"} if build == "pure" else {}
    cluster = make_durable(regions=("r0", "r1", "r2", "r3"), agent=True, limit=1000, env=env)
    start(cluster, "w1", "w2")

    def read() -> dict[str, list[list[int]]]:
        parts = [cluster.status(name).get("read", {}) for name in ("w1", "w2")]
        return {
            r: [span for part in parts for span in part.get(r, [])] for r in cluster.shop.regions
        }

    def all_of_it() -> bool:
        return all(
            sum(last - first + 1 for first, last in spans) >= 1000 for spans in read().values()
        )

    cluster.wait(all_of_it, 90, "agents to get 1000 orders of each region")
    cluster.stop("w1", "w2")
    assert_once_and_in_order(cluster, least=1000)
    for region, spans in read().items():
        # A rebalance may have Faust deliver again what its group had not committed.
        numbers = {n for first, last in spans for n in range(first, last + 1)}
        assert numbers == set(range(1, 1001)), region


@pytest.mark.timeout(900)
def test_K04_broker_away(away: Away) -> None:
    """The broker is away for a minute: memory and buffers are bounded, the server is held back, no
    cursor is saved beyond what is written, and nothing is lost or there twice."""
    found = away.found()
    print(f"read ahead at most {found.read_ahead}")
    assert set(found.read_ahead) == found.durable.shop.regions
    assert max(found.read_ahead.values()) <= 4096 + 1
    assert found.grown["durable"] < 200e6
    assert_once_and_in_order(found.durable, least=4000)
