"""Reading threads and their loop take turns, and who does not go on holds nobody up."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from faust_grpc.readers import turns as turns_module
from faust_grpc.readers.turns import BURST_MESSAGES, IDLE_SECONDS, Turn, Turns

MESSAGES = 20_000


class Read:
    """A reader as its thread and the loop see it: a number of messages."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.loop = asyncio.get_running_loop()
        self.added = self.seen = self.looks = 0
        self.changed = asyncio.Event()
        turns.join(self)

    def add(self, messages: int = 1) -> None:
        """Read messages, in a thread."""
        self.added += messages
        if not self.turns.is_called:
            self.turns.is_called = True
            self.loop.call_soon_threadsafe(self.turns.look)

    def hand_over(self) -> int:
        read, self.seen = self.added - self.seen, self.added
        self.looks += 1
        self.changed.set()
        return read

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await asyncio.wait_for(self.changed.wait(), 20)


async def test_every_message_is_handed_over() -> None:
    """Whatever the threads and the loop do at the same time: none stays in a buffer unseen."""
    turns = Turns()
    readers = [Read(turns) for _ in range(4)]

    def read(reader: Read) -> None:
        for number in range(MESSAGES):
            turn = turns.wait() if not number % 7 else None
            reader.add()
            if turn is not None:
                turn.end()

    with ThreadPoolExecutor(4) as threads:
        for reader in readers:
            threads.submit(read, reader)
        for reader in readers:
            await reader.until(lambda reader=reader: reader.seen == MESSAGES)  # type: ignore[misc] # bound early


async def test_what_is_read_during_a_look_is_handed_over() -> None:
    class Racing(Read):
        def hand_over(self) -> int:
            read = super().hand_over()
            if self.added < 10:
                self.add()  # its thread, behind the look at its messages
            return read

    reader = Racing(Turns())
    reader.add()
    await reader.until(lambda: reader.seen == 10)


async def test_a_single_message_is_handed_over_at_once() -> None:
    turns = Turns()
    reader = Read(turns)
    for number in range(1, 100):
        reader.add()
        await reader.until(lambda number=number: reader.seen == number)  # type: ignore[misc] # bound early
        assert not turns.loop_works
    assert reader.looks == 99


async def test_in_a_burst_the_loop_looks_by_itself() -> None:
    turns = Turns()
    reader = Read(turns)
    reader.add(BURST_MESSAGES)
    await reader.until(lambda: reader.looks == 1)
    assert turns.is_called  # nobody needs to wake it
    reader.added += 1
    await reader.until(lambda: reader.looks == 2)
    assert reader.seen == reader.added
    assert not turns.is_called  # too little: it has to be woken again


def work() -> None:
    """As agents: more than an idle iteration of the loop takes."""
    end = time.monotonic() + 5 * IDLE_SECONDS
    while time.monotonic() < end:
        pass


async def test_nobody_reads_while_the_loop_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "LONGEST_WORK_SECONDS", 60.0)
    turns = Turns()
    reader = Read(turns)
    reader.added = BURST_MESSAGES
    turns.look()
    waiting = asyncio.get_running_loop().run_in_executor(None, turns.wait)
    for _ in range(20):
        work()
        await asyncio.sleep(0)
        assert turns.loop_works
        assert not waiting.done()
    (await asyncio.wait_for(waiting, 20)).end()
    assert not turns.loop_works


async def test_a_loop_that_is_never_idle_holds_nobody_up() -> None:
    turns = Turns()
    reader = Read(turns)
    reader.added = BURST_MESSAGES
    turns.look()
    while turns.loop_works:
        work()
        await asyncio.sleep(0)
    turns.wait().end()


def test_a_loop_that_hangs_holds_nobody_up() -> None:
    turns = Turns()
    turns.loop_works = True
    turns._loop_rests.clear()
    assert isinstance(turns.wait(), Turn)


def test_a_turn_without_progress_is_over() -> None:
    """Its holder waits for a stream that may be silent for hours."""
    turns = Turns()
    silent = turns.wait()
    busy = turns.wait()
    assert busy is not silent
    silent.end()  # it has read something at last: nobody waits for this turn any more
    busy.end()
    assert turns.wait() is busy


def test_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PATIENCE_SECONDS", 60.0)
    turns, at_work, most = Turns(), list[Turn](), [0]

    def read() -> None:
        for _ in range(50):
            turn = turns.wait()
            at_work.append(turn)
            most[0] = max(most[0], len(at_work))
            turn.goes_on()
            time.sleep(0)  # without the GIL, as a message takes it
            at_work.remove(turn)
            turn.end()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert most == [1]


async def test_one_stream_that_fails_does_not_stop_the_others() -> None:
    turns = Turns()
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: told.append(repr(context.get("exception")))
    )

    class Failing(Read):
        def hand_over(self) -> int:
            raise RuntimeError("of this stream")

    Failing(turns)
    reader = Read(turns)
    for number in range(1, 4):
        reader.add(BURST_MESSAGES)
        await reader.until(lambda number=number: reader.seen == number * BURST_MESSAGES)  # type: ignore[misc] # bound early
    assert told
    assert set(told) == {"RuntimeError('of this stream')"}


def test_those_of_a_loop_end_with_it() -> None:
    async def of_this_loop() -> tuple[Turns, weakref.ref[asyncio.AbstractEventLoop]]:
        loop = asyncio.get_running_loop()
        turns = Turns.of(loop)
        assert Turns.of(loop) is turns
        Read(turns)  # it holds the loop
        return turns, weakref.ref(loop)

    first, loop = asyncio.run(of_this_loop())
    second, _ = asyncio.run(of_this_loop())
    assert first is not second
    del first, second
    gc.collect()
    assert loop() is None
