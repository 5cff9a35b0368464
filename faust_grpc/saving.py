"""When checkpoints are taken: regularly, at the bound, and before partitions are given up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from .barrier import barrier
from .checkpoints import Checkpoints, Cut
from .exceptions import Fenced, HostError, WriteFailed
from .feeds import Feed
from .observers import Observers
from .splits import RunningSplit
from .subscriptions import Lease

__all__ = ["Saving"]

logger = logging.getLogger(__name__)

#: How long agents may take to finish what they were given, so that it can be saved. Where they
#: take longer they are given less at a time.
BARRIER_SECONDS = 1.0

#: Times in a row that partitions are recovered because others fenced us off.
MOST_FENCED = 3


class Saving:
    """Takes the checkpoints of all sources of an application.

    Arguments:
        checkpoints: where they go.
        lease: nothing is taken without it.
        feeds: returns the sources whose cursors are saved.
        refused: called once with an error after which nothing is saved any more.
        lost: called when it is not known whether a transaction was committed: this worker must
            give its partitions up and recover them.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        lease: Lease,
        feeds: Callable[[], Sequence[Feed]],
        *,
        refused: Callable[[HostError], None],
        lost: Callable[[], None],
    ) -> None:
        self.checkpoints = checkpoints
        self.observers = Observers()
        self._running = False
        #: When everything that could be saved was saved, monotonic; kept while this is running.
        self._saved_at = 0.0
        #: At the last barrier agents were not finished everywhere.
        self._is_partial = False
        self._owned: frozenset[int] = frozenset()
        self._lease = lease
        self._feeds = feeds
        self._refused = refused
        self._lost = lost
        self._refusal = ""
        #: Times in a row that others fenced us off.
        self._fenced = 0
        self._lock = asyncio.Lock()
        self._waiting = 0
        #: Tables wait to be written, as many as may: no more events until they are.
        self._throttled = False

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Nothing is saved meanwhile: partitions change hands. A barrier gives way to this."""
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1

    def begin(self, owned: frozenset[int]) -> None:
        """The splits of these partitions run, and are saved, until :meth:`settle`."""
        self._owned = owned
        self._running = not self._refusal
        self._saved_at = time.monotonic()

    def refuse(self, error: HostError) -> None:
        """Save nothing more: what happened since the last checkpoint must happen again."""
        self._running = False
        if not self._refusal:
            self._refusal = str(error)
            self._refused(error)

    # Regularly

    async def run(self, should_stop: Callable[[], bool]) -> None:
        """Take checkpoints until told to stop."""
        saved = True
        while not should_stop():
            await self._due(at_the_bound=saved)
            async with self._lock:
                if self._running and self._lease.is_held:
                    saved = await self._saved(await self._cut())

    @property
    def age_seconds(self) -> float:
        """Since when something waits to be saved, at most; 0 when nothing is read here."""
        return time.monotonic() - self._saved_at if self._running else 0.0

    async def _saved(self, cuts: list[Cut]) -> bool:
        began = time.monotonic()
        saved = await self._save(cuts)
        ended = time.monotonic()
        if cuts and self.observers:
            app = self.checkpoints.app.conf.id
            self.observers.checkpoint_written(app, ended - began, saved)
        if saved and not self._is_partial:
            self._saved_at = ended
        return saved

    async def _due(self, *, at_the_bound: bool) -> None:
        intervals = [feed.declaration.checkpoint.interval_seconds for feed in self._feeds()]
        seconds = min(intervals, default=1.0)
        if not at_the_bound:  # it could not be written: not at once again
            await asyncio.sleep(seconds)
            return
        full = asyncio.ensure_future(self.checkpoints.changelog.is_full.wait())
        await asyncio.wait({full}, timeout=seconds)
        full.cancel()

    async def _cut(self) -> list[Cut]:
        """Take what can be saved now. Exactly-once sources are cut at a barrier."""
        strict = self._strict()
        if not strict:
            return await self._taken(None)
        for feed in strict:
            feed.hold()
        try:
            busy = await self._barrier(strict)
            self._is_partial = bool(busy)
            return await self._taken(self._owned - busy)
        finally:
            if not self._waiting:  # whoever waits wants them held
                for feed in strict:
                    feed.release()

    async def _barrier(self, strict: Sequence[Feed]) -> frozenset[int]:
        splits = [split for feed in strict for split in feed]
        patience = min(feed.declaration.checkpoint.drain_seconds for feed in strict)
        began = time.monotonic()
        busy = await barrier(splits, patience, lambda: self._waiting > 0)
        for split in splits:
            split.adapt(time.monotonic() - began, BARRIER_SECONDS)
        return busy

    async def _taken(self, partitions: Collection[int] | None) -> list[Cut]:
        try:
            return await self.checkpoints.cut(self._splits(), partitions)
        except HostError as exc:
            self.refuse(exc)
            return []

    async def _save(self, cuts: list[Cut]) -> bool:
        """Write what was taken; return whether that worked."""
        changelog = self.checkpoints.changelog
        writing = asyncio.ensure_future(self._written(cuts))
        full = asyncio.ensure_future(changelog.is_full.wait())
        await asyncio.wait({writing, full}, return_when=asyncio.FIRST_COMPLETED)
        full.cancel()
        if not writing.done():
            self._throttle(True)
        saved = await writing
        self._throttle(not saved and changelog.is_full.is_set())
        return saved

    async def _written(self, cuts: list[Cut]) -> bool:
        try:
            saved = await self.checkpoints.write(cuts)
            if cuts and saved:
                self._fenced = 0
            return saved
        except WriteFailed as exc:
            self._start_over("It is not known whether the last transaction was committed", exc)
        except Fenced as exc:
            # Whoever is heard by the group owns its partitions, and was fenced off by an earlier
            # owner whose takeover was under way when it lost them. That does not happen again and
            # again.
            self._fenced += 1
            if self._fenced > MOST_FENCED:
                self.refuse(exc)
            else:
                self._start_over("Nothing was saved, partitions are recovered", exc)
        except HostError as exc:
            self.refuse(exc)
        return False

    def _start_over(self, what: str, error: HostError) -> None:
        logger.error("%s: %s", what, error)
        self._running = False
        self._lost()

    def _throttle(self, on: bool) -> None:
        if on == self._throttled:
            return
        self._throttled = on
        for feed in self._feeds():
            if on:
                feed.hold()
            elif not self._waiting:
                feed.release()

    # Before partitions are given up

    async def settle(self) -> str:
        """Have everything delivered finished and saved; return why that did not work."""
        self._running = False
        if self._refusal:
            return "nothing can be saved; read again from the last checkpoint"
        if not self._lease.is_held:
            return "no heartbeat was answered for too long"
        feeds = self._feeds()
        for feed in feeds:
            feed.hold()
        self._throttled = False
        patience = [feed.drained(feed.declaration.checkpoint.drain_seconds) for feed in feeds]
        drained = all(await asyncio.gather(*patience))
        if not await self._written(await self._taken(self._quiet())) or self._refusal:
            return "the checkpoint was not taken; read again from the last one"
        if not drained:
            return "agents did not finish in time; read again from the last checkpoint"
        return ""

    def _quiet(self) -> frozenset[int] | None:
        strict = self._strict()
        if not strict:
            return None
        return self._owned - {split.partition for feed in strict for split in feed if split.unacked}

    def _splits(self) -> list[RunningSplit]:
        """Whose cursors are saved; of one that was started anew, the newest cursor last."""
        direct = [feed for feed in self._feeds() if not feed.saves_itself]
        return [split for feed in direct for split in (*feed.parted, *feed)]

    def _strict(self) -> list[Feed]:
        """Sources that are cut at a barrier."""
        return [
            feed
            for feed in self._feeds()
            if feed.declaration.guarantee == "exactly_once" and not feed.saves_itself
        ]
