"""What people may do to running splits: pause, resume, restart them, and move their cursors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from .exceptions import ConfigurationError, HostError, nearest
from .feeds import Feed
from .lifecycle import Phase
from .runner import CLOSE_SECONDS, Runner
from .saved import Saved
from .types import CursorValue

__all__ = ["Control", "NotHere"]

logger = logging.getLogger(__name__)

#: How long the broker may take to keep a change.
SAVE_SECONDS = 10.0

#: Why a split is paused, when nobody said it.
BY_A_PERSON = "paused by a person"


class NotHere(HostError):
    """A split runs in another worker."""


class Control:
    """The splits of one source that run in this worker.

    Arguments:
        runner: of the application.
        feed: the source.
    """

    def __init__(self, runner: Runner, feed: Feed) -> None:
        self._runner = runner
        self._feed = feed

    @property
    def _name(self) -> str:
        return self._feed.declaration.name

    async def pause(self, split: str | None = None, reason: str = BY_A_PERSON) -> list[str]:
        """Read nothing from now on, whichever worker owns the split; return what was paused.

        What agents were given is finished and saved.

        Arguments:
            split: its name; default: all that run here.
            reason: shown in its status.

        Raises:
            ConfigurationError: there is no such split.
            NotHere: it runs in another worker.
            HostError: it is paused here, but that could not be saved.
        """
        names = self._here(split)
        for name in names:
            self._feed.pause(name, reason)
            logger.info("%s/%s: paused: %s", self._name, name, reason)
        await self._save(names, lambda saved: replace(saved, paused=reason))
        return names

    async def resume(self, split: str | None = None, *, skip: bool = False) -> list[str]:
        """Read again; return what was resumed. Errors are those of :meth:`pause`.

        Arguments:
            split: its name; default: all that run here.
            skip: pass over the message at which the split was halted.
        """
        names = self._here(split)
        for name in names:
            self._feed.resume(name, skip=skip)
            logger.info("%s/%s: resumed%s", self._name, name, ", one message skipped" * skip)
        await self._save(names, lambda saved: replace(saved, paused=""))
        return names

    async def restart(self, split: str | None = None) -> list[str]:
        """Call again now, also after an end that needs a person; return what was restarted.

        Argument and errors are those of :meth:`pause`.
        """
        names = self._here(split)
        for name in names:
            self._feed.restart(name)
            logger.info("%s/%s: restarted", self._name, name)
        await self._save(names, lambda saved: replace(saved, paused=""))
        return names

    async def move(self, split: str, cursor: CursorValue | None) -> None:
        """Resume a split behind another position.

        What agents were given is finished first; they get ``drain_seconds`` for it.

        Arguments:
            split: its name.
            cursor: the position; ``None`` begins as the first start did.

        Raises:
            ConfigurationError: there is no such split, or it has no such position.
            NotHere: it runs in another worker.
            HostError: agents did not finish in time, or it could not be saved; the split goes on
                where it was.
        """
        (name,) = self._here(split)
        self._check(name, cursor)
        generation = self._runner.app.consumer_generation_id
        assigned = await self._feed.set_aside(name, CLOSE_SECONDS)
        record = Saved(cursor, paused=assigned.paused)
        saved = self._change(name, assigned.partition, lambda _before: record)
        try:
            await self._written([saved])
            logger.warning(
                "%s/%s: cursor set from %r to %r", self._name, name, assigned.resume, cursor
            )
            assigned = assigned._replace(resume=cursor, lost="")
        finally:
            # After a rebalance it was assigned anew, here or elsewhere.
            if not self._runner.is_stale(generation):
                self._feed.put_back(name, assigned)

    def _check(self, split: str, cursor: CursorValue | None) -> None:
        declared, plan = self._feed.declaration, self._feed.plan
        if declared.cursor is None or declared.scope == "worker":
            raise ConfigurationError(f"source {self._name!r} saves no cursor: nothing to set")
        kind = plan.cursor.kind if plan is not None and plan.cursor is not None else None
        found = type(cursor).__name__
        if cursor is not None and kind not in (None, found):
            raise ConfigurationError(
                f"{self._name}/{split}: cursor {cursor!r} is {found}; the source's is {kind}"
            )

    def _here(self, split: str | None) -> list[str]:
        lifecycle = self._runner.lifecycle
        if lifecycle.phase is not Phase.RUNNING:
            raise HostError(f"this worker waits for {lifecycle.waiting_for}: try again")
        running = list(self._feed.splits)
        if split is None:
            return running
        declared = [one.name for one in self._feed.declaration.splits]
        if split not in declared:
            clause = nearest(split, declared)
            raise ConfigurationError(f"source {self._name!r} has no split {split!r}: {clause}")
        if split not in running:
            raise NotHere(f"{self._name}/{split} does not run in this worker")
        return [split]

    async def _save(self, names: Iterable[str], change: Callable[[Saved], Saved]) -> None:
        if self._feed.declaration.scope == "worker":
            return  # nothing of such a source is saved
        if self._feed.saves_itself:
            # Such a split knows that it is paused, and saves it with its next cursor.
            kept = [asyncio.ensure_future(self._feed.kept(name)) for name in names]
            try:
                await self._written(kept)
            finally:
                for wait in kept:
                    wait.cancel()
            return
        splits = [self._feed.splits[name] for name in names]
        await self._written([self._change(split.name, split.partition, change) for split in splits])

    def _change(
        self, split: str, partition: int, change: Callable[[Saved], Saved]
    ) -> asyncio.Future[None]:
        return self._runner.checkpoints.change(self._name, split, partition, change)

    async def _written(self, changes: Sequence[asyncio.Future[None]]) -> None:
        if not changes:
            return
        _, pending = await asyncio.wait(changes, timeout=SAVE_SECONDS)
        if pending:
            raise HostError(
                f"{self._name}: not saved within {SAVE_SECONDS:g} s: the broker takes no "
                "checkpoints, or agents do not finish; it is tried again with the next one"
            )
        for change in changes:
            change.result()
