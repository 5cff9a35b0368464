"""Saving: first what the events did to the tables, then the cursors behind them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import Producer
from faust.types import AppT
from faust.types.tuples import TP

from .changelog import Batch, Changelog, Write, WriteFailed, encode
from .cursors import dump_cursor, load_cursor
from .kafka import producer
from .protocol import Checkpoint
from .seams import CheckpointTable
from .splits import RunningSplit
from .subscriptions import Lease
from .types import CursorValue

__all__ = ["LEASE_PART", "Checkpoints"]

logger = logging.getLogger(__name__)

#: Nothing is taken, delivered or saved when the last heartbeat is older than this part of the
#: session time-out: at the whole of it the group gives our partitions to another worker.
LEASE_PART = 0.7


class Checkpoints:
    """The cursors of all sources of an application, one table per source.

    Arguments:
        app: the application.
        lease: nothing is written without it.
    """

    def __init__(self, app: AppT, lease: Lease) -> None:
        self.app = app
        self.lease = lease
        self.kafka_options: dict[str, Any] = {}
        self.changelog = Changelog(self._new_producer)
        self._tables: dict[str, CheckpointTable] = {}

    def add(self, source: str) -> None:
        """Make the table of a source; before Faust starts its tables."""
        app = self.app
        self._tables[source] = app.tables.add(  # type: ignore[assignment]
            CheckpointTable(
                app,
                name=f"{source}-checkpoint",
                partitions=app.conf.topic_partitions,
                beacon=app.tables.beacon,
            )
        )

    @property
    def topics(self) -> list[str]:
        """The changelog topics of the tables."""
        return [table.changelog_topic_name for table in self._tables.values()]

    def cursors(self, source: str) -> Mapping[str, CursorValue]:
        """Return what is saved for a source, by split."""
        table: Any = self._tables[source].data
        return {split: load_cursor(stored["cursor"]) for split, stored in table.data.items()}

    async def save(self, splits: Iterable[RunningSplit]) -> bool:
        """Write the tables, then the cursors that were safe before; return whether it worked.

        Raises:
            HostError: a table's key or value cannot be serialized.
        """
        moved = [
            (split, checkpoint)
            for split in splits
            if (checkpoint := split.protocol.checkpoint()) is not None
        ]
        batches = self.changelog.snapshot()
        if not moved and not batches:
            return True
        try:
            offsets = await self._write(batches)
            await self._write(self._batches(moved))
        except WriteFailed as exc:
            logger.error("Checkpoint not saved, trying again: %s", exc)
            self.changelog.put_back(batches)
            return False
        self._note_persisted(offsets)
        for split, checkpoint in moved:
            split.protocol.saved(checkpoint)
            table = self._tables[split.source]
            table.remember(split.name, split.partition, _stored(checkpoint))
        return True

    async def _write(self, batches: Iterable[Batch]) -> dict[TP, int]:
        records = await encode(batches)
        write: Callable[..., dict[TP, int]] = self.changelog.write
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, write, records, lambda: self.lease.is_held)

    def _batches(self, moved: Iterable[tuple[RunningSplit, Checkpoint]]) -> list[Batch]:
        batches: dict[int, list[Write]] = {}
        for split, checkpoint in moved:
            table = self._tables[split.source]
            write = Write(table, split.name, _stored(checkpoint), None, None)
            batches.setdefault(split.partition, []).append(write)
        return [Batch(partition, {}, writes) for partition, writes in batches.items()]

    def _note_persisted(self, offsets: Mapping[TP, int]) -> None:
        """Tell the stores on disk how far their changelog is written: recovery starts there."""
        for table in self.app.tables.values():
            for tp, offset in offsets.items():
                if tp.topic == table.changelog_topic_name:
                    table.data.set_persisted_offset(tp, offset)

    def _new_producer(self) -> Producer:
        # A record is written while the lease is held. Should this process be halted with it, it
        # must not be sent once another worker may have written newer values.
        timeout_ms = int(1000 * (1 - LEASE_PART) * self.app.conf.broker_session_timeout)
        return producer(self.app, {"message.timeout.ms": timeout_ms, **self.kafka_options})


def _stored(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"cursor": dump_cursor(checkpoint.cursor)}
