"""Whose turn it is: reading threads and their event loop, one after the other.

A message takes the GIL several times on its way out of gRPC. A thread that runs alone keeps it;
where two have work, each of these times is a switch from one thread to the other, and costs more
than the reading. So the loop works off what was read while the threads wait, and then they read
what came meanwhile, one at a time, while the loop waits.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from typing import Protocol

__all__ = ["TakesTurns", "Turn", "Turns"]

#: So many messages at once are a burst: more are on their way.
BURST_MESSAGES = 4
#: In a burst the loop leaves the GIL to the threads for so long between two works.
PACE_SECONDS = 0.001
#: An iteration of the loop that took less had nothing to do: its work is done.
IDLE_SECONDS = 0.0001
#: Threads wait so long for a loop that works, and then read beside it.
LONGEST_WORK_SECONDS = 0.02
#: A turn whose holder has read nothing for so long is over: it waits for its stream. To receive and
#: parse the bytes of the next messages takes about 0.1 ms.
PATIENCE_SECONDS = 0.0005


class TakesTurns(Protocol):
    """A reader whose thread and loop take turns."""

    def hand_over(self) -> int:
        """Give what was read to who takes it; return how much was read since the last time."""


class Turn:
    """One thread's turn to read."""

    __slots__ = ("_last", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0.0

    def take(self) -> bool:
        """Wait for it while its holder reads; return whether it is ours."""
        while True:
            left = self._last + PATIENCE_SECONDS - time.perf_counter()
            if self._lock.acquire(timeout=max(0.0, left)):
                self.goes_on()
                return True
            if left <= 0:
                return False

    def goes_on(self) -> bool:
        """A message was read; return whether it was there already, as far as that can be told."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        return seconds < PATIENCE_SECONDS

    def end(self) -> None:
        """Let the next thread have it."""
        self._lock.release()


class Turns:
    """The turns of an event loop and of the threads that read for it.

    A courtesy, not a lock: what is done at the same time is correct, only slower. A thread that
    waits for its stream, or a loop that is never idle, holds nobody up for long.

    Attributes:
        loop_works: the loop works off what was read.
        is_called: the loop is going to look at what was read.
    """

    _of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Turns]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self) -> None:
        self.loop_works = False
        self.is_called = False
        self._readers: list[TakesTurns] = []
        self._turn = Turn()
        #: Held by the thread that is next.
        self._line = threading.Lock()
        #: Set while the loop does not work.
        self._loop_rests = threading.Event()
        self._loop_rests.set()
        #: The loop looks again by itself.
        self._is_burst = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Turns:
        """Return those of a loop."""
        known = cls._of_loops.get(loop)
        turns = known() if known is not None else None
        if turns is None:
            turns = cls()
            cls._of_loops[loop] = weakref.ref(turns)  # weak: its readers hold the loop
        return turns

    # In a thread

    def wait(self) -> Turn:
        """Wait for a turn to read."""
        if self.loop_works:
            self._loop_rests.wait(LONGEST_WORK_SECONDS)
        with self._line:
            turn = self._turn
            if not turn.take():
                # Its holder will end what nobody waits for any more.
                turn = self._turn = Turn()
                turn.take()
            return turn

    # On the loop

    def join(self, reader: TakesTurns) -> None:
        """Let a reader take part."""
        self._readers.append(reader)

    def leave(self, reader: TakesTurns) -> None:
        """A reader has read everything."""
        self._readers.remove(reader)

    def look(self) -> None:
        """Have all readers hand over what was read."""
        # Cleared before the look: what a thread adds is seen here, or it sees this and calls.
        self.is_called = False
        read = 0
        for reader in self._readers.copy():
            try:
                read += reader.hand_over()
            except Exception as error:  # of one stream: the others go on
                context = {"message": "handing over failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
        if self._is_burst:
            self.is_called = True
        elif read >= BURST_MESSAGES:
            self.is_called = self._is_burst = self.loop_works = True
            self._loop_rests.clear()
            loop = asyncio.get_running_loop()
            now = loop.time()
            loop.call_soon(self._work, now, now + LONGEST_WORK_SECONDS)

    def _work(self, before: float, end: float) -> None:
        """See whether the iteration of the loop before this one still had work."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now - before > IDLE_SECONDS and now < end:
            loop.call_soon(self._work, now, end)
            return
        self.loop_works = False
        self._loop_rests.set()
        loop.call_later(PACE_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._is_burst = False
        self.look()
