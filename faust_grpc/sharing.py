"""Gives each source those of its splits whose partitions are this worker's."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

from faust.types import AppT

from .assignment import wanted_splits
from .births import Births
from .feeds import Assigned, Feed
from .placement import Placement

__all__ = ["Sharing"]

logger = logging.getLogger(__name__)


class Sharing:
    """Which splits run here.

    Arguments:
        app: the application.
        placement: the partition that a split belongs to.
        births: where a split begins.
    """

    def __init__(self, app: AppT, placement: Placement, births: Births) -> None:
        self._app = app
        self._placement = placement
        self._births = births

    def assign(
        self, feeds: Iterable[Feed], owned: frozenset[int]
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """Have sources run the splits of partitions; yield what is to be noted about them.

        Arguments:
            feeds: the sources.
            owned: the partitions that are ours.
        """
        for feed in feeds:
            declaration = feed.declaration
            if declaration.scope == "worker":
                # No table partition belongs to events that every worker sees.
                feed.assign({split.name: Assigned(-1, None) for split in declaration.splits})
                continue
            wanted = self._wanted(feed, owned)
            assigned = self._births.assigned(feed, wanted)
            feed.assign(assigned)
            logger.info(
                "%s: %d of %d splits are ours: %s",
                declaration.name,
                len(wanted),
                len(declaration.splits),
                ", ".join(wanted) or "none",
            )
            yield self._births.note(feed, assigned)

    def placed(self, feeds: Iterable[Feed]) -> frozenset[int]:
        """Return the partitions that splits belong to, ours and others."""
        everywhere = frozenset(range(self._app.conf.topic_partitions))
        return frozenset(
            partition for feed in feeds for partition in self._wanted(feed, everywhere).values()
        )

    def _wanted(self, feed: Feed, owned: frozenset[int]) -> dict[str, int]:
        name, count = feed.declaration.name, self._app.conf.topic_partitions
        places = self._placement.places(name)
        return dict(wanted_splits(feed.declaration.splits, count, owned, places))
