"""The consumer group: heartbeats, activity, positions, rejoining."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from faust.types import AppT

__all__ = [
    "ask_for_rejoin",
    "note_assignments",
    "seek_between_fetches",
    "show_activity",
    "watch_heartbeats",
]

#: How long one fetch may wait for records: recovery waits for the end of the last one.
FETCH_SECONDS = 0.2


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


def note_assignments(app: AppT, note: Callable[[float], None]) -> None:
    """Tell at which monotonic time the group answered with an assignment.

    Faust looks at the answer later: in a process that was halted meanwhile it is an old one. Wraps
    ``PartitionAssignor.on_assignment``, called in the consumer's thread. faust-streaming 0.15.
    """
    assignor: Any = app.assignor
    on_assignment = assignor.on_assignment

    def noted(*args: Any, **options: Any) -> Any:
        note(time.monotonic())
        return on_assignment(*args, **options)

    assignor.on_assignment = noted
