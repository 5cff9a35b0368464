"""Recovery: what we loaded needs no reading by Faust; transaction markers end what Faust reads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from aiokafka.errors import IllegalStateError  # type: ignore[import-untyped]  # has none
from faust.tables.base import Collection
from faust.tables.recovery import Recovery, ServiceStopped
from faust.types import AppT
from faust.types.tuples import TP
from mode import Service

__all__ = ["LoadedRecovery", "install_recovery", "installed_load", "read_committed"]


class Loading(Protocol):
    """Loads changelogs before Faust looks at them."""

    async def __call__(self, tables: Mapping[TP, Collection]) -> Mapping[TP, int]:
        """Load; return the high watermark of each partition that Faust need not read.

        Arguments:
            tables: the active changelog partitions and their tables.
        """

    def remaining(self) -> Mapping[TP, int]:
        """Return how many records are left to load, by partition."""


#: How often to look whether only transaction markers are left to read. Two looks must agree.
MARKER_SECONDS = 1.0


class LoadedRecovery(Recovery):
    """Faust's recovery, with partitions that are loaded before it looks at them.

    Overrides ``_build_highwaters`` and ``_build_offsets``, where a loaded partition is entered as
    read to its end, ``_wait``, ``need_recovery`` and ``active_remaining``. What was not loaded goes
    Faust's own way, as do standbys. And ``on_rebalance``, ``on_recovery_completed`` and
    ``_resume_streams``, to know which rebalance ends. faust-streaming 0.15.
    """

    load: Loading
    _is_loading = False
    #: Which of the app's rebalances each generation came of; the last one only.
    _rebalances: Mapping[int, int] = {}
    #: Of the recovery that ends now.
    _ending: int | None = None
    _loaded: Mapping[TP, int]

    async def _build_highwaters(
        self, consumer: Any, tps: set[TP], destination: Any, title: str
    ) -> None:
        if title != "active":
            await super()._build_highwaters(consumer, tps, destination, title)
            return
        self._is_loading = True
        try:
            self._loaded = await self.load({tp: self.tp_to_table[tp] for tp in tps})  # type: ignore[misc]  # tables of an app are Collections
        finally:
            self._is_loading = False
        destination.clear()
        left = set(tps) - self._loaded.keys()
        if left:  # without any, a round trip (and seconds of a cold consumer) is saved
            await super()._build_highwaters(consumer, left, destination, title)
        destination.update({tp: end - 1 for tp, end in self._loaded.items()})

    async def _build_offsets(
        self, consumer: Any, tps: set[TP], destination: Any, title: str
    ) -> None:
        if title != "active":
            await super()._build_offsets(consumer, tps, destination, title)
            return
        for tp, end in self._loaded.items():
            # A store that is ahead of its topic stays so: Faust says what is wrong with it.
            destination[tp] = max(end - 1, self.tp_to_table[tp].persisted_offset(tp) or 0)
        left = set(tps) - self._loaded.keys()
        if left:
            await super()._build_offsets(consumer, left, destination, title)

    async def on_rebalance(
        self, assigned: Any, revoked: Any, newly_assigned: Any, generation_id: int = 0
    ) -> None:
        """Note which rebalance this is, for its end."""
        self._rebalances = {generation_id: self.app.rebalancing_count}
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """End the rebalance of that generation."""
        self._ending = self._rebalances.get(generation_id)
        await super().on_recovery_completed(generation_id)

    async def _resume_streams(self, generation_id: int = 0) -> None:
        self._ending = self._rebalances.get(generation_id)
        await super()._resume_streams(generation_id)

    def end_only_this_rebalance(self) -> None:
        """Have a recovery end its own rebalance only.

        One that ends while the next rebalance has begun would end that one: nobody is told when it
        really ends, and until then the app counts as settled. Wraps ``App.on_rebalance_end``.
        """
        app: Any = self.app
        end = app.on_rebalance_end

        def on_rebalance_end() -> None:
            if self._ending == app.rebalancing_count:
                end()

        app.on_rebalance_end = on_rebalance_end

    def need_recovery(self) -> bool:
        """Return whether something is left; else Faust ends the recovery while we load."""
        return self._is_loading or super().need_recovery()

    def active_remaining(self) -> Counter[TP]:
        """Return how much is left, by partition; of the load while there is one."""
        if self._is_loading:
            return Counter(self.load.remaining())
        return super().active_remaining()

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """Wait for a step, without a limit while we load.

        When ``broker_request_timeout`` has passed, Faust's raises what it raises when the service
        is stopped: recovery would end there, without a word.
        """
        if timeout is None:
            await super()._wait(coro)
            return
        step = asyncio.ensure_future(coro)
        try:
            while True:
                try:
                    await super()._wait(asyncio.shield(step), timeout)
                    return
                except ServiceStopped:
                    if self.should_stop or not self._is_loading:
                        raise
        finally:
            step.cancel()

    @Service.task
    async def _pass_markers(self) -> None:
        """Enter partitions as read whose last records are transaction markers, or aborted.

        Such a record never comes, but Faust waits for the last one before the high watermark.
        """
        before: dict[TP, int] = {}
        while not self.should_stop:
            await self.sleep(MARKER_SECONDS)
            now = await self._read_to_the_end() if self.tables.changelog_queue.empty() else {}
            for tp in now.keys() & before.keys():
                for offsets, highwaters in self._offsets_and_highwaters():
                    if tp in highwaters and now[tp] == before[tp] == highwaters[tp]:
                        offsets[tp] = highwaters[tp]
            before = now
            if self._standbys_are_read():
                self.tables.on_standbys_ready()

    def _standbys_are_read(self) -> bool:
        # Not standby_remaining_total(): a partition of which nothing was read counts as read there.
        offsets, highwaters = self.standby_offsets, self.standby_highwaters
        return bool(highwaters) and all(
            (seen := offsets.get(tp)) is not None and seen >= highwater
            for tp, highwater in highwaters.items()
        )

    def _offsets_and_highwaters(self) -> list[tuple[Any, Any]]:
        standby = (self.standby_offsets, self.standby_highwaters)
        active = (self.active_offsets, self.active_highwaters)
        return [active, standby] if self.in_recovery else [standby]

    async def _read_to_the_end(self) -> dict[TP, int]:
        """Return the partitions behind whose high watermark the consumer is, with it."""
        found: dict[TP, int] = {}
        for offsets, highwaters in self._offsets_and_highwaters():
            for tp, highwater in list(highwaters.items()):
                seen = offsets.get(tp)
                if highwater is None or seen is None or seen >= highwater:
                    continue
                try:
                    position = await self.app.consumer.position(tp)
                except IllegalStateError:  # it was taken away this moment
                    continue
                if position is not None and position > highwater:
                    found[tp] = highwater
        return found


def install_recovery(app: AppT, load: Loading) -> None:
    """Make the app's recovery ours; before Faust asks for it.

    Sets ``TableManager._recovery``, which ``TableManager.recovery`` makes when it is first read.
    faust-streaming 0.15.

    Arguments:
        app: the application.
        load: called in every recovery.
    """
    tables: Any = app.tables
    if isinstance(tables._recovery, LoadedRecovery):
        tables._recovery.load = load
        return
    assert tables._recovery is None, "Faust made its recovery already"
    recovery = LoadedRecovery(app, tables, beacon=tables.beacon, loop=tables.loop)
    recovery.load = load
    recovery.end_only_this_rebalance()
    tables._recovery = recovery


def installed_load(app: AppT) -> Loading | None:
    """Return what :func:`install_recovery` was given; ``None`` before."""
    recovery = app.tables._recovery  # type: ignore[attr-defined]
    return recovery.load if isinstance(recovery, LoadedRecovery) else None


def read_committed(app: AppT) -> None:
    """Make the app's consumer read committed records only; before the consumer starts.

    Without it a standby applies what an aborted transaction wrote. Wraps
    ``AIOKafkaConsumerThread._create_worker_consumer``; sets ``AIOKafkaConsumer._isolation_level``,
    which its ``start`` hands on. Faust does it only with its own ``processing_guarantee``.
    aiokafka 0.13, faust-streaming 0.15.
    """
    thread: Any = app.consumer._thread  # type: ignore[attr-defined]
    create = thread._create_worker_consumer

    def create_worker_consumer(transport: Any) -> Any:
        consumer = create(transport)
        consumer._isolation_level = "read_committed"
        return consumer

    thread._create_worker_consumer = create_worker_consumer
