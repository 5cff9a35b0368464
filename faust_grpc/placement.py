"""Which partition a split belongs to: the one that has its checkpoint, and the tables beside it.

Only a split without a checkpoint goes by its place in the list of splits. So splits may be added
and removed anywhere in the list, and put into another order, while others are at work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping

from faust.types import AppT

from .assignment import partition_of
from .checkpoint_topic import CheckpointTopic
from .checkpoints import Checkpoints, in_thread
from .exceptions import HostError
from .feeds import Feed
from .ownership import Ownership

__all__ = ["Placement"]

logger = logging.getLogger(__name__)

#: Before the broker is asked again where splits belong.
AGAIN_SECONDS = 1.0


class Placement:
    """The partitions of all splits that have a checkpoint.

    Arguments:
        app: the application.
        checkpoints: of all sources.
    """

    def __init__(self, app: AppT, checkpoints: Checkpoints) -> None:
        self.app = app
        self._checkpoints = checkpoints
        #: Once a split has a place, it stays there.
        self._places: dict[str, dict[str, int]] = {}

    def places(self, source: str) -> Mapping[str, int]:
        """Return the partitions of a source's splits, as far as they have checkpoints."""
        return self._places.get(source, {})

    async def find(self, feeds: Collection[Feed], ownership: Ownership, generation: int) -> None:
        """Look for the checkpoints of splits that we would read: they may be in other partitions.

        Asks for as long as the broker does not answer, and another rebalance has not begun.

        Arguments:
            feeds: sources whose splits are shared out.
            ownership: our partitions; their checkpoints are recovered.
            generation: of the group when they were assigned.
        """
        while not ownership.is_stale(generation):
            owned = ownership.now()
            try:
                await asyncio.gather(*(self._find(feed, owned) for feed in feeds))
                return
            except HostError as exc:
                logger.warning("Where splits belong is not known yet: %s; asking again", exc)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _find(self, feed: Feed, owned: frozenset[int]) -> None:
        declared = feed.declaration
        places = self._places.setdefault(declared.name, {})
        if not feed.saves_itself:
            places.update(self._checkpoints.partitions(declared.name))
        count = self.app.conf.topic_partitions
        candidates = [
            split.name
            for index, split in enumerate(declared.splits)
            # A feed that saves itself has nothing recovered: what is ours is seen only there.
            if split.name not in places
            and (feed.saves_itself or partition_of(index, count) in owned)
        ]
        if candidates:
            options = self._checkpoints.kafka_options
            topic = CheckpointTopic(self.app, declared.name, declared.splits, options)
            for split in await in_thread(topic.read):
                if split.saved is not None:
                    places.setdefault(split.name, split.partition)
