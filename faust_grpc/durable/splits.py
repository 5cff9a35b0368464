"""One split on its way into a topic: taken over, read, written, committed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ..backoff import Delays
from ..config import Backoff
from ..exceptions import ConfigurationError, Fenced, HostError, WriteFailed
from ..saved import Saved
from ..splits import RunningSplit, SplitState
from ..types import CursorValue
from .outlet import Outlet
from .posting import Posting
from .saved import CheckpointRecord
from .thread import LoopThread
from .waiters import Waiters
from .writers import SplitWriter

__all__ = ["DurableSplit"]

logger = logging.getLogger(__name__)

#: While no heartbeat is answered, how often to look whether one was.
_LEASE_SECONDS = 0.05
#: Between two attempts to write.
_BACKOFF = Backoff(initial_seconds=0.5, maximum_seconds=5.0)

#: Times in a row that a split is taken over again after it was fenced.
_MOST_FENCED = 3

_T = TypeVar("_T")


class DurableSplit(RunningSplit):
    """One split of a source, written into a topic by this process.

    It is made, and its public methods are called, on Faust's event loop, as those of any running
    split. It works in the source's own thread: there it is the running split that it inherits from.

    Arguments:
        *arguments: as for :class:`RunningSplit`; the sink is replaced.
        thread: where it works.
        outlet: what it writes with.
        is_known: it was at work before: that no checkpoint is found means that it is lost.
        **options: as for :class:`RunningSplit`.
    """

    def __init__(
        self,
        *arguments: Any,
        thread: LoopThread,
        outlet: Outlet,
        is_known: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._thread = thread
        self._outlet = outlet
        #: What is in the topic of checkpoints.
        self._saved = Saved()
        self._is_known = is_known
        #: Why nobody reads it until it is resumed, or empty; ``None``: as its checkpoint says.
        self._paused: str | None = None
        #: When all that had been read was committed, monotonic.
        self._committed_at = time.monotonic()
        self._life: Future[None] | None = None
        # Only used in the thread:
        self._task: asyncio.Task[Any] | None = None
        self._is_writing = False
        self._fenced = 0
        self._held_by_owner = False
        #: What is written now would be in the topic with a cursor from before it.
        self._is_committing = False
        self._due = asyncio.Event()
        #: For what was read to be committed, by this takeover.
        self._drains = Waiters()
        #: For the checkpoint to say what was asked, by whichever takeover.
        self._asked = Waiters()

    # On Faust's loop

    @property
    def paused(self) -> str:
        """Why nobody reads it until it is resumed, or empty."""
        return self._paused or ""

    @property
    def is_taking_over(self) -> bool:
        """Where it resumes is not known yet, or not any more."""
        return not self._is_over and not self._is_writing

    @property
    def commit_age_seconds(self) -> float:
        """Since when something may wait to be committed; 0 when nothing is read."""
        return 0.0 if self._is_over else time.monotonic() - self._committed_at

    @property
    def _is_over(self) -> bool:
        return self._life is None or self._life.done()

    @property
    def cursor(self) -> CursorValue | None:
        """The last position that is saved: a restart resumes behind it."""
        return self._saved.cursor

    def start(self) -> None:
        """Take the split over, and begin to read unless it is paused."""
        self._life = self._thread.submit(self._live())

    def hold(self) -> None:
        """Write nothing more until :meth:`release`; the call stays open and reads ahead."""
        self._thread.call(self._hold, True)

    def release(self) -> None:
        """Write again."""
        self._thread.call(self._hold, False)

    def pause(self, reason: str = "on request") -> None:
        """End the call and make no other until :meth:`resume`; what was read is committed."""
        self._paused = reason
        if self._is_over:
            self.start()  # to save that
        else:
            self._thread.wait(super().pause, reason)

    def resume(self, *, skip: bool = False) -> None:
        """Read again, as :meth:`RunningSplit.resume`."""
        self._paused = ""
        if self._is_over:
            self.start()
        else:
            self._thread.wait(self._if_writing, lambda: RunningSplit.resume(self, skip=skip))

    def restart(self) -> None:
        """Drop the call, and make a new one at once."""
        self._paused = ""
        if self._is_over:
            self.start()
        else:
            self._thread.wait(self._if_writing, super().restart)

    async def kept(self) -> None:
        """Wait until its checkpoint says whether it is paused, as was asked.

        Raises:
            HostError: it cannot be saved, or the split went to another worker.
        """
        await self._thread.run(self._kept())

    async def drained(self) -> None:
        """Wait until everything that was written before is committed.

        Raises:
            HostError: it cannot be.
        """
        await self._thread.run(self._settled())

    def cancel(self) -> None:
        """End the call, and abort what is not committed."""
        self.is_live = False
        self._become(SplitState.CLOSED, "")
        if self._life is not None:
            self._life.cancel()

    async def closed(self) -> None:
        """Wait until nothing of a cancelled split runs any more."""
        await self._thread.run(self._ended_life())

    # Life, in the thread

    async def _live(self) -> None:
        self._task = asyncio.current_task()
        try:
            await self._attempts()
        finally:
            self._asked.answer(error=self._over())

    async def _attempts(self) -> None:
        delays = Delays(_BACKOFF)
        while True:
            try:
                await self._attempt(delays)
            except WriteFailed as exc:
                await self._try_again(delays.next(), str(exc))
            except Fenced as exc:
                if not await self._still_ours():
                    self._outlet.failed(exc)
                    return
                await self._try_again(delays.next(), str(exc))
            except ConfigurationError as exc:
                self._outlet.failed(exc)
                return
            except HostError as exc:
                self._needs_person(str(exc))
                return
            except Exception as exc:  # whatever it is, somebody must hear of it
                logger.exception("%s/%s: unexpected", self.source, self.name)
                self._needs_person(repr(exc))
                return

    def _needs_person(self, reason: str) -> None:
        self._tell_state(SplitState.FATAL, reason)
        self._outlet.stopped(reason)

    async def _still_ours(self) -> bool:
        """Fenced: return whether to take the split over again.

        Whoever was halted is not heard, waits here, and is told by its group. Whoever is heard owns
        the split, and was fenced by an earlier owner whose takeover was under way when it lost it.
        That can happen now and then, but not again and again.
        """
        await self._owned()
        self._fenced += 1
        return self._fenced <= _MOST_FENCED

    async def _try_again(self, seconds: float, reason: str) -> None:
        self._tell_state(SplitState.WAITING, reason)
        logger.warning(
            "%s/%s: not written: %s; reading again behind the last checkpoint in %.1f s",
            self.source,
            self.name,
            reason,
            seconds,
        )
        await asyncio.sleep(seconds)

    async def _attempt(self, delays: Delays) -> None:
        """Take over, then read, write and commit until something fails."""
        outlet = self._outlet
        self._tell_state(SplitState.IDLE, "takes over from the last owner")
        await self._owned()  # a zombie would fence the new owner off
        writer = await self._blocking(outlet.writer, self._may_write)
        try:
            await self._blocking(writer.open)
            saved = await self._blocking(outlet.saved, self._may_write)
            if saved is None:
                saved = await self._first_record(writer)
            self._is_known = True
            outlet.recorded()
            await self._work(writer, saved, delays)
        finally:
            await self._blocking(writer.abandon)

    async def _first_record(self, writer: SplitWriter) -> Saved:
        """Say where the split begins before it reads: from then on no record means a lost one."""
        saved = Saved(self._outlet.begin(self._is_known), self.paused)
        await self._owned()
        await self._write(writer, self._outlet.record(saved))
        return saved

    async def _work(self, writer: SplitWriter, saved: Saved, delays: Delays) -> None:
        self._saved = saved
        if self._paused is None:
            self._paused = saved.paused
        posting = self._begin_behind(saved.cursor, writer)
        logger.info(
            "%s/%s: reading %s",
            self.source,
            self.name,
            "from the start" if saved.cursor is None else f"behind cursor {saved.cursor!r}",
        )
        self._is_writing = True
        try:
            if self._paused:
                self._tell_state(SplitState.PAUSED, self._paused)
            else:
                super().start()
            while True:
                await self._until_due(posting)
                await self._commit(posting, writer)
                delays.reset()
        finally:
            self._is_writing = False
            posting.close()
            self._calls.drop()
            self._observers.over("given up")
            self._drains.answer(error=self._over())
            await super().closed()

    def _begin_behind(self, cursor: CursorValue | None, writer: SplitWriter) -> Posting:
        """Forget all that was read and not committed."""
        posting = self._outlet.posting(writer)
        self._begin(self._outlet.protocol(cursor), posting)
        self._held, self._is_committing = self._held_by_owner, False
        return posting

    async def _ended_life(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    # Commits

    async def _until_due(self, posting: Posting) -> None:
        await _first(posting.failed(), self._due.wait(), timeout=self._outlet.interval_seconds)
        self._due.clear()

    async def _commit(self, posting: Posting, writer: SplitWriter) -> None:
        """Cut behind what was read, and wait until Kafka has all of it."""
        drains, asked = len(self._drains), len(self._asked)
        self._is_committing = True
        super().hold()
        await _first(posting.failed(), super().drained())
        posting.check()
        checkpoint = self.protocol.checkpoint()
        cursor = self._saved.cursor if checkpoint is None else checkpoint.cursor
        saved = Saved(cursor, self.paused)
        if saved != self._saved or writer.is_dirty:
            await self._owned()
            record = self._outlet.record(saved) if saved != self._saved else None
            await self._write(writer, record)
            self._saved, self._fenced = saved, 0
        if checkpoint is not None:
            self.protocol.saved(checkpoint)
        self._committed_at = time.monotonic()
        self._drains.answer(drains)
        self._asked.answer(asked)
        self._is_committing = False
        if not self._held_by_owner:
            super().release()

    async def _write(self, writer: SplitWriter, record: CheckpointRecord | None) -> None:
        began = time.monotonic()
        try:
            await self._blocking(writer.commit, record)
        except HostError:
            self._observers.checkpoint_written(time.monotonic() - began, saved=False)
            raise
        self._observers.checkpoint_written(time.monotonic() - began, saved=True)

    async def _owned(self) -> None:
        """Wait while the group does not hear this worker: another one may have the split."""
        # The lease is renewed on another loop, and asked here as in threads that block.
        while not self._outlet.lease():  # noqa: ASYNC110
            await asyncio.sleep(_LEASE_SECONDS)

    async def _settled(self) -> None:
        if not self._is_writing:
            return  # nothing is written, or it was aborted already
        self._due.set()
        await self._drains.wait()

    async def _kept(self) -> None:
        if self._task is None or self._task.done():
            raise self._over()
        self._due.set()
        await self._asked.wait()

    def _over(self) -> HostError:
        """Return why somebody waits in vain."""
        reason = f": {self.reason}" if self.state is SplitState.FATAL else ""
        return WriteFailed(f"{self.source}/{self.name}: not committed{reason}")

    # Small things

    def _if_writing(self, act: Callable[[], None]) -> None:
        """Do it, unless the split is being taken over: it begins as it should be then."""
        if self._is_writing:
            act()

    def _hold(self, held: bool) -> None:
        self._held_by_owner = held
        if held:
            super().hold()
        elif self._is_writing and not self._is_committing:
            super().release()  # otherwise it is, when the commit is over

    def _tell_state(self, state: SplitState, reason: str) -> None:
        if self.is_live:
            self._become(state, reason)

    def _may_write(self) -> bool:
        return self.is_live and self._outlet.lease()

    async def _blocking(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Call what blocks. Cancelled, it is waited for: nothing else may use the producer."""
        future = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait({future})
            raise


async def _first(*coroutines: Any, timeout: float | None = None) -> None:
    """Wait until one of them is done."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
