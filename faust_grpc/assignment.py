"""Which splits are ours: pure decisions about partitions and generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from .types import Split

__all__ = ["Membership", "Owned", "co_owned", "partition_of", "wanted_splits"]


class Membership:
    """Which partitions have been this worker's without a break, with their tables and splits.

    Such a partition needs no recovery, and its splits stay open over a rebalance. A worker that
    missed a generation (stopped, cut off from the network) may find "its" partition again after
    another one had it.
    """

    def __init__(self) -> None:
        self._generation: int | None = None
        self._held: frozenset[int] = frozenset()

    def assigned(self, generation: int, owned: frozenset[int]) -> frozenset[int]:
        """The group answered; return what was and is ours. Asked again, the answer is the same.

        Arguments:
            generation: the group's.
            owned: the partitions that are ours in it.
        """
        if generation != self._generation:
            follows = self._generation is not None and generation == self._generation + 1
            self._held = self._held & owned if follows else frozenset()
            self._generation = generation
        return self._held

    def ready(self, owned: frozenset[int]) -> None:
        """Everything of these partitions is recovered and runs."""
        self._held = owned

    def lost(self) -> None:
        """We left, were put out, or gave up: nothing was kept."""
        self._generation = None
        self._held = frozenset()


class Owned(NamedTuple):
    """What :func:`co_owned` found."""

    partitions: frozenset[int]
    #: Partitions of the checkpoint whose tables are (for now) with another worker.
    waiting: frozenset[int]


def co_owned(
    actives: Iterable[tuple[str, int]], checkpoints: Iterable[str], tables: Iterable[str]
) -> Owned:
    """Return the partitions that we own in every topic that an event of them may touch.

    Faust's assignor gives topics with equal partition count and equal subscribers one shared
    assignment. A rolling upgrade that adds a table splits them for one generation.

    Arguments:
        actives: (topic, partition) that this worker owns.
        checkpoints: changelog topics of the sources' checkpoints.
        tables: changelog topics of the tables that sources may write.
    """
    by_topic: dict[str, set[int]] = {}
    for topic, partition in actives:
        by_topic.setdefault(topic, set()).add(partition)
    ours = [by_topic.get(topic, set()) for topic in checkpoints]
    owned = set.intersection(*ours) if ours else set()
    ready = owned.intersection(*(by_topic.get(topic, set()) for topic in tables))
    return Owned(frozenset(ready), frozenset(owned - ready))


def partition_of(index: int, partitions: int) -> int:
    """Return the partition that a split at an index belongs to, unless it has one already."""
    return index % partitions


def wanted_splits(
    splits: Sequence[Split],
    partitions: int,
    owned: frozenset[int],
    places: Mapping[str, int] = MappingProxyType({}),
) -> Mapping[str, int]:
    """Return the splits to run here, by name, with their partitions.

    Arguments:
        splits: as declared.
        partitions: the app's.
        owned: those that are ours.
        places: of splits that have a partition already.
    """
    found = {
        split.name: places.get(split.name, partition_of(index, partitions))
        for index, split in enumerate(splits)
    }
    return {name: partition for name, partition in found.items() if partition in owned}
