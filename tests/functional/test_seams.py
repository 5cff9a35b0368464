"""Each private part of a host that we touch: these tests fail when the host changes it."""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from faust.streams import _current_event
from faust.types.tuples import TP, Message
from mode import Service
from mode.supervisors import OneForOneSupervisor

from faust_grpc import seams
from faust_grpc.acks import Delivery
from faust_grpc.changelog import Changelog
from faust_grpc.exceptions import HostError, MixedTable, PartitionNotOwned
from faust_grpc.messages import SourceMessage
from faust_grpc.seams.group import FETCH_SECONDS
from faust_grpc.streams import SourceIteration
from faust_grpc.testing import broker

APPS: list[faust.App] = []
REFUSED: list[HostError] = []


def new_app(**settings: Any) -> faust.App:
    defaults = {"broker": "kafka://127.0.0.1:1", "store": "memory://"}
    app = faust.App("seams", **{**defaults, **settings})
    APPS.append(app)
    return app


@pytest.fixture(autouse=True)
def consumers_closed() -> Iterator[None]:
    """Close the loop that Faust makes for a consumer thread, also when it is never started."""
    yield
    for app in APPS:
        if app._consumer is not None:
            app._consumer._thread.thread_loop.close()  # type: ignore[attr-defined]
    APPS.clear()
    REFUSED.clear()


class Finished:
    """Stands for a split: told when a message is finished."""

    is_live = True

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []

    def acked(self, delivery: Delivery) -> None:
        self.deliveries.append(delivery)


def source_message(partition: int, split: Any = None) -> SourceMessage:
    delivery = Delivery(1, 1, ((None, None, None),))  # type: ignore[arg-type]
    return SourceMessage(split, TP("orders", partition), delivery, None, None, 0.0, 0.0, 1)


def enter(app: faust.App, message: Message) -> faust.Event:
    """Go on as if inside the processing of an event, as an agent does."""
    event = faust.Event(app, None, None, None, message)
    _current_event.set(weakref.ref(event))
    return event


# The Stream setting


async def test_streams_of_the_app_are_ours_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        app = new_app()
        app.on_after_configured.connect(lambda *_, **__: seams.install_stream(app))
        assert isinstance(app.stream(app.channel()), SourceIteration)


async def test_a_stream_class_of_the_users_is_kept() -> None:
    class Theirs(faust.Stream):
        pass

    app = new_app(Stream=Theirs)
    seams.install_stream(app)
    seams.install_stream(app)
    stream = app.stream(app.channel())
    assert isinstance(stream, Theirs)
    assert isinstance(stream, SourceIteration)
    assert [cls.__name__ for cls in type(stream).__mro__].count("SourceIteration") == 1


# The producer


async def test_what_a_sources_event_sends_is_followed_until_it_arrived() -> None:
    """With a real broker: ``send`` as agents, sinks and ``forward`` use it, and ``send_soon``."""
    with broker("mock") as started:
        app = new_app(broker=f"kafka://{started.bootstrap}", topic_allow_declare=False)
        followed: list[asyncio.Future[Any]] = []
        seams.follow_sends(app, followed.append)
        topic = app.topic("out", value_type=str)
        async with app.producer:  # type: ignore[attr-defined]
            await (await topic.send(value="by a timer"))
            assert followed == []
            event = enter(app, source_message(0))
            await topic.send(value="by an agent")
            await event.forward(topic, value="by a stream")
            topic.send_soon(value="by a table")
            assert len(followed) == 3
            arrived = await asyncio.wait_for(asyncio.gather(*followed), 30)
            assert all(one.offset is not None for one in arrived)


# Tables


async def test_the_checkpoint_is_in_memory_whatever_the_apps_store() -> None:
    app = new_app(store="rocksdb://")
    table = seams.CheckpointTable(app, name="orders-checkpoint")
    table.remember("main", 3, {"cursor": 7})
    assert table["main"] == {"cursor": 7}
    assert type(table.data).__module__ == "faust.stores.memory"


async def test_table_writes_of_our_events_go_to_the_changelog() -> None:
    app = new_app()
    changelog = Changelog()
    changelog.own([2])
    plain, windowed, of_sets = (
        app.Table("plain", default=int),
        app.Table("windowed", default=int).tumbling(10.0),
        app.SetTable("sets"),
    )
    for table in (plain, windowed.table, of_sets):
        seams.take_over_changelog(table, changelog, REFUSED.append)
    event = enter(app, source_message(2))
    plain["a"] += 1
    plain["a"] += 1
    del plain["a"]
    plain["b"] = 5
    windowed["w"] += 1
    of_sets["s"].add("x")
    of_sets["s"].add("y")
    assert event is not None
    (batch,) = changelog.snapshot()
    assert batch.partition == 2
    written = {writes.table.name: writes for writes in batch.writes}
    assert written["plain"].values == {"a": (None, None, "raw"), "b": (5, None, None)}
    assert len(written[windowed.table.name].values) == 1
    assert len(written["sets"].operations) == 2, "set tables log every operation"
    assert plain.data._key_partition["b"] == 2
    assert changelog.snapshot() == []


async def test_a_write_for_a_partition_of_another_worker_is_refused() -> None:
    app = new_app()
    changelog = Changelog()
    changelog.own([0])
    table = app.Table("stock", default=int)
    seams.take_over_changelog(table, changelog, REFUSED.append)
    event = enter(app, source_message(1))
    with pytest.raises(PartitionNotOwned, match="partition 1"):
        table["a"] = 1
    assert "a" not in table.data, "refused before the store is touched"
    assert not REFUSED, "only this event: another worker has the partition"
    assert event is not None


async def test_events_that_every_worker_sees_cannot_write_tables() -> None:
    app = new_app()
    table = app.Table("stock", default=int)
    unwritten = Changelog()
    seams.take_over_changelog(table, unwritten, REFUSED.append)
    event = enter(app, source_message(-1))
    with pytest.raises(HostError, match="scope='worker'"):
        table["a"] = 1
    assert len(REFUSED) == 1
    assert event is not None


async def test_a_table_of_two_kinds_of_writers_is_refused() -> None:
    app = new_app()
    changelog = Changelog()
    changelog.own([0])
    table = app.Table("stock", default=int)
    seams.take_over_changelog(table, changelog, REFUSED.append)
    ours = enter(app, source_message(0))
    table["a"] = 1
    theirs = enter(app, Message("topic", 0, 1, 0.0, 1, None, None, None, None))
    with pytest.raises(MixedTable, match="'stock'"):
        table["a"] = 2
    assert len(REFUSED) == 1
    assert (ours, theirs) != (None, None)


# Messages


@pytest.mark.parametrize("through_ack", [True, False])
async def test_the_final_ack_is_seen(through_ack: bool) -> None:
    split = Finished()
    message = source_message(0, split)
    if through_ack:
        message.ack(None)
    else:
        message.acked = True  # all that the compiled build of Faust does
    message.ack(None)
    message.finish()
    assert split.deliveries == [message.delivery]


def test_every_attribute_of_a_faust_message_is_set() -> None:
    message = source_message(0)
    plain = Message("t", 0, 0, 0.0, 1, None, None, None, None)
    for name in Message.__slots__:
        if name != "__weakref__" and hasattr(plain, name):
            getattr(message, name)


# Agents


class Crashing(Service):
    """Crashes as soon as it is started, a number of times."""

    starts = 0
    enough: asyncio.Event

    async def on_started(self) -> None:
        type(self).starts += 1
        if self.starts < 6:
            await self.crash(RuntimeError("again"))
            assert self.supervisor is not None
            self.supervisor.wakeup()
        else:
            self.enough.set()


async def test_an_agent_that_crashes_again_and_again_is_restarted() -> None:
    Crashing.starts, Crashing.enough = 0, asyncio.Event()
    supervisor = seams.RestartingSupervisor(max_restarts=100.0, over=1.0)
    supervisor.add(Crashing())
    await supervisor.start()
    # mode waits 5 s after every lost wake-up (25 s here), and exits at a quick third crash.
    await asyncio.wait_for(Crashing.enough.wait(), 20)
    await supervisor.stop()


async def test_agents_of_a_source_get_our_supervisor_unless_they_have_one() -> None:
    app = new_app()
    channel, other = app.channel(), app.channel()

    class Theirs(OneForOneSupervisor):
        pass

    @app.agent(channel)
    async def plain(stream: Any) -> None: ...

    @app.agent(channel, supervisor_strategy=Theirs)
    async def chosen(stream: Any) -> None: ...

    @app.agent(other)
    async def unrelated(stream: Any) -> None: ...

    names = seams.restart_agents(app, channel)
    assert [name.rpartition(".")[2] for name in names] == ["plain", "chosen"]
    assert plain.supervisor_strategy is seams.RestartingSupervisor
    assert chosen.supervisor_strategy is Theirs
    assert unrelated.supervisor_strategy is None


# The consumer


async def test_answered_heartbeats_are_seen() -> None:
    answered = asyncio.Event()
    with broker("mock") as kafka:
        consumer = AIOKafkaConsumer(
            "a-topic",
            bootstrap_servers=kafka.bootstrap,
            group_id="g",
            heartbeat_interval_ms=50,
            metadata_max_age_ms=500,
        )
        await consumer.start()
        try:
            thread = SimpleNamespace(_ensure_consumer=lambda: consumer)
            app: Any = SimpleNamespace(
                consumer=SimpleNamespace(_thread=thread),
                conf=SimpleNamespace(broker_session_timeout=10.0),
            )
            seams.watch_heartbeats(app, answered.set)
            seams.watch_heartbeats(app, lambda: pytest.fail("watched twice"))
            await asyncio.wait_for(answered.wait(), 20)
        finally:
            await consumer.stop()


def test_faust_still_has_what_a_rejoin_needs() -> None:
    from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

    assert callable(AIOKafkaConsumerThread.call_thread)
    assert callable(AIOKafkaConsumerThread._ensure_consumer)
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    assert callable(GroupCoordinator.request_rejoin)


async def test_recovery_seeks_between_fetches() -> None:
    """Against the objects that Faust makes: a fetch under way ends before positions are set."""
    app = new_app()
    consumer: Any = app.consumer
    recovery: Any = app.tables.recovery  # type: ignore[attr-defined]
    happened: list[str] = []
    may_end = asyncio.Event()

    async def fetch(active_partitions: set[TP], timeout: float) -> dict[TP, list[Any]]:
        assert timeout <= FETCH_SECONDS
        await may_end.wait()
        happened.append(f"fetched from {len(active_partitions)}")
        return {}

    async def seek(partitions: Any) -> None:
        happened.append("sought")

    consumer._thread.getmany, consumer.seek_wait = fetch, seek
    seams.seek_between_fetches(app)
    active = {TP("changelog", 0)}
    fetching = asyncio.create_task(consumer._getmany(active_partitions=active, timeout=1.0))
    await asyncio.sleep(0)
    active.add(TP("changelog", 1))  # what resume_partitions does to the set that Faust passes
    seeking = asyncio.create_task(
        recovery._seek_offsets(consumer, {TP("changelog", 0)}, {TP("changelog", 0): 7}, "active")
    )
    await asyncio.sleep(0)
    assert happened == []
    may_end.set()
    await asyncio.gather(fetching, seeking)
    assert happened == ["fetched from 1", "sought"]


def test_agents_of_a_source_with_a_sink_read_its_topic() -> None:
    """As if it had been declared with the topic, whatever Faust made of it before."""
    app = new_app()
    topic, channel = app.topic("orders"), app.channel()

    @app.agent(channel)
    async def ours(stream: Any) -> None:
        """Read a source."""

    @app.agent(app.channel())
    async def other(stream: Any) -> None:
        """Read something else."""

    assert ours.channel is channel
    assert seams.redirect_agents(app, channel, topic) == [ours.name]
    assert ours.channel is topic
    assert list(ours.get_topic_names()) == ["orders"]
    assert ours.channel_iterator.get_topic_name() == "orders"
    assert other.channel is not topic


async def test_the_time_of_an_assignment_is_noted_and_the_assignment_made() -> None:
    """By the name under which aiokafka's coordinator calls it."""
    app = new_app()
    noted: list[float] = []
    seams.note_assignments(app, noted.append)
    assignor: Any = app.assignor
    with pytest.raises(AttributeError):
        assignor.on_assignment(None)  # Faust's own looks into it
    assert len(noted) == 1
