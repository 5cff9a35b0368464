"""Which splits were ever at work: what tells a lost checkpoint from a first start.

A split without a checkpoint record was never read, or its record is lost: the topic was deleted,
made again, or emptied. So every split is also noted in a second topic, of the same partitions and
the same owner, after its first checkpoint record was written. Each of the two vouches for the
other; only without both a split counts as new.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial

from .checkpoints import Checkpoints
from .cursors import Cursor
from .exceptions import HostError
from .feeds import Assigned, Feed
from .saved import Saved

__all__ = ["Births", "assigned_lost"]

logger = logging.getLogger(__name__)

#: Takes the place of a source's name: a table ``faust-grpc-births-checkpoint``.
_TABLE = "faust-grpc-births"


class Births:
    """The splits of an application that were ever at work.

    Arguments:
        checkpoints: of all sources.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._known = False

    def add(self, feeds: Sequence[Feed]) -> None:
        """Make the table, if a source needs it; before Faust starts its tables."""
        self._known = any(_is_noted(feed) for feed in feeds)
        for feed in feeds:
            feed.on_recorded = partial(self._recorded, feed)
        if self._known:
            self._checkpoints.add(_TABLE)

    def assigned(self, feed: Feed, wanted: Mapping[str, int]) -> dict[str, Assigned]:
        """Return with what splits are to begin.

        Arguments:
            feed: their source.
            wanted: their partitions, by name.
        """
        name, cursor = feed.declaration.name, feed.declaration.cursor
        saved, born = self._checkpoints.saved(name), self._born(feed)
        if feed.saves_itself:
            # They look for themselves, once nobody else can write any more.
            known = born | saved.keys()
            return {
                split: Assigned(partition, None, known=split in known)
                for split, partition in wanted.items()
            }
        topic, assigned = self._checkpoints.topic(name), {}
        for split, partition in wanted.items():
            record = saved.get(split)
            if record is not None or split not in born or cursor is None:
                record = record or Saved()
                assigned[split] = Assigned(partition, record.cursor, record.paused)
            else:
                assigned[split] = assigned_lost(name, split, partition, topic, cursor)
        return assigned

    def _born(self, feed: Feed) -> frozenset[str]:
        if not _is_noted(feed):
            return frozenset()
        prefix = f"{feed.declaration.name}/"
        keys = self._checkpoints.saved(_TABLE)
        return frozenset(key.removeprefix(prefix) for key in keys if key.startswith(prefix))

    async def note(self, feed: Feed, assigned: Mapping[str, Assigned]) -> None:
        """Note the splits that are new: first a checkpoint record, then their birth.

        Does nothing about those that go to another worker meanwhile: it does it. Splits that save
        themselves write their first records too, and then are noted.
        """
        if not _is_noted(feed) or feed.saves_itself:
            return
        name, born = feed.declaration.name, self._born(feed)
        saved = self._checkpoints.saved(name)
        new = {
            split: one.partition
            for split, one in assigned.items()
            if split not in born and not one.lost
        }
        unsaved = {split: partition for split, partition in new.items() if split not in saved}
        try:
            await self._write([(name, split, partition) for split, partition in unsaved.items()])
            await self._write([(_TABLE, f"{name}/{split}", part) for split, part in new.items()])
        except HostError as exc:
            logger.debug("%s: %s", name, exc)

    def _recorded(self, feed: Feed, split: str, partition: int) -> None:
        if _is_noted(feed) and split not in self._born(feed):
            self._change(_TABLE, f"{feed.declaration.name}/{split}", partition)

    async def _write(self, records: Sequence[tuple[str, str, int]]) -> None:
        """Have records written as they are by then; wait for the broker."""
        changes = [self._change(*record) for record in records]
        for change in changes:
            await change

    def _change(self, source: str, split: str, partition: int) -> asyncio.Future[None]:
        return self._checkpoints.change(source, split, partition, lambda saved: saved)


def assigned_lost(source: str, split: str, partition: int, topic: str, cursor: Cursor) -> Assigned:
    """Return with what a split goes on whose checkpoint is lost; tell, if it does.

    Arguments:
        source: its name.
        split: its name.
        partition: where it belongs.
        topic: where its checkpoint was.
        cursor: says what to do.
    """
    text = f"its checkpoint is lost: topic {topic} had a record of it and has none now"
    if cursor.on_lost == "fail":
        how = (
            "say where to go on with 'faust-grpc checkpoint set' or 'reset', or declare "
            "Cursor(on_lost='earliest') or 'latest'"
        )
        return Assigned(partition, None, lost=f"{text}; {how}")
    begin = cursor.latest if cursor.on_lost == "latest" else cursor.earliest or cursor.start
    where = "as at the first start" if begin is None else f"behind {begin!r}"
    logger.error(
        "%s/%s: %s; going on %s (on_lost=%r): events are missing or come twice",
        source,
        split,
        text,
        where,
        cursor.on_lost,
    )
    return Assigned(partition, begin)


def _is_noted(feed: Feed) -> bool:
    declared = feed.declaration
    return declared.cursor is not None and declared.scope == "cluster"
