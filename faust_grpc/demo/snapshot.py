"""What the demo looks like at one moment."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

from .cluster import Cluster
from .settings import REGIONS

__all__ = ["Observer", "Snapshot", "SplitView", "WorkerView"]

#: Rates are taken over so long.
_WINDOW_SECONDS = 2.0


@dataclass(frozen=True)
class SplitView:
    """One split.

    Arguments:
        name: the split.
        owner: the worker that reads it, or empty.
        state: what it is doing there.
        sent: orders that the service sent.
        processed: orders that every agent finished, in order from the first.
        rate: orders processed per second.
    """

    name: str
    owner: str
    state: str
    sent: int
    processed: int
    rate: float

    @property
    def lag(self) -> int:
        """Orders sent and not processed."""
        return max(0, self.sent - self.processed)


@dataclass(frozen=True)
class WorkerView:
    """One worker.

    Arguments:
        name: the worker.
        state: ``starting``, ``working``, ``idle``, ``killed``, ``stopped`` or ``crashed``.
        splits: those that it reads.
    """

    name: str
    state: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """Everything.

    Arguments:
        seconds: since the demo began.
        service: whether the order service is up.
        splits: in the order of their partitions.
        workers: in the order they joined.
    """

    seconds: float
    service: bool
    splits: tuple[SplitView, ...]
    workers: tuple[WorkerView, ...]

    @property
    def processed(self) -> int:
        """Orders processed in all."""
        return sum(split.processed for split in self.splits)

    @property
    def all_read(self) -> bool:
        """Every split has an owner whose call the server accepted."""
        return all(split.state in ("open", "receiving") for split in self.splits)

    def owned_by(self, worker: str) -> list[str]:
        """Return the splits that a worker reads."""
        return [split.name for split in self.splits if split.owner == worker]


@dataclass
class Observer:
    """Asks the service and the workers.

    Arguments:
        cluster: the processes.
        began: when the demo began, by the monotonic clock.
    """

    cluster: Cluster
    began: float
    _processed: dict[str, int] = field(default_factory=dict)
    _history: deque[tuple[float, dict[str, int]]] = field(default_factory=deque)

    def look(self) -> Snapshot:
        """Return what is there now."""
        now = time.monotonic()
        sent = self.cluster.sent()
        owners: dict[str, tuple[str, str]] = {}
        for name, member in self.cluster.members.items():
            for split in member.splits():
                region, cursor = split["name"], split["cursor"] or 0
                owners[region] = (name, split["state"])
                # A new owner begins behind what the old one had done, but not saved.
                self._processed[region] = max(cursor, self._processed.get(region, 0))
        self._history.append((now, dict(self._processed)))
        while now - self._history[0][0] > _WINDOW_SECONDS:
            self._history.popleft()
        splits = tuple(self._split(region, owners, sent) for region in REGIONS)
        return Snapshot(now - self.began, self.cluster.service.alive, splits, self._workers(splits))

    def _split(
        self, region: str, owners: dict[str, tuple[str, str]], sent: dict[str, int]
    ) -> SplitView:
        owner, state = owners.get(region, ("", "unowned"))
        processed = self._processed.get(region, 0)
        (first, before), (last, _) = self._history[0], self._history[-1]
        done = processed - before.get(region, 0)
        rate = done / (last - first) if last > first else 0.0
        return SplitView(region, owner, state, sent.get(region, 0), processed, rate)

    def _workers(self, splits: tuple[SplitView, ...]) -> tuple[WorkerView, ...]:
        views = []
        for name, member in self.cluster.members.items():
            own = tuple(split.name for split in splits if split.owner == name)
            if member.process.alive:
                begun = member.status_file.exists()
                state = "working" if own else ("idle" if begun else "starting")
            else:
                state = member.ending or "crashed"
            views.append(WorkerView(name, state, own))
        return tuple(views)
