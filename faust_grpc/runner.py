"""Runs the sources of one application: start, rebalance, checkpoint, stop.

It is a Faust sensor because Faust starts sensors first, inside the worker's loop and before the
tables, tells them when a rebalance is really over (recovery included), and stops them last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from confluent_kafka import Producer
from faust.sensors.base import Sensor
from faust.types import AppT

from . import seams
from .assignment import Membership, Owned, co_owned, wanted_splits
from .changelog import Batch, Changelog, Write, WriteFailed, encode
from .cursors import dump_cursor, load_cursor
from .exceptions import ConfigurationError, HostError, PeerError
from .feeds import Assigned, Feed
from .kafka import producer
from .partitions import find_mismatch
from .protocol import Checkpoint
from .splits import RunningSplit
from .subscriptions import Lease

__all__ = ["Runner"]

logger = logging.getLogger(__name__)

#: Nothing is taken, delivered or saved when the last heartbeat is older than this part of the
#: session time-out: at the whole of it the group gives our partitions to another worker.
LEASE_PART = 0.7

#: An agent whose iteration is over for so long returned; a crashed one is restarted sooner.
RETURNED_SECONDS = 10.0

#: Before the group is asked to look again for a new topic: doubled up to a limit.
REJOIN_FIRST_SECONDS, REJOIN_LAST_SECONDS = 0.5, 60.0

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
        self.kafka_options: dict[str, Any] = {}
        self.changelog = Changelog(self._new_producer)
        self.owned: frozenset[int] = frozenset()
        self._membership = Membership()
        self._checkpoints: dict[str, seams.CheckpointTable] = {}
        self._lock = asyncio.Lock()
        self._running = False
        self._partitions_known = False
        self._refused = False
        self._rejoins = 0
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
        for feed in self.feeds.values():
            # Also for scope="worker", whose cursors are not saved: Faust's consumer cannot start
            # without any topic.
            self._checkpoints[feed.declaration.name] = app.tables.add(  # type: ignore[assignment]
                seams.CheckpointTable(
                    app,
                    name=f"{feed.declaration.name}-checkpoint",
                    partitions=app.conf.topic_partitions,
                    beacon=app.tables.beacon,
                )
            )
        checkpoints = set(self._checkpoints.values())
        for table in app.tables.values():
            if table not in checkpoints and not table.is_global:
                seams.take_over_changelog(table, self.changelog, self._refuse)
        for feed in self.feeds.values():
            agents = seams.restart_agents(app, feed.channel)
            if not agents:
                logger.warning(
                    "%s: no agent reads this source, so nothing is read from its server: declare "
                    "one with @app.agent(...)",
                    feed.declaration.name,
                )

    def _refuse(self, error: HostError) -> None:
        """End the worker, and save nothing more: the event that failed must be read again."""
        self._running, self._refused = False, True
        logger.critical("%s", error)
        self.add_future(seams.end_worker(self.app, error, str(error)))

    async def on_start(self) -> None:
        """Begin to save, to look after agents, and to ask servers for their schemas."""
        self.add_future(self._save_regularly())
        self.add_future(self._prune_regularly())
        for feed in self.feeds.values():
            self.add_future(self._prepare(feed))

    async def _prepare(self, feed: Feed) -> None:
        try:
            await feed.prepare()
        except (ConfigurationError, PeerError) as exc:
            logger.critical("%s: %s", feed.declaration.name, exc)
            await feed.close(CLOSE_SECONDS)
            await seams.end_worker(self.app, exc, f"{feed.declaration.name}: {exc}")

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
            if self._is_stale(generation) or not self._have_topics(generation):
                return
            if not await self._partitions_fit():
                return
            continuous = self._membership.joined(generation)
            for feed in self._clustered:
                if not continuous:
                    feed.drop(list(feed.splits))
                await feed.closed(CLOSE_SECONDS)
            if self._is_stale(generation):
                return
            self.owned = self._owned()
            self.changelog.own(self.owned)
            self._assign()
            self._running = True
            for feed in self.feeds.values():
                feed.release()

    def _is_stale(self, generation: int) -> bool:
        app = self.app
        return generation != app.consumer_generation_id or app.rebalancing or self.should_stop

    def _have_topics(self, generation: int) -> bool:
        """Return whether the group knew all our changelogs; else have it look again.

        At the very first boot Faust may assign before a new changelog exists.
        """
        known = self.app.assignor._topic_groups  # type: ignore[attr-defined]
        missing = [topic for topic in self._topics() if topic not in known]
        if missing:
            self.add_future(self._rejoin(generation, missing))
        else:
            self._rejoins = 0
        return not missing

    async def _rejoin(self, generation: int, missing: list[str]) -> None:
        # Every rejoin halts the whole group: ask less and less often for a topic that stays away.
        seconds = min(REJOIN_FIRST_SECONDS * 2**self._rejoins, REJOIN_LAST_SECONDS)
        self._rejoins += 1
        logger.log(
            logging.INFO if self._rejoins < 3 else logging.WARNING,
            "The group does not know %s yet: joining again in %g s",
            ", ".join(missing),
            seconds,
        )
        await asyncio.sleep(seconds)
        if not self._is_stale(generation):
            await seams.ask_for_rejoin(self.app)

    def _topics(self) -> list[str]:
        """Return the changelogs of all tables that a source's events may write, checkpoints too."""
        app = self.app
        return [
            table.changelog_topic_name
            for table in app.tables.values()
            if not table.is_global and (table.partitions or 0) in (0, app.conf.topic_partitions)
        ]

    async def _partitions_fit(self) -> bool:
        """Return whether all topics have the app's partition count; else end the worker."""
        if not self._partitions_known:
            found = await find_mismatch(self.app, self.kafka_options, self._topics())
            if found is not None:
                logger.critical(found)
                await seams.end_worker(self.app, ConfigurationError(found), found)
                return False
            self._partitions_known = True
        return True

    def _co_owned(self) -> Owned:
        return co_owned(
            self.app.assignor.assigned_actives(),
            [table.changelog_topic_name for table in self._checkpoints.values()],
            self._topics(),
        )

    def _owned(self) -> frozenset[int]:
        owned = self._co_owned()
        if owned.waiting:
            logger.warning(
                "Partitions %s: their tables are with another worker; waiting for the next "
                "rebalance (a rolling upgrade that adds a table does this once)",
                sorted(owned.waiting),
            )
        return owned.partitions

    def _assign(self) -> None:
        for feed in self.feeds.values():
            declaration = feed.declaration
            if declaration.scope == "worker":
                # No table partition belongs to events that every worker sees.
                feed.assign({split.name: Assigned(-1, None) for split in declaration.splits})
                continue
            wanted = wanted_splits(declaration.splits, self.app.conf.topic_partitions, self.owned)
            saved: Any = self._checkpoints[declaration.name].data
            feed.assign(
                {
                    name: Assigned(partition, self._saved_cursor(saved.data.get(name)))
                    for name, partition in wanted.items()
                }
            )
            logger.info(
                "%s: %d of %d splits are ours: %s",
                declaration.name,
                len(wanted),
                len(declaration.splits),
                ", ".join(wanted) or "none",
            )

    @staticmethod
    def _saved_cursor(stored: Any) -> Any:
        return None if stored is None else load_cursor(stored["cursor"])

    def _on_heartbeat(self) -> None:
        self.lease.renew(LEASE_PART * self.app.conf.broker_session_timeout)

    async def _on_assigned(self, *_args: Any, **_kwargs: Any) -> None:
        """The group answered: end the calls of what went to another worker, which need not wait
        for our recovery."""
        seams.watch_heartbeats(self.app, self._on_heartbeat)
        self._on_heartbeat()
        owned = self._co_owned().partitions
        for feed in self._clustered:
            feed.drop([split.name for split in feed if split.partition not in owned])

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        """Quiesce: early enough because our subscriptions do not depend on Faust's flow control."""
        async with self._lock:
            await self._quiesce()

    async def _quiesce(self) -> None:
        self._running = False
        feeds = self._clustered
        if not any(feed.splits for feed in feeds):
            return
        if self._refused:
            await self._give_up(feeds)
            return
        if not self.lease.is_held:
            logger.warning("No heartbeat was answered for too long: giving up all splits")
            await self._give_up(feeds)
            return
        for feed in feeds:
            feed.hold()
        drained = [await feed.drained(feed.declaration.checkpoint.drain_seconds) for feed in feeds]
        saved = await self._save()
        if not all(drained) or not saved:
            names = [f"{split.source}/{split.name}" for feed in feeds for split in feed]
            why = "agents did not finish in time" if saved else "the checkpoint was not taken"
            logger.warning("%s: %s; read again from the last checkpoint", ", ".join(names), why)
            await self._give_up(feeds)

    async def _give_up(self, feeds: Iterable[Feed]) -> None:
        self._membership.lost()
        self.changelog.own(())
        self.changelog.discard()
        for feed in feeds:
            feed.drop(list(feed.splits))
            await feed.closed(CLOSE_SECONDS)

    # Checkpoints

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
        """Write the tables, then the cursors that were safe before; return whether it worked."""
        moved = self._moved()
        batches = self.changelog.snapshot()
        if not moved and not batches:
            return True
        loop = asyncio.get_running_loop()
        try:
            tables = await encode(batches)
            write, may_write = self.changelog.write, lambda: self.lease.is_held
            offsets = await loop.run_in_executor(None, write, tables, may_write)
            cursors = await encode(self._cursor_batches(moved))
            await loop.run_in_executor(None, write, cursors, may_write)
        except WriteFailed as exc:
            logger.error("Checkpoint not saved, trying again: %s", exc)
            self.changelog.put_back(batches)
            return False
        for table in self.app.tables.values():
            for tp, offset in offsets.items():
                if tp.topic == table.changelog_topic_name:
                    table.data.set_persisted_offset(tp, offset)
        for split, checkpoint in moved:
            split.protocol.saved(checkpoint)
            saved = self._checkpoints[split.source]
            saved.remember(split.name, split.partition, _stored(checkpoint))
        return True

    def _new_producer(self) -> Producer:
        # A record is written while the lease is held. Should this process be halted with it, it
        # must not be sent once another worker may have written newer values.
        conf = self.app.conf
        timeout_ms = int(1000 * (1 - LEASE_PART) * conf.broker_session_timeout)
        return producer(self.app, {"message.timeout.ms": timeout_ms, **self.kafka_options})

    def _moved(self) -> list[tuple[RunningSplit, Checkpoint]]:
        return [
            (split, checkpoint)
            for feed in self._clustered
            for split in feed
            if (checkpoint := split.protocol.checkpoint()) is not None
        ]

    def _cursor_batches(self, moved: Iterable[tuple[RunningSplit, Checkpoint]]) -> list[Batch]:
        batches: dict[int, list[Write]] = {}
        for split, checkpoint in moved:
            table = self._checkpoints[split.source]
            write = Write(table, split.name, _stored(checkpoint), None, None)
            batches.setdefault(split.partition, []).append(write)
        return [Batch(partition, {}, writes) for partition, writes in batches.items()]

    # Agents that returned, and the end

    async def _prune_regularly(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(1.0)
            seams.show_activity(self.app)
            for feed in self.feeds.values():
                feed.prune(RETURNED_SECONDS)

    async def _on_shutdown(self, *_args: Any, **_kwargs: Any) -> None:
        async with self._lock:
            await self._quiesce()
            for feed in self.feeds.values():
                await feed.close(CLOSE_SECONDS)
            self.changelog.close()


def _stored(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"cursor": dump_cursor(checkpoint.cursor)}
