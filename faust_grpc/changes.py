"""What is to be changed in checkpoint records, beside the cursors that moved by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from .exceptions import HostError
from .saved import Saved

__all__ = ["Change", "Changes"]


@dataclass(frozen=True)
class Change:
    """One record to be changed.

    Arguments:
        source: its name.
        split: its name.
        partition: where the split belongs.
        apply: what is saved → what is to be saved.
        done: gets its result when it is written.
    """

    source: str
    split: str
    partition: int
    apply: Callable[[Saved], Saved]
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def written(self) -> None:
        """The broker has it."""
        if not self.done.done():
            self.done.set_result(None)

    def lost(self) -> None:
        """It will not be written."""
        if not self.done.done():
            self.done.set_exception(HostError(f"{self.source}/{self.split} went to another worker"))
            self.done.exception()  # asked for here: nobody has to


class Changes:
    """Changes that wait for the next checkpoint, in order."""

    def __init__(self) -> None:
        self._waiting: list[Change] = []

    def add(self, change: Change) -> None:
        """Have a record changed with the next checkpoint of its partition."""
        self._waiting.append(change)

    def take(self, partitions: Collection[int] | None) -> dict[int, list[Change]]:
        """Take the changes of some partitions (``None``: of all), by partition."""
        taken: dict[int, list[Change]] = {}
        left = []
        for change in self._waiting:
            if partitions is None or change.partition in partitions:
                taken.setdefault(change.partition, []).append(change)
            else:
                left.append(change)
        self._waiting = left
        return taken

    def put_back(self, changes: Iterable[Change]) -> None:
        """They could not be written: again with the next checkpoint."""
        self._waiting[:0] = changes

    def keep(self, partitions: Collection[int]) -> None:
        """Give up the changes of all other partitions: they are not ours any more."""
        for change in self._waiting:
            if change.partition not in partitions:
                change.lost()
        self._waiting = [change for change in self._waiting if change.partition in partitions]
