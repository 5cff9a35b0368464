"""What this worker owns, as Faust's group sees it: asked, waited for, and checked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from faust.types import AppT

from . import seams
from .assignment import Membership, co_owned
from .checkpoints import Checkpoints
from .exceptions import ConfigurationError
from .partitions import find_mismatch

__all__ = ["Ownership"]

logger = logging.getLogger(__name__)

#: Before the group is asked to look again for a new topic: doubled up to a limit.
REJOIN_FIRST_SECONDS, REJOIN_LAST_SECONDS = 0.5, 60.0


class Ownership:
    """The partitions whose splits this worker runs.

    Arguments:
        app: the application.
        checkpoints: their topics decide; other tables must be co-assigned.
        later: runs what is to be done beside, for as long as the worker runs.
    """

    def __init__(
        self,
        app: AppT,
        checkpoints: Checkpoints,
        later: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self.app = app
        self._later = later
        self.membership = Membership()
        self._checkpoints = checkpoints
        self._partitions_known = False
        self._rejoins = 0
        self._told_idle: frozenset[str] = frozenset()

    def topics(self) -> list[str]:
        """Return the changelogs of all tables that a source's events may write, checkpoints too."""
        partitions = self.app.conf.topic_partitions
        return [
            table.changelog_topic_name
            for table in self.app.tables.values()
            if not table.is_global and (table.partitions or 0) in (0, partitions)
        ]

    def now(self) -> frozenset[int]:
        """Return the partitions that are ours in all topics."""
        owned = co_owned(
            self.app.assignor.assigned_actives(), self._checkpoints.topics, self.topics()
        )
        if owned.waiting:
            logger.warning(
                "Partitions %s: their tables are with another worker; waiting for the next "
                "rebalance (a rolling upgrade that adds a table does this once)",
                sorted(owned.waiting),
            )
        return owned.partitions

    def kept(self, owned: frozenset[int]) -> frozenset[int]:
        """Return those of our partitions that have been ours without a break."""
        return self.membership.assigned(self.app.consumer_generation_id, owned)

    def tell_idle(self, placed: frozenset[int]) -> None:
        """Warn, once for the same workers, of those that have no split.

        Arguments:
            placed: the partitions that splits belong to; none when no source shares them out.
        """
        if not placed:
            return
        topics = set(self._checkpoints.topics)
        owned = {
            url: {
                number
                for topic, numbers in by_topic.items()
                if topic in topics
                for number in numbers
            }
            for url, by_topic in self.app.router.tables_metadata().items()
        }
        idle = frozenset(url for url, numbers in owned.items() if not numbers & placed)
        if len(idle) == len(owned):
            return  # somebody reads: workers of one host without web ports share one address
        if idle - self._told_idle:
            logger.warning(
                "%d of %d workers have no split to read (a split is read by one worker): %s",
                len(idle),
                len(owned),
                ", ".join(sorted(idle)),
            )
        self._told_idle = idle

    def is_stale(self, generation: int) -> bool:
        """Return whether another rebalance began, or the worker stops."""
        app = self.app
        return generation != app.consumer_generation_id or app.rebalancing or app.should_stop

    async def is_settled(self, generation: int) -> bool:
        """Return whether splits may begin; have the group look again for topics that it lacks.

        Raises:
            ConfigurationError: a topic has another number of partitions.
        """
        if self.is_stale(generation):
            return False
        missing = self._missing_topics()
        if missing:
            self._later(self._rejoin(generation, missing))
            return False
        await self._check_partitions()
        return True

    def _missing_topics(self) -> list[str]:
        """Return the changelogs that the group did not know.

        At the very first boot Faust may assign before a new changelog exists.
        """
        known = self.app.assignor._topic_groups  # type: ignore[attr-defined]
        missing = [topic for topic in self.topics() if topic not in known]
        if not missing:
            self._rejoins = 0
        return missing

    async def _rejoin(self, generation: int, missing: list[str]) -> None:
        """Have the group look again for a topic, after a while."""
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
        if not self.is_stale(generation):
            await seams.ask_for_rejoin(self.app)

    async def _check_partitions(self) -> None:
        """Ask the broker, once, whether all topics have the app's partition count.

        Raises:
            ConfigurationError: one has another.
        """
        if self._partitions_known:
            return
        found = await find_mismatch(self.app, self._checkpoints.kafka_options, self.topics())
        if found is not None:
            raise ConfigurationError(found)
        self._partitions_known = True
