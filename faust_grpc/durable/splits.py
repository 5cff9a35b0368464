"""One split on its way into a topic: taken over, read, written, committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from ..backoff import Delays
from ..changelog import Record as CheckpointRecord
from ..config import Backoff
from ..exceptions import ConfigurationError, FaustGrpcError, Fenced, HostError, WriteFailed
from ..protocol import DeclaredProtocol
from ..saved import Saved
from ..splits import RunningSplit, SplitState
from ..types import CursorValue
from .posting import Posting
from .thread import LoopThread
from .writers import SplitWriter

__all__ = ["DurableSplit", "Outlet"]

logger = logging.getLogger(__name__)

#: While no heartbeat is answered, how often to look whether one was.
_LEASE_SECONDS = 0.05
#: Between two attempts to write.
_BACKOFF = Backoff(initial_seconds=0.5, maximum_seconds=5.0)

#: Times in a row that a split is taken over again after it was fenced.
_MOST_FENCED = 3

_T = TypeVar("_T")
MayWrite = Callable[[], bool]


@dataclass(frozen=True)
class Outlet:
    """What a split writes with. All of it is called in the source's thread, or where it may block.

    Arguments:
        protocol: makes the state machine, resumed behind a position.
        writer: makes the writer; blocks.
        saved: returns the last checkpoint; blocks.
        record: makes the record of a checkpoint.
        posting: makes the sink that writes what is delivered.
        interval_seconds: between two commits.
        lease: whether the group still hears this worker.
        failed: told what this worker cannot go on with.
        stopped: told why only this split needs a person.
    """

    protocol: Callable[[CursorValue | None], DeclaredProtocol]
    writer: Callable[[MayWrite], SplitWriter]
    saved: Callable[[MayWrite], Saved | None]
    record: Callable[[Saved], CheckpointRecord]
    posting: Callable[[SplitWriter], Posting]
    interval_seconds: float
    lease: Callable[[], bool]
    failed: Callable[[FaustGrpcError], None]
    stopped: Callable[[str], None]


class DurableSplit(RunningSplit):
    """One split of a source, written into a topic by this process.

    It is made, and its public methods are called, on Faust's event loop, as those of any running
    split. It works in the source's own thread: there it is the running split that it inherits from.

    Arguments:
        *arguments: as for :class:`RunningSplit`; the sink is replaced.
        thread: where it works.
        outlet: what it writes with.
        **options: as for :class:`RunningSplit`.
    """

    def __init__(self, *arguments: Any, thread: LoopThread, outlet: Outlet, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._thread = thread
        self._outlet = outlet
        #: What is in the topic of checkpoints.
        self._saved = Saved()
        #: Why nobody reads it until it is resumed, or empty.
        self._paused = ""
        self._life: Future[None] | None = None
        # Only used in the thread:
        self._task: asyncio.Task[Any] | None = None
        self._is_writing = False
        self._fenced = 0
        self._held_by_owner = False
        self._due = asyncio.Event()
        self._waiters: list[asyncio.Future[None]] = []

    # On Faust's loop

    @property
    def cursor(self) -> CursorValue | None:
        """The last position that is saved: a restart resumes behind it."""
        return self._saved.cursor

    def start(self) -> None:
        """Take the split over, and begin to read."""
        self._paused = ""
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
        if self._life is None:  # it was paused before it began
            self._become(SplitState.PAUSED, reason)
        else:
            self._thread.wait(super().pause, reason)

    def resume(self, *, skip: bool = False) -> None:
        """Read again, as :meth:`RunningSplit.resume`."""
        self._paused = ""
        if self._life is None or self._life.done():
            self.start()
        else:
            self._thread.wait(lambda: RunningSplit.resume(self, skip=skip))

    def restart(self) -> None:
        """Drop the call, and make a new one at once."""
        self._paused = ""
        if self._life is None or self._life.done():
            self.start()
        else:
            self._thread.wait(super().restart)

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
            await self._work(writer, saved or Saved(), delays)
        finally:
            await self._blocking(writer.abandon)

    async def _work(self, writer: SplitWriter, saved: Saved, delays: Delays) -> None:
        self._saved = saved
        posting = self._begin_behind(saved.cursor, writer)
        logger.info(
            "%s/%s: reading %s",
            self.source,
            self.name,
            "from the start" if saved.cursor is None else f"behind cursor {saved.cursor!r}",
        )
        self._is_writing = True
        try:
            if not self._paused:
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
            self._disappoint()
            await super().closed()

    def _begin_behind(self, cursor: CursorValue | None, writer: SplitWriter) -> Posting:
        """Forget all that was read and not committed."""
        posting = self._outlet.posting(writer)
        self._begin(self._outlet.protocol(cursor), posting)
        self._held = self._held_by_owner
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
        answered = len(self._waiters)
        super().hold()
        await _first(posting.failed(), super().drained())
        posting.check()
        checkpoint = self.protocol.checkpoint()
        cursor = self._saved.cursor if checkpoint is None else checkpoint.cursor
        saved = Saved(cursor, paused=self._paused)
        if saved != self._saved or writer.is_dirty:
            await self._owned()
            record = self._outlet.record(saved) if saved != self._saved else None
            await self._blocking(writer.commit, record)
            self._saved, self._fenced = saved, 0
        if checkpoint is not None:
            self.protocol.saved(checkpoint)
        for waiter in self._waiters[:answered]:
            if not waiter.done():
                waiter.set_result(None)
        del self._waiters[:answered]
        if not self._held_by_owner:
            super().release()

    async def _owned(self) -> None:
        """Wait while the group does not hear this worker: another one may have the split."""
        # The lease is renewed on another loop, and asked here as in threads that block.
        while not self._outlet.lease():  # noqa: ASYNC110
            await asyncio.sleep(_LEASE_SECONDS)

    async def _settled(self) -> None:
        if not self._is_writing:
            return  # nothing is written, or it was aborted already
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._due.set()
        await waiter

    def _disappoint(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(WriteFailed(f"{self.source}/{self.name}: not committed"))

    # Small things

    def _hold(self, held: bool) -> None:
        self._held_by_owner = held
        if held:
            super().hold()
        elif self._is_writing:
            super().release()

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
