"""Every place where private parts of Faust, mode or aiokafka are touched, and why.

Each entry says what is touched, what for, and since which version it is known to be so. Each has
a test in ``tests/functional/test_seams.py`` that fails when the host changes it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import faust
from faust import current_event
from faust.stores.memory import Store as MemoryStore
from faust.tables.base import Collection
from faust.tables.table import Table
from faust.types import AppT
from mode.supervisors import OneForOneSupervisor
from mode.utils.imports import symbol_by_name
from mode.worker import Worker

from .changelog import Changelog, Write
from .exceptions import HostError, MixedTable
from .messages import SourceMessage
from .streams import stream_class

__all__ = [
    "CheckpointTable",
    "RestartingSupervisor",
    "ask_for_rejoin",
    "end_worker",
    "install_stream",
    "restart_agents",
    "seek_between_fetches",
    "show_activity",
    "take_over_changelog",
    "watch_heartbeats",
]

#: How long one fetch may wait for records: recovery waits for the end of the last one.
FETCH_SECONDS = 0.2


def install_stream(app: AppT) -> None:
    """Make the app's streams iterate sources with our loop.

    Touches the storage of the ``Stream`` setting, because reading and then setting the setting
    itself warns; again after every configuration, because a late ``config_from_object`` makes a
    new settings object. faust-streaming 0.15.
    """
    setting: Any = type(app.conf).Stream
    chosen = symbol_by_name(getattr(app.conf, setting.storage_name))
    setattr(app.conf, setting.storage_name, stream_class(chosen))


class CheckpointTable(Table):  # type: ignore[type-arg]
    """The table that holds a source's cursors, always in memory.

    Overrides ``Collection._new_store``: ``store="memory://"`` is a falsy URL, for which Faust
    takes the app's store instead. faust-streaming 0.15.
    """

    def _new_store(self) -> Any:
        return self._new_store_by_url("memory://")

    def remember(self, key: str, partition: int, value: Any) -> None:
        """Keep what was written to the changelog. Touches ``_key_partition``, see below."""
        store: Any = self.data
        store.data[key] = value
        store._key_partition[key] = partition


def take_over_changelog(
    table: Collection, changelog: Changelog, refuse: Callable[[HostError], None]
) -> None:
    """Send the table writes of a source's events to our changelog; leave others to Faust.

    Replaces the instance's ``send_changelog``, which ``on_key_set`` and ``on_key_del`` call.
    faust-streaming 0.15.

    Arguments:
        table: any table of the app but a checkpoint.
        changelog: where writes go.
        refuse: called with what is wrong before it is raised, when no event of a source may write
            this table: Faust acks the event of an agent that raises, so the worker must end.
    """
    plain = table.send_changelog
    store = table.data
    # Faust records a key's partition in a memory store only when it recovers the key. Without it
    # keys written here stay in memory after their partition moved away.
    partitions = store._key_partition if isinstance(store, MemoryStore) else None
    writers: set[bool] = set()

    def send_changelog(
        partition: int | None,
        key: Any,
        value: Any,
        key_serializer: Any = None,
        value_serializer: Any = None,
    ) -> Any:
        event = current_event()
        ours = event is not None and isinstance(event.message, SourceMessage)
        writers.add(ours)
        if len(writers) > 1 or ours:
            error = _misuse(table, partition, mixed=len(writers) > 1)
            if error is not None:
                refuse(error)
                raise error
        if not ours:
            return plain(partition, key, value, key_serializer, value_serializer)
        assert partition is not None
        changelog.add(partition, Write(table, key, value, key_serializer, value_serializer))
        if partitions is not None:
            partitions[key] = partition
        # What on_key_set and on_key_del want back.
        return SimpleNamespace(message=SimpleNamespace(partition=partition))

    table.send_changelog = send_changelog  # type: ignore[method-assign]


def _misuse(table: Collection, partition: int | None, *, mixed: bool) -> HostError | None:
    """Return why a source's event may not write a table."""
    wanted = table.app.conf.topic_partitions
    if mixed:
        return MixedTable(
            f"table {table.name!r} is written by the events of a gRPC source and by other events: "
            "use two tables, or bring them together with group_by()"
        )
    if partition is None:
        return HostError(
            f"table {table.name!r} has use_partitioner=True: a source's events can write only the "
            "partition they belong to"
        )
    if partition < 0:
        return HostError(
            f"table {table.name!r}: events of a scope='worker' source are in every worker and "
            "cannot write a table; keep a plain dict"
        )
    if table.partitions not in (None, wanted):
        return HostError(
            f"table {table.name!r} has partitions={table.partitions}, but the app has "
            f"topic_partitions={wanted}: a source's events can write only tables with as many; "
            "leave partitions= out of the table"
        )
    return None


class RestartingSupervisor(OneForOneSupervisor):
    """Restarts a crashed agent at once, again and again, and never ends the worker.

    mode's own waits 5 s when an agent crashes while another restart is under way (the wake-up is
    lost), and ends the worker on two crashes within 10 ms. Overrides ``wakeup``,
    ``restart_service`` and ``raises``. mode-streaming 0.7.
    """

    def __init__(self, *services: Any, **options: Any) -> None:
        # ``raises=None`` makes the token bucket wait instead of raising.
        super().__init__(*services, **{**options, "raises": None})

    async def restart_service(self, service: Any) -> None:
        """Replace a crashed service by one that counts as started.

        Faust's replacement runs, but the supervisor only looks for crashes of started services:
        the next crash would be seen at the second look after it, 5 s later.
        """
        index = self._index[service]
        await super().restart_service(service)
        await self._services[index].maybe_start()

    def wakeup(self) -> None:
        """Look for crashed services now, or as soon as the current look is over."""
        if self._please_wakeup is None and not self.should_stop:
            self.loop.call_later(0.01, self.wakeup)
        else:
            super().wakeup()


def restart_agents(app: AppT, channel: faust.Channel[Any]) -> list[str]:
    """Give the agents of a source the supervisor above, unless their author chose one.

    Touches ``Agent._channel_arg`` (reading ``Agent.channel`` too early would configure it).
    faust-streaming 0.15.

    Returns:
        The names of the agents that read the channel.
    """
    names = []
    for agent in app.agents.values():
        if getattr(agent, "_channel_arg", None) is channel:
            names.append(agent.name)
            chosen = agent.supervisor_strategy or app.conf.agent_supervisor
            if chosen is OneForOneSupervisor:
                agent.supervisor_strategy = RestartingSupervisor
    return names


async def end_worker(app: AppT, error: Exception, text: str) -> None:
    """Stop the worker in order; its last words are one line, its exit status 1.

    ``Service.crash`` would log a traceback, and end the consumer's thread before its owner. So
    only the root service, the worker, gets a ``crash_reason``; it raises it when all is stopped.
    mode passes a ``SystemExit`` on, and Python prints its text. mode-streaming 0.7.

    Arguments:
        app: the application.
        error: what happened; an application that runs without a worker crashes with it.
        text: the line.
    """
    root = app.beacon.root
    worker = root.data if root is not None else None
    if not isinstance(worker, Worker):
        await app.crash(error)
        return
    if worker.crash_reason is None:  # what went wrong first is the cause of the rest
        worker.crash_reason = SystemExit(text)
        worker._crashed.set()


def watch_heartbeats(app: AppT, answered: Callable[[], None]) -> None:
    """Call back on the event loop for every heartbeat that the group's coordinator answered.

    Wraps ``GroupCoordinator._do_heartbeat`` of the consumer in Faust's consumer thread.
    aiokafka 0.13, faust-streaming 0.15.
    """
    coordinator = _kafka_consumer(app)._coordinator
    if coordinator is None or getattr(coordinator, "_watched_by_faust_grpc", False):
        return
    heartbeat = coordinator._do_heartbeat
    loop = asyncio.get_running_loop()

    async def watched() -> bool:
        asked = time.monotonic()
        good: bool = await heartbeat()
        # An answer to a question asked before a pause of this process says nothing about now.
        if good and time.monotonic() - asked < app.conf.broker_session_timeout / 2:
            loop.call_soon_threadsafe(answered)
        return good

    coordinator._do_heartbeat = watched
    coordinator._watched_by_faust_grpc = True


def show_activity(app: AppT) -> None:
    """Tell aiokafka that this worker is at work, though it fetches no records.

    A member whose only topics are changelogs, all events coming from sources, counts as idle: it
    would leave its group after ``broker_max_poll_interval`` and never rejoin. Called from the event
    loop that agents run on, so a loop that hangs still ends the membership. Touches
    ``SubscriptionState._last_fetch_ended``. aiokafka 0.13, faust-streaming 0.15.
    """
    consumer = app.consumer._thread._consumer  # type: ignore[attr-defined]
    if consumer is not None:
        consumer._subscription._last_fetch_ended = time.monotonic()


def seek_between_fetches(app: AppT) -> None:
    """Have table recovery set its positions only when no fetch is under way.

    A fetch that a rebalance finds under way may return records of the new positions while the
    flow is still stopped. Faust then throws them away, and seeks back to committed offsets, which
    changelogs do not have: recovery waits for ever for what was read already, or goes on behind a
    hole. (Seen once in some twenty rebalances that follow each other within a second.)

    Wraps ``Consumer._getmany``, whose set of partitions also changes under it, and
    ``Recovery._seek_offsets``. Faust means to do the same with ``not_waiting_next_records``, an
    event that it never clears. faust-streaming 0.15.
    """
    consumer: Any = app.consumer
    recovery: Any = app.tables.recovery  # type: ignore[attr-defined]
    fetch, seek = consumer._getmany, recovery._seek_offsets
    idle = asyncio.Event()
    idle.set()

    async def getmany(active_partitions: set[Any] | None, timeout: float) -> Any:
        idle.clear()
        try:
            mine = None if active_partitions is None else set(active_partitions)
            return await fetch(mine, min(timeout, FETCH_SECONDS))
        finally:
            idle.set()

    async def seek_offsets(*args: Any) -> None:
        await idle.wait()
        await seek(*args)

    consumer._getmany = getmany
    recovery._seek_offsets = seek_offsets


async def ask_for_rejoin(app: AppT) -> None:
    """Refresh the consumer's metadata and rejoin the group.

    For an assignment that was made before a new changelog topic existed. Runs
    ``force_metadata_update`` and ``request_rejoin`` in the consumer's own thread.
    aiokafka 0.13, faust-streaming 0.15.
    """
    consumer = _kafka_consumer(app)

    async def rejoin() -> None:
        await consumer._client.force_metadata_update()
        consumer._coordinator.request_rejoin()

    await app.consumer._thread.call_thread(rejoin)  # type: ignore[attr-defined]


def _kafka_consumer(app: AppT) -> Any:
    return app.consumer._thread._ensure_consumer()  # type: ignore[attr-defined]
