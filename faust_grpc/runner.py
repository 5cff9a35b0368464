"""Runs the sources of one application: start, rebalance, checkpoint, stop.

It is a Faust sensor because Faust starts sensors first, inside the worker's loop and before the
tables, tells them when a rebalance is really over (recovery included), and stops them last.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from faust.sensors.base import Sensor
from faust.types import AppT

from . import seams
from .assignment import wanted_splits
from .checkpoints import LEASE_PART, Checkpoints
from .exceptions import ConfigurationError, FaustGrpcError, HostError, PeerError
from .feeds import Assigned, Feed
from .ownership import Ownership
from .subscriptions import Lease

__all__ = ["Runner"]

logger = logging.getLogger(__name__)

#: An agent whose iteration is over for so long returned; a crashed one is restarted sooner.
RETURNED_SECONDS = 10.0

#: How long calls may take to end when a split is given up.
CLOSE_SECONDS = 3.0


class Runner(Sensor):
    """All sources of one application.

    Arguments:
        app: the application.
    """

    def __init__(self, app: AppT) -> None:
        self.app = app
        self.feeds: dict[str, Feed] = {}
        self.lease = Lease()
        self.checkpoints = Checkpoints(app, self.lease)
        self._ownership = Ownership(app, self.checkpoints)
        self._lock = asyncio.Lock()
        #: Splits run and may be saved: from the end of a rebalance to the next revocation.
        self._running = False
        #: A table was written that may not be: nothing is saved any more.
        self._refused = False
        super().__init__()
        self._connect()

    @classmethod
    def of(cls, app: AppT) -> Runner:
        """Return the runner of an application; made at its first source."""
        for sensor in app.sensors:
            if isinstance(sensor, cls):
                return sensor
        runner = cls(app)
        app.sensors.add(runner)
        return runner

    def _connect(self) -> None:
        app = self.app
        if app.configured:
            seams.install_stream(app)
        app.on_after_configured.connect(self._on_configured)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_before_shutdown.connect(self._on_shutdown)

    def _on_configured(self, *_args: Any, **_kwargs: Any) -> None:
        seams.install_stream(self.app)

    def asdict(self) -> dict[str, Any]:
        """Return nothing: the sources say more with ``status()``."""
        return {}

    def add(self, feed: Feed) -> None:
        """Run one more source.

        Raises:
            ConfigurationError: the application has a source of that name.
        """
        name = feed.declaration.name
        if name in self.feeds:
            raise ConfigurationError(
                f"source {name!r} is declared twice in app {self.app.conf.id!r}: "
                "give one of them another name="
            )
        self.feeds[name] = feed

    @property
    def _clustered(self) -> list[Feed]:
        return [feed for feed in self.feeds.values() if feed.declaration.scope == "cluster"]

    # Start

    async def on_first_start(self) -> None:
        """Add the checkpoint tables and take over the changelogs, before Faust starts tables."""
        app = self.app
        seams.seek_between_fetches(app)
        written = [table for table in app.tables.values() if not table.is_global]
        for table in written:
            seams.take_over_changelog(table, self.checkpoints.changelog, self._refuse)
        for name, feed in self.feeds.items():
            # Also for scope="worker", whose cursors are not saved: Faust's consumer cannot start
            # without any topic.
            self.checkpoints.add(name)
            if not seams.restart_agents(app, feed.channel):
                logger.warning(
                    "%s: no agent reads this source, so nothing is read from its server: declare "
                    "one with @app.agent(...)",
                    name,
                )

    async def on_start(self) -> None:
        """Begin to save, to look after agents, and to ask servers for their schemas."""
        self.add_future(self._save_regularly())
        self.add_future(self._look_after_agents())
        for feed in self.feeds.values():
            self.add_future(self._prepare(feed))

    async def _prepare(self, feed: Feed) -> None:
        try:
            await feed.prepare()
        except (ConfigurationError, PeerError) as exc:
            await feed.close(CLOSE_SECONDS)
            await self._end_worker(exc, f"{feed.declaration.name}: {exc}")

    async def _end_worker(self, error: FaustGrpcError, text: str) -> None:
        logger.critical("%s", text)
        await seams.end_worker(self.app, error, text)

    def _refuse(self, error: HostError) -> None:
        """End the worker, and save nothing more: the event that failed must be read again."""
        self._running, self._refused = False, True
        self.add_future(self._end_worker(error, str(error)))

    # Rebalance

    def on_rebalance_end(self, app: AppT, state: dict[str, Any]) -> None:
        """A rebalance is over, recovery included (``on_rebalance_complete`` is sent too early)."""
        self.add_future(self._begin(app.consumer_generation_id))

    async def _begin(self, generation: int) -> None:
        if not self.lease.is_held:
            # This process was halted during the recovery: is it still a member? (Not under the
            # lock: the answer may be a revocation, which takes it.)
            await self.lease.renewed()
        async with self._lock:
            if not await self._may_begin(generation):
                return
            continuous = self._ownership.membership.joined(generation)
            for feed in self._clustered:
                if not continuous:
                    feed.drop(list(feed.splits))
                await feed.closed(CLOSE_SECONDS)
            if self._ownership.is_stale(generation):
                return
            owned = self._ownership.now()
            self.checkpoints.changelog.own(owned)
            self._assign(owned)
            self._running = True
            for feed in self.feeds.values():
                feed.release()

    async def _may_begin(self, generation: int) -> bool:
        ownership = self._ownership
        if ownership.is_stale(generation):
            return False
        missing = ownership.missing_topics()
        if missing:
            self.add_future(ownership.rejoin(generation, missing))
            return False
        try:
            await ownership.check_partitions()
        except ConfigurationError as exc:
            await self._end_worker(exc, str(exc))
            return False
        return True

    def _assign(self, owned: frozenset[int]) -> None:
        for name, feed in self.feeds.items():
            splits = feed.declaration.splits
            if feed.declaration.scope == "worker":
                # No table partition belongs to events that every worker sees.
                feed.assign({split.name: Assigned(-1, None) for split in splits})
                continue
            wanted = wanted_splits(splits, self.app.conf.topic_partitions, owned)
            saved = self.checkpoints.cursors(name)
            feed.assign(
                {
                    split: Assigned(partition, saved.get(split))
                    for split, partition in wanted.items()
                }
            )
            logger.info(
                "%s: %d of %d splits are ours: %s",
                name,
                len(wanted),
                len(splits),
                ", ".join(wanted) or "none",
            )

    async def _on_assigned(self, *_args: Any, **_kwargs: Any) -> None:
        """The group answered: end the calls of what went to another worker, which need not wait
        for our recovery."""
        seams.watch_heartbeats(self.app, self._on_heartbeat)
        self._on_heartbeat()
        owned = self._ownership.now()
        for feed in self._clustered:
            feed.drop([split.name for split in feed if split.partition not in owned])

    def _on_heartbeat(self) -> None:
        self.lease.renew(LEASE_PART * self.app.conf.broker_session_timeout)

    # Quiesce

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        """Quiesce: early enough because our subscriptions do not depend on Faust's flow control."""
        async with self._lock:
            await self._quiesce()

    async def _quiesce(self) -> None:
        self._running = False
        feeds = self._clustered
        if not any(feed.splits for feed in feeds):
            return
        why_not = await self._settle(feeds)
        if why_not:
            names = [f"{split.source}/{split.name}" for feed in feeds for split in feed]
            logger.warning("%s: given up: %s", ", ".join(names), why_not)
            await self._give_up(feeds)

    async def _settle(self, feeds: list[Feed]) -> str:
        """Have everything delivered finished and saved; return why that did not work."""
        if self._refused:
            return "a table cannot be written; read again from the last checkpoint"
        if not self.lease.is_held:
            return "no heartbeat was answered for too long"
        for feed in feeds:
            feed.hold()
        patience = [feed.drained(feed.declaration.checkpoint.drain_seconds) for feed in feeds]
        drained = all(await asyncio.gather(*patience))
        if not await self._save():
            return "the checkpoint was not taken; read again from the last one"
        if not drained:
            return "agents did not finish in time; read again from the last checkpoint"
        return ""

    async def _give_up(self, feeds: list[Feed]) -> None:
        self._ownership.membership.lost()
        self.checkpoints.changelog.own(())
        self.checkpoints.changelog.discard()
        for feed in feeds:
            feed.drop(list(feed.splits))
            await feed.closed(CLOSE_SECONDS)

    async def _on_shutdown(self, *_args: Any, **_kwargs: Any) -> None:
        async with self._lock:
            await self._quiesce()
            for feed in self.feeds.values():
                await feed.close(CLOSE_SECONDS)
            self.checkpoints.changelog.close()

    # Regularly

    async def _save_regularly(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(self._interval())
            async with self._lock:
                if self._running and self.lease.is_held:
                    await self._save()

    def _interval(self) -> float:
        feeds = self.feeds.values()
        return min((feed.declaration.checkpoint.interval_seconds for feed in feeds), default=1.0)

    async def _save(self) -> bool:
        try:
            return await self.checkpoints.save(split for feed in self._clustered for split in feed)
        except HostError as exc:
            self._refuse(exc)
            return False

    async def _look_after_agents(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(1.0)
            seams.show_activity(self.app)
            for feed in self.feeds.values():
                feed.prune(RETURNED_SECONDS)
