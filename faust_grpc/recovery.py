"""Recovery in bulk: the changelogs of gained partitions, loaded before Faust looks at them.

Faust reads changelogs record by record through its event loop, at some thousand records a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from faust.sensors.base import Sensor
from faust.tables.base import Collection
from faust.types import AppT
from faust.types.tuples import TP

from . import stores
from .changelog import Records, Unsealed
from .kafka import connection_options
from .loading import Load, LoadFailed, Part, Progress
from .seams import install_recovery, installed_load, note_partitions
from .stores import StoreLoader, store_loader

__all__ = ["BulkRecovery", "Progress", "bulk_recovery"]

logger = logging.getLogger(__name__)

#: Before another try after an error: doubled up to a limit.
RETRY_FIRST_SECONDS, RETRY_LAST_SECONDS = 0.5, 15.0

#: Between two lines in the log.
REPORT_SECONDS = 5.0

Prepare = Callable[[frozenset[TP]], Awaitable[frozenset[int]]]


class BulkRecovery:
    """Loads the changelogs of gained partitions in bulk, before Faust looks at them.

    Arguments:
        app: the application.
        prepare: awaited with the active changelog partitions before anything is read; returns the
            numbers of those that this worker kept all the time: nothing of them is read again.
        kafka_options: librdkafka settings that the app's settings cannot express.

    Attributes:
        everything: load every table, also those that a source's events cannot write.
        wipe_unclean: exactly once: a store on disk that was not closed in order is wiped.
        unsealed: partitions whose log ended in a transaction marker, with their last data record.
    """

    def __init__(self, app: AppT, prepare: Prepare, kafka_options: Mapping[str, Any]) -> None:
        self.app = app
        self.everything = False
        self.wipe_unclean = False
        self.unsealed: dict[TP, Unsealed] = {}
        self._prepare = prepare
        self._kafka_options = kafka_options
        #: Loaded completely, and written by nobody else since.
        self._complete: set[TP] = set()
        self._load: Load | None = None
        self._running: asyncio.Future[tuple[dict[TP, int], list[Part]]] | None = None
        #: Partitions were revoked since this recovery began.
        self._is_over = False

    def install(self) -> None:
        """Become the way the app recovers; before Faust starts its tables."""
        other = installed_load(self.app)
        if isinstance(other, BulkRecovery):
            self.everything |= other.everything
        install_recovery(self.app, self)
        self.app.on_partitions_revoked.connect(self._interrupt)
        self.app.on_before_shutdown.connect(self._interrupt)

    def status(self) -> Progress:
        """Return how far loading is."""
        return self._load.progress() if self._load is not None else Progress()

    def remaining(self) -> Mapping[TP, int]:
        """Return how many records are left to load at most, by partition."""
        return self._load.remaining() if self._load is not None else {}

    async def __call__(self, tables: Mapping[TP, Collection]) -> Mapping[TP, int]:
        """Load; return the high watermark of each partition that Faust need not read.

        Arguments:
            tables: the active changelog partitions and their tables.
        """
        await self._interrupt()
        self._is_over = False
        kept = await self._prepare(frozenset(tables))
        self._complete &= tables.keys()
        loaders = self._loaders(tables)
        keep = {tp for tp in self._complete & loaders.keys() if tp.partition in kept}
        wanted = {tp: loader for tp, loader in loaders.items() if tp not in keep}
        self._complete = set(keep)
        self.unsealed = {tp: record for tp, record in self.unsealed.items() if tp in keep}
        self._wipe_stores({tp: tables[tp] for tp in wanted})
        if not loaders:
            return {}
        seconds = RETRY_FIRST_SECONDS
        while True:
            try:
                end, parts = await self._attempt(wanted, keep)
                break
            except LoadFailed as exc:
                logger.error("%s; trying again in %g s", exc, seconds)
            await asyncio.sleep(seconds)
            seconds = min(2 * seconds, RETRY_LAST_SECONDS)
        self._complete |= wanted.keys()
        self._note_unsealed(parts)
        return end

    def _loaders(self, tables: Mapping[TP, Collection]) -> dict[TP, StoreLoader]:
        by_table = dict.fromkeys(tables.values())
        found = {table: store_loader(table) for table in by_table if self._is_wanted(table)}
        return {tp: loader for tp, table in tables.items() if (loader := found.get(table))}

    def _is_wanted(self, table: Collection) -> bool:
        partitions = self.app.conf.topic_partitions
        return self.everything or (
            not table.use_partitioner and (table.partitions or partitions) == partitions
        )

    def _wipe_stores(self, tables: Mapping[TP, Collection]) -> None:
        """Wipe stores on disk that may hold what was never committed."""
        if not self.wipe_unclean:
            return
        for tp, table in tables.items():
            if stores.is_marked_open(table, tp.partition):
                stores.wipe(table, tp.partition)
                stores.mark_closed(table, tp.partition)

    async def _attempt(
        self, wanted: Mapping[TP, StoreLoader], keep: set[TP]
    ) -> tuple[dict[TP, int], list[Part]]:
        if self._is_over:
            await _cancellation()
        load = self._load = Load(connection_options(self.app, self._kafka_options), wanted, keep)
        running = self._running = asyncio.ensure_future(asyncio.to_thread(load.run))
        try:
            while not running.done():
                await asyncio.wait([running], timeout=REPORT_SECONDS)
                if not running.done():
                    logger.info("Loading tables: %s", load.progress())
        except asyncio.CancelledError:
            load.stop()
            raise
        if load.is_stopped:
            running.exception()  # of no interest any more
            await _cancellation()
        result = running.result()
        progress = load.progress()
        logger.info(
            "Tables loaded: %d records of %d partitions, %.0f records/s; %d partitions kept",
            progress.loaded,
            len(wanted),
            progress.per_second,
            len(keep),
        )
        return result

    async def _interrupt(self, *_args: Any, **_kwargs: Any) -> None:
        """End the load under way: nobody may touch the stores beside its thread."""
        self._is_over = True
        if self._running is not None and self._load is not None:
            self._load.stop()
            await asyncio.wait([self._running])

    def _note_unsealed(self, parts: Iterable[Part]) -> None:
        for part in parts:
            last = part.last
            if last is not None and int(last.offset() or 0) + 1 < part.end:
                headers: Any = last.headers()
                item = last.key() or b"", last.value(), headers
                record = Records(part.tp.topic, part.tp.partition, [item])
                self.unsealed[part.tp] = Unsealed(record, part.end)


async def _cancellation() -> None:
    """Wait for Faust to cancel this recovery: a rebalance is under way, and begins another."""
    await asyncio.get_running_loop().create_future()


class _WholeRecovery(Sensor):
    """Installs recovery in bulk for every table, also where no source is.

    A sensor because Faust starts sensors first, inside the worker's loop and before the tables.
    """

    def __init__(self, app: AppT) -> None:
        super().__init__()
        self.app = app
        self._generation = -1

    async def on_first_start(self) -> None:
        """Use the recovery of the app's sources, or make one."""
        recovery = installed_load(self.app)
        if not isinstance(recovery, BulkRecovery):
            recovery = BulkRecovery(self.app, self._kept, {})
            recovery.install()
            for table in self.app.tables.values():
                note_partitions(table)
        recovery.everything = True

    async def _kept(self, tps: frozenset[TP]) -> frozenset[int]:
        """Return all when no generation of the group was missed: nobody else wrote them."""
        last, self._generation = self._generation, self.app.consumer_generation_id
        if self._generation != last + 1:
            return frozenset()
        return frozenset(tp.partition for tp in tps)

    def asdict(self) -> dict[str, Any]:
        """Return nothing: it measures nothing."""
        return {}


def bulk_recovery(app: AppT) -> None:
    """Load all tables of an application in bulk when it recovers, whoever writes them.

    Global tables are left to Faust, as are tables with ``on_changelog_event=`` and stores that
    are neither in memory nor RocksDB. The tables that a source's events write are loaded so in any
    case.

    Arguments:
        app: the application, before it starts; with or without sources.
    """
    if not any(isinstance(sensor, _WholeRecovery) for sensor in app.sensors):
        app.sensors.add(_WholeRecovery(app))
