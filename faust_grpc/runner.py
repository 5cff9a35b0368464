"""Runs the sources of one application: start, rebalance, checkpoint, stop.

It is a Faust sensor because Faust starts sensors first, inside the worker's loop and before the
tables, tells them when a rebalance is really over (recovery included), and stops them last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any

from faust.sensors.base import Sensor
from faust.types import AppT
from faust.types.tuples import TP

from . import seams, stores
from .births import Births
from .checkpoints import LEASE_PART, Checkpoints
from .exceptions import (
    ConfigurationError,
    FaustGrpcError,
    PeerError,
    WriteFailed,
)
from .feeds import Feed
from .lifecycle import Lifecycle, Phase
from .observers import Observers
from .ownership import Ownership
from .placement import Placement
from .recovery import BulkRecovery
from .saving import Saving
from .sharing import Sharing
from .subscriptions import Lease
from .unsuited import unsuited_setting

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
        self.births = Births(self.checkpoints)
        self.placement = Placement(app, self.checkpoints)
        self.lifecycle = Lifecycle(app)
        #: Called before Faust's web server and tables start.
        self.starting: list[Callable[[], None]] = []
        changelog = self.checkpoints.changelog
        changelog.first_written = lambda table: self._mark_open(table, changelog.owned)
        self.recovery = BulkRecovery(app, self._before_recovery, self.checkpoints.kafka_options)
        self._ownership = Ownership(app, self.checkpoints, self.add_future)
        self._sharing = Sharing(app, self.placement, self.births)
        self._saving = Saving(
            self.checkpoints,
            self.lease,
            lambda: self._clustered,
            refused=self._on_refused,
            lost=self._on_lost,
        )
        #: Who is told of calls, acks and checkpoints.
        self.observers = self._saving.observers = Observers()
        #: When the group last answered with an assignment.
        self._assigned_at: float | None = None
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
        seams.offer_commands()
        if app.configured:
            seams.install_stream(app)
        app.on_after_configured.connect(self._on_configured)
        app.on_worker_init.connect(self._on_worker_init)
        app.on_partitions_revoked.connect(self._on_revoked)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_before_shutdown.connect(self._on_shutdown)

    def _on_configured(self, *_args: Any, **_kwargs: Any) -> None:
        seams.install_stream(self.app)

    def _on_worker_init(self, *_args: Any, **_kwargs: Any) -> None:
        seams.offer_commands()

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
        feed.on_failed = self._on_refused
        feed.observers = self.observers

    @property
    def checkpoint_age(self) -> float:
        """Seconds since everything that could be saved was saved."""
        ages = (feed.commit_age_seconds for feed in self.feeds.values())
        return max([self._saving.age_seconds, *ages])

    @property
    def transaction_aborts(self) -> int:
        """Transactions that were aborted and written again."""
        transactions = self.checkpoints.transactions
        return 0 if transactions is None else transactions.aborts

    def transactional_ids(self, source: str) -> list[str]:
        """Return the transactional ids with which workers write the checkpoints of a source."""
        ids = self.feeds[source].transactional_ids()
        direct = [feed for feed in self.feeds.values() if not feed.saves_itself]
        if any(feed.declaration.guarantee == "exactly_once" for feed in direct):
            prefix = self.checkpoints.transactional_prefix
            ids += [f"{prefix}-{number}" for number in range(self.app.conf.topic_partitions)]
        return ids

    def is_stale(self, generation: int) -> bool:
        """Return whether a rebalance began since a generation, or the worker stops."""
        return self._ownership.is_stale(generation)

    @property
    def _clustered(self) -> list[Feed]:
        return [feed for feed in self.feeds.values() if feed.declaration.scope == "cluster"]

    # Start

    async def on_first_start(self) -> None:
        """Add the checkpoint tables and take over the changelogs, before Faust starts tables."""
        app = self.app
        for hook in self.starting:
            hook()
        self.recovery.install()
        seams.follow_sends(app, self.checkpoints.sends.follow)
        seams.seek_between_fetches(app)
        seams.note_assignments(app, self._note_assigned)
        written = [table for table in app.tables.values() if not table.is_global]
        for table in written:
            seams.take_over_changelog(table, self.checkpoints.changelog, self._saving.refuse)
        bounds = [feed.declaration.checkpoint for feed in self.feeds.values()]
        self.checkpoints.changelog.bound(
            min(bound.dirty_keys for bound in bounds), min(bound.dirty_bytes for bound in bounds)
        )
        self.births.add(list(self.feeds.values()))
        for name, feed in self.feeds.items():
            # Also for scope="worker", whose cursors are not saved: Faust's consumer cannot start
            # without any topic.
            self.checkpoints.add(name)
            await self._declare(feed)
            if feed.saves_itself:
                continue
            if feed.declaration.guarantee == "exactly_once":
                self._use_transactions(name)
            if not seams.restart_agents(app, feed.channel):
                logger.warning(
                    "%s: no agent reads this source, so nothing is read from its server: declare "
                    "one with @app.agent(...)",
                    name,
                )

    async def _declare(self, feed: Feed) -> None:
        try:
            await feed.declare()
        except FaustGrpcError as exc:
            await self._end_worker(exc, str(exc))

    def _use_transactions(self, source: str) -> None:
        if self.checkpoints.transactions is None:
            self.checkpoints.use_transactions(source)
            # Nobody may see what was written in a transaction that was aborted, and a store on
            # disk that was not closed in order may hold what was never committed.
            seams.read_committed(self.app)
            self.recovery.wipe_unclean = True

    async def on_start(self) -> None:
        """Begin to save, to look after agents, and to ask servers for their schemas."""
        unsuited = unsuited_setting(self.app)
        if unsuited:
            self.add_future(self._end_worker(ConfigurationError(unsuited), unsuited))
            return
        self.add_future(self._saving.run(lambda: self.should_stop))
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

    def _on_refused(self, error: FaustGrpcError) -> None:
        self.add_future(self._end_worker(error, str(error)))

    # Rebalance

    def on_rebalance_start(self, app: AppT) -> dict[str, Any]:
        """The group shares out the partitions anew."""
        self.lifecycle.enter(Phase.REBALANCING)
        return {}

    def on_rebalance_return(self, app: AppT, state: dict[str, Any]) -> None:
        """Ours are known; tables are recovered now."""
        self.lifecycle.enter(Phase.RECOVERING)

    async def _before_recovery(self, _tps: Collection[TP]) -> frozenset[int]:
        """Fence the earlier owners of what we gained off, before its changelogs are read.

        Returns:
            The partitions that need no recovery.
        """
        owned = self._ownership.now()
        kept = self._ownership.kept(owned)
        try:
            await self.checkpoints.fence(owned - kept)
        except FaustGrpcError as exc:
            await self._end_worker(exc, str(exc))
            await asyncio.Event().wait()  # until Faust's recovery is stopped: nothing may begin
        return kept

    def on_rebalance_end(self, app: AppT, state: dict[str, Any]) -> None:
        """A rebalance is over, recovery included (``on_rebalance_complete`` is sent too early)."""
        self.add_future(self._begin(app.consumer_generation_id))

    async def _begin(self, generation: int) -> None:
        if not self.lease.is_held:
            # This process was halted during the recovery: is it still a member? (Not under the
            # lock: the answer may be a revocation, which takes it.)
            await self.lease.renewed()
        await self.placement.find(self._clustered, self._ownership, generation)
        async with self._saving.exclusive():
            if not await self._may_begin(generation):
                return
            owned = self._ownership.now()
            kept = self._ownership.kept(owned)
            self._drop_all_but(kept)
            for feed in self._clustered:
                await feed.closed(CLOSE_SECONDS)
            if self._ownership.is_stale(generation):
                return
            self._ownership.membership.ready(owned)
            self.checkpoints.changelog.own(kept)  # what else was dirty is of an earlier life
            self.checkpoints.own(owned)
            for table in self.checkpoints.changelog.tables:
                self._mark_open(table, owned)
            for begun in self._sharing.assign(list(self.feeds.values()), owned):
                self.add_future(begun)
            self._ownership.tell_idle(self._sharing.placed(self._clustered))
            self._saving.begin(owned)
            self.lifecycle.enter(Phase.RUNNING)
            for feed in self.feeds.values():
                feed.release()

    async def _may_begin(self, generation: int) -> bool:
        try:
            return await self._ownership.is_settled(generation)
        except ConfigurationError as exc:
            await self._end_worker(exc, str(exc))
            return False

    async def _on_assigned(self, *_args: Any, **_kwargs: Any) -> None:
        """The group answered: end the calls of what went to another worker, which need not wait
        for our recovery."""
        seams.watch_heartbeats(self.app, self._on_heartbeat)
        # Not from now: this process may have been halted since the group answered.
        seconds = LEASE_PART * self.app.conf.broker_session_timeout
        self.lease.renew(seconds, since=self._assigned_at)
        self._drop_all_but(self._ownership.kept(self._ownership.now()))

    def _drop_all_but(self, partitions: frozenset[int]) -> None:
        for feed in self._clustered:
            feed.keep_only(partitions)

    def _note_assigned(self, at: float) -> None:
        self._assigned_at = at

    def _on_heartbeat(self) -> None:
        self.lease.renew(LEASE_PART * self.app.conf.broker_session_timeout)

    def _mark_open(self, table: Any, partitions: Collection[int]) -> None:
        """Exactly once: note that a table's store on disk may be ahead of what is committed."""
        if self.checkpoints.transactions is not None:
            for partition in partitions:
                stores.mark_open(table, partition)

    def _mark_closed(self, partitions: Collection[int]) -> None:
        for table in self.checkpoints.changelog.tables:
            for partition in partitions:
                stores.mark_closed(table, partition)

    # Quiesce

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        """Quiesce: early enough because our subscriptions do not depend on Faust's flow control."""
        await self.checkpoints.stop_fencing()
        async with self._saving.exclusive():
            await self._quiesce()

    async def _quiesce(self) -> bool:
        """Finish and save everything, or give it up; return whether it is saved."""
        running = [f"{split.source}/{split.name}" for feed in self._clustered for split in feed]
        why_not = await self._saving.settle() if running else ""
        if why_not:
            logger.warning("%s: given up: %s", ", ".join(running), why_not)
            await self._give_up()
            return False
        self._mark_closed(self.checkpoints.changelog.owned)
        return True

    async def _give_up(self) -> None:
        self._ownership.membership.lost()
        self.checkpoints.give_up()
        for feed in self._clustered:
            feed.keep_only(())
            await feed.closed(CLOSE_SECONDS)

    def _on_lost(self) -> None:
        """Nobody knows what the tables should hold: recover them, once we are heard again."""
        self.add_future(self._start_over())

    async def _start_over(self) -> None:
        generation = self.app.consumer_generation_id
        async with self._saving.exclusive():
            await self._give_up()
        if not self.lease.is_held:
            await self.lease.renewed()
        if not self._ownership.is_stale(generation):
            await seams.ask_for_rejoin(self.app)

    async def _on_shutdown(self, *_args: Any, **_kwargs: Any) -> None:
        await self.checkpoints.stop_fencing()
        async with self._saving.exclusive():
            self.lifecycle.enter(Phase.STOPPING)
            if await self._quiesce():
                await self._seal()
            for feed in self.feeds.values():
                await feed.close(CLOSE_SECONDS)
            self.checkpoints.close()

    async def _seal(self) -> None:
        if self.app.rebalancing:
            return  # what was ours may be with others, who wrote newer values and will seal it
        ours = self._ownership.kept(self._ownership.now())
        try:
            await self.checkpoints.seal(ours, self.recovery.unsealed)
        except WriteFailed as exc:
            logger.warning("Changelogs end in a transaction's marker: %s", exc)

    # Regularly

    async def _look_after_agents(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(1.0)
            seams.show_activity(self.app)
            self.lifecycle.complain()
            for feed in self.feeds.values():
                feed.look_after(RETURNED_SECONDS)
