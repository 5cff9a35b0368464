"""Workers that were halted between being allowed to write and writing, on a real broker.

What such a worker still does comes when its partition belongs to another one: the seal at its stop,
and the fencing at the beginning of a takeover. Here the moment is chosen, not waited for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import faust
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from support import OrderServer
from support.cluster import Cluster
from support.durable import DurableShop, sequences
from support.reading import read_records, wait_for_markers

from faust_grpc.checkpoints import Checkpoints
from faust_grpc.durable.saved import CheckpointRecord
from faust_grpc.durable.writers import ExactlyOnceWriter, Writing
from faust_grpc.exceptions import Fenced, WriteFailed
from faust_grpc.subscriptions import Lease
from faust_grpc.testing import Broker, wait_until
from faust_grpc.writers import TransactionalWriter

_numbers = itertools.count(1)
PARTITION = 1


class Owner:
    """What a worker of an application writes its checkpoints with.

    Arguments:
        broker: a real one.
        app_id: the same for all of its workers.
    """

    def __init__(self, broker: Broker, app_id: str) -> None:
        app = faust.App(app_id, broker=broker.url, topic_partitions=2, store="memory://")
        self.lease = Lease()
        self.checkpoints = Checkpoints(app, self.lease)
        # So long that nothing leaves before somebody looks, on however busy a machine.
        timeouts = {"linger.ms": 60_000, "message.timeout.ms": 120_000}
        self.checkpoints.kafka_options = {"bootstrap.servers": broker.bootstrap}
        self.plain_options = timeouts
        self.checkpoints.add("orders")
        self.checkpoints.use_transactions("orders")

    @property
    def topic(self) -> str:
        return self.checkpoints.topic("orders")

    def new_producer(self, settings: Mapping[str, Any]) -> Producer:
        return Producer({**settings, **self.checkpoints.kafka_options})

    @property
    def transactions(self) -> TransactionalWriter:
        assert self.checkpoints.transactions is not None
        return self.checkpoints.transactions

    async def take_over(self) -> None:
        """As a worker does that gained the partition."""
        await self.checkpoints.fence([PARTITION])
        self.checkpoints.own(frozenset([PARTITION]))

    async def save(self, cursor: int) -> None:
        """As a worker does that read so far."""
        saved = self.checkpoints.change(
            "orders", "north", PARTITION, lambda saved: replace(saved, cursor=cursor)
        )
        assert await self.checkpoints.write(await self.checkpoints.cut([]))
        await saved

    async def seal(self) -> None:
        """As a worker does at its stop."""
        await self.checkpoints.seal([PARTITION], {})

    def lose_lease(self) -> None:
        """As the clock does while a process is halted."""
        self.lease.until = time.monotonic() - 1


@pytest.fixture
def new_owner(kafka_broker: Broker) -> Iterator[Callable[[], Owner]]:
    """Workers of one application."""
    app_id, owners = f"stale{next(_numbers)}", []

    def new() -> Owner:
        owners.append(Owner(kafka_broker, app_id))
        if len(owners) == 1:
            admin = AdminClient({"bootstrap.servers": kafka_broker.bootstrap})
            topic = owners[0].topic
            admin.create_topics([NewTopic(topic, 2)])[topic].result(30)
        return owners[-1]

    yield new
    for owner in owners:
        owner.checkpoints.close()


def saved(broker: Broker, owner: Owner) -> list[int]:
    """Return every cursor in the topic, in order: the last counts."""
    wait_for_markers(broker.bootstrap, owner.topic)
    records = read_records(broker.bootstrap, owner.topic)
    return [json.loads(record.value or b"{}")["cursor"] for record in records]


# The seal


async def test_a_stop_seals_what_was_written_last(
    kafka_broker: Broker, new_owner: Callable[[], Owner]
) -> None:
    owner = new_owner()
    await owner.take_over()
    await owner.save(1)
    await owner.save(2)
    await owner.seal()
    assert saved(kafka_broker, owner) == [1, 2, 2]


async def test_a_seal_that_comes_late_is_not_written(
    kafka_broker: Broker, new_owner: Callable[[], Owner]
) -> None:
    """Halted before the seal; meanwhile another worker took over and wrote."""
    stale, owner = new_owner(), new_owner()
    await stale.take_over()
    await stale.save(1)
    stale.lose_lease()
    await owner.take_over()
    await owner.save(2)
    with pytest.raises(WriteFailed, match="no heartbeat"):
        await stale.seal()
    await owner.seal()
    assert saved(kafka_broker, owner) == [1, 2, 2]


async def test_a_seal_is_taken_back_that_was_written_too_late(
    kafka_broker: Broker, new_owner: Callable[[], Owner]
) -> None:
    """Halted in the middle of the seal, between a look at the lease and the record."""
    stale, owner = new_owner(), new_owner()
    await stale.take_over()
    await stale.save(1)
    ((record, _),) = stale.transactions.last.values()
    await owner.take_over()
    await owner.save(2)
    stale.checkpoints.kafka_options.update(stale.plain_options)
    looks = iter([True, False])
    with pytest.raises(WriteFailed, match="no heartbeat"):
        stale.checkpoints.plain.write([record], lambda: next(looks))
    # A producer that still had it would send it now.
    ((_, value, headers),) = record.items
    stale.checkpoints.plain.write([record._replace(items=[(b'"other"', value, headers)])])
    assert saved(kafka_broker, owner) == [1, 2, 1]
    keys = [record.key for record in read_records(kafka_broker.bootstrap, owner.topic)]
    assert keys == [b'"north"', b'"north"', b'"other"']


async def test_what_was_written_before_others_had_the_partition_is_no_seal(
    kafka_broker: Broker, new_owner: Callable[[], Owner]
) -> None:
    """A worker that gets its partition back, and stops before it wrote anything."""
    first, other = new_owner(), new_owner()
    await first.take_over()
    await first.save(1)
    await other.take_over()
    await other.save(2)
    await first.take_over()
    await first.seal()
    assert saved(kafka_broker, first) == [1, 2]


@pytest.mark.parametrize("read_only", [False, True])
async def test_what_others_wrote_behind_it_is_not_written_over(
    kafka_broker: Broker, new_owner: Callable[[], Owner], read_only: bool
) -> None:
    """A split with a sink writes its checkpoints by itself, into the same topic. What was written
    or found there before (at the recovery, say) is not the last any more."""
    owner = new_owner()
    await owner.take_over()
    await owner.save(1)
    others = dict(owner.transactions.last)
    if read_only:
        owner.transactions.last.clear()
    split = ExactlyOnceWriter(
        Writing(owner.topic, -1, f"{owner.topic}-split", 15.0, owner.new_producer, lambda: True)
    )
    split.open()
    (record, _) = next(iter(others.values()))
    ((key, _, headers),) = record.items
    split.commit(CheckpointRecord(owner.topic, PARTITION, key, b'{"cursor": 5}', headers))
    await owner.checkpoints.seal([PARTITION], others)
    assert saved(kafka_broker, owner) == [1, 5]


# The fencing


async def test_a_fencing_waits_for_the_lease(
    kafka_broker: Broker, new_owner: Callable[[], Owner], caplog: pytest.LogCaptureFixture
) -> None:
    """Halted between its assignment and the fencing: the new owner can go on writing."""
    stale, owner = new_owner(), new_owner()
    await owner.take_over()
    await owner.save(1)
    stale.lose_lease()
    with caplog.at_level(logging.WARNING, "faust_grpc.checkpoints"):
        fencing = asyncio.ensure_future(stale.take_over())
        await asyncio.to_thread(wait_until, lambda: "trying again" in caplog.text, 30)
    await owner.save(2)
    # A rebalance tells the stale one what became of its partition.
    await stale.checkpoints.stop_fencing()
    stale.lease.renew(60)
    await owner.save(3)
    fencing.cancel()
    with suppress(asyncio.CancelledError):
        await fencing
    assert saved(kafka_broker, owner) == [1, 2, 3]


def _producer(broker: Broker, transactional_id: str) -> Producer:
    return Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": transactional_id})


async def test_a_fencing_looks_at_the_lease_as_late_as_it_can(
    kafka_broker: Broker, new_owner: Callable[[], Owner]
) -> None:
    """Halted in the middle of the fencing, while it made its producer."""
    owner, may = new_owner(), [True]
    await owner.take_over()
    await owner.save(1)

    def halted(transactional_id: str) -> Producer:
        may[0] = False
        return _producer(kafka_broker, transactional_id)

    stale = TransactionalWriter(halted, owner.checkpoints.transactional_prefix)
    with pytest.raises(WriteFailed, match="no heartbeat"):
        stale.fence([PARTITION], lambda: may[0])
    stale.close()
    await owner.save(2)
    assert saved(kafka_broker, owner) == [1, 2]


async def test_an_owner_that_was_fenced_late_begins_anew(
    kafka_broker: Broker, new_owner: Callable[[], Owner]
) -> None:
    """Later than that nothing can be looked at. What the owner had not written is not written; it
    takes over again."""
    owner = new_owner()
    await owner.take_over()
    await owner.save(1)
    prefix = owner.checkpoints.transactional_prefix
    _producer(kafka_broker, f"{prefix}-{PARTITION}").init_transactions(30)
    with pytest.raises(Fenced, match="this worker was fenced off"):
        await owner.save(2)
    await owner.take_over()
    await owner.save(2)
    await owner.seal()
    assert saved(kafka_broker, owner) == [1, 2, 2]


async def test_a_split_with_a_sink_is_not_fenced_without_the_lease(kafka_broker: Broker) -> None:
    """The same of a split's own producer; it looks after that was made."""
    name, may = f"stale{next(_numbers)}", [True]

    def halted(settings: Mapping[str, Any]) -> Producer:
        may[0] = False
        return Producer({**settings, "bootstrap.servers": kafka_broker.bootstrap})

    def writer(new_producer: Callable[[Mapping[str, Any]], Producer]) -> ExactlyOnceWriter:
        return ExactlyOnceWriter(
            Writing(name, -1, f"{name}-north", 15.0, new_producer, may_write=lambda: may[0])
        )

    owner = writer(
        lambda settings: Producer({**settings, "bootstrap.servers": kafka_broker.bootstrap})
    )
    owner.open()
    owner.add(b"key", b"1", 0, None)
    stale = writer(halted)
    with pytest.raises(WriteFailed, match="no heartbeat"):
        stale.open()
    stale.abandon()
    owner.commit(None)
    wait_for_markers(kafka_broker.bootstrap, name)
    assert [record.value for record in read_records(kafka_broker.bootstrap, name)] == [b"1"]


# Whole workers that are fenced off although they own their partitions


def fence_off(cluster: Cluster, ids: list[str]) -> None:
    for name in ids:
        _producer(cluster.broker, name).init_transactions(30)


@pytest.mark.timeout(300)
def test_workers_recover_from_a_late_fencing(make_cluster: Callable[..., Cluster]) -> None:
    """Twice: their tables are exact, and the processes are the same."""
    cluster = make_cluster(delivery="exactly_once")
    cluster.start("w1", "w2")
    cluster.wait_settled()
    ids = [f"{cluster.shop.app_id}-faust-grpc-{partition}" for partition in range(8)]
    for _ in range(2):
        fence_off(cluster, ids)
        cluster.wait_processed(300)
        cluster.wait_settled(timeout=90)
    cluster.stop("w1", "w2")
    recovered = [
        member.output().count("partitions are recovered") for member in cluster.members.values()
    ]
    assert min(recovered) >= 2, recovered
    judgement = cluster.judge()
    assert judgement.problems == []
    assert judgement.lost == judgement.duplicates == judgement.unsaved == 0


@pytest.mark.timeout(300)
def test_splits_with_a_sink_recover_from_a_late_fencing(
    kafka_broker: Broker, start_go_order_server: Callable[..., OrderServer], tmp_path: Path
) -> None:
    shop = DurableShop(
        app_id="durable-fenced", topic="fenced-orders", sources={"orders": ("r0", "r1")}
    )
    with Cluster(kafka_broker, start_go_order_server(), tmp_path, shop) as cluster:
        cluster.start("w1", program="durable.py")
        cluster.wait_processed(200)
        for _ in range(2):
            fence_off(cluster, [f"{shop.app_id}-orders-{region}" for region in shop.regions])
            cluster.wait_processed(300)
        cluster.stop("w1")
        assert cluster.members["w1"].output().count("another worker took this split over") >= 4
    wait_for_markers(kafka_broker.bootstrap, shop.topic)
    for region, numbers in sequences(read_records(kafka_broker.bootstrap, shop.topic)).items():
        assert numbers == list(range(1, len(numbers) + 1)), region
