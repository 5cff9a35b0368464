"""A source in a Faust app of this process, on any target: what its agent saw, and what was said.

::

    async with consuming(server.target, "threaded", cursor=CURSOR) as rig:
        await rig.until(lambda: rig.seen == [1, 2])
        assert rig.split.state == "receiving"
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import faust
from h2_server import H2Server, Script, Stream
from support.messages import SETS, message_class

from faust_grpc import Backoff, Cursor, DeadLetter, GrpcSource, SplitStatus
from faust_grpc.feeds import Assigned
from faust_grpc.lifecycle import Phase
from faust_grpc.runner import Runner
from faust_grpc.seams import restart_agents
from faust_grpc.splits import RunningSplit

__all__ = [
    "CURSOR",
    "QUICK",
    "TICKS",
    "Consumer",
    "Ended",
    "Frame",
    "Kind",
    "after_seq",
    "asked_after",
    "consuming",
    "in_turn",
    "names_page",
    "scripted",
    "send_ticks",
    "threads",
    "tick",
]

Kind = Literal["threaded", "aio"]

TICKS = "cases.feed.v1.Feed/Ticks"
CURSOR = Cursor("seq", into="after_seq")
#: Delays that do not hold tests up, and still grow.
QUICK = Backoff(initial_seconds=0.02, maximum_seconds=0.3)

Tick = message_class("feed", "cases.feed.v1.Tick")
Ask = message_class("feed", "cases.feed.v1.Ask")
Frame = message_class("feed", "cases.feed.v1.Frame")


def tick(number: int, **fields: Any) -> bytes:
    """Return a message."""
    raw: bytes = Tick(seq=number, **fields).SerializeToString()
    return raw


def after_seq(request: bytes) -> int:
    """Return the position that a request asks to resume behind."""
    return int(Ask.FromString(request).after_seq)


async def asked_after(stream: Stream) -> int:
    """Return the position that a call of a scripted server asks to resume behind."""
    (request,) = await stream.messages(1)
    return after_seq(request)


async def send_ticks(stream: Stream, last: int, **fields: Any) -> None:
    """Accept a call and send what it asks for, up to a number."""
    first = await asked_after(stream) + 1
    await stream.headers()
    for number in range(first, last + 1):
        await stream.message(tick(number, **fields))


def in_turn(*scripts: Script) -> Script:
    """Return a script that is the first one for the first call, and so on; the last one repeats."""

    async def script(stream: Stream) -> None:
        number = stream.peer.server.streams.index(stream)
        await scripts[min(number, len(scripts) - 1)](stream)

    return script


def names_page(reason: str, status: int, cause: str) -> bool:
    """Return whether a page of a web server or proxy is named for what it is.

    Core reports the page's end when it comes in one packet with the headers.
    """
    return f"http2 header with status: {status} [{cause}" in reason or (
        "the stream ended without a gRPC status: a web page, a proxy" in reason
    )


def threads() -> int:
    """Return how many threads run here, without those of the event loop's bounded pool."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


class Ended(NamedTuple):
    """A line of the log about a call that ended."""

    reason: str
    #: Number of the attempt that follows.
    attempt: int
    seconds: float


_ENDED = re.compile(r"call ended: (.*); attempt (\d+) in ([\d.]+) s", re.DOTALL)


class _Lines(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Consumer:
    """An app with one source and one agent.

    Attributes:
        seen: the numbers of the events that the agent finished, in order.
        dead_letters: what could not be decoded.
        busy_seconds: how long the agent takes for each event.
        gate: the agent waits for it before each event.

    Arguments:
        target: where the server is.
        kind: which reader.
        method: of the service of ``feed.proto``.
        sequence: what is kept of each event in ``seen``: a field's name, or a function of it.
        options: of the source.
    """

    def __init__(
        self,
        target: str,
        kind: Kind,
        *,
        method: str = TICKS,
        sequence: str | Callable[[Any], Any] = "seq",
        **options: Any,
    ) -> None:
        self.seen: list[Any] = []
        self.dead_letters: list[DeadLetter] = []
        self.busy_seconds = 0.0
        self.gate = asyncio.Event()
        self.gate.set()
        self._number = attrgetter(sequence) if isinstance(sequence, str) else sequence
        self._lines = _Lines()
        self._logger = logging.getLogger("faust_grpc")
        self.app = faust.App("consuming", broker="kafka://127.0.0.1:9", store="memory://")
        declared = {
            "name": "ticks",
            "schema": SETS / "feed.binpb",
            "backoff": QUICK,
            "dead_letter": self.dead_letters.append,
            **options,
        }
        self.source = GrpcSource(self.app, target, method, reader=kind, **declared)
        self.feed = self.source._feed
        self.agent = self.app.agent(self.source)(self._process)

    async def _process(self, stream: Any) -> None:
        async for message in stream:
            await self.gate.wait()
            if self.busy_seconds:
                await asyncio.sleep(self.busy_seconds)
            self.seen.append(self._number(message))

    async def start(self) -> None:
        """Start the agent, then the stream."""
        self._logger.addHandler(self._lines)
        restart_agents(self.app, self.source)
        self.app.flow_control.resume()
        await self.agent.start()
        Runner.of(self.app).lifecycle.enter(Phase.RUNNING)
        names = [split.name for split in self.source.declaration.splits]
        self.feed.assign({name: Assigned(0, None) for name in names})
        self.feed.release()

    async def close(self) -> None:
        """End the agent, the call and the connections."""
        self._logger.removeHandler(self._lines)
        await self.agent.stop()
        await self.feed.close(5.0)

    # What can be seen

    @property
    def split(self) -> SplitStatus:
        """The status of the one split."""
        return self.source.status().splits[0]

    @property
    def running(self) -> RunningSplit:
        """The one split itself."""
        return next(iter(self.feed))

    @property
    def lines(self) -> list[str]:
        """What was logged, without tracebacks."""
        return [record.getMessage() for record in self._lines.records]

    @property
    def warnings(self) -> list[str]:
        """Warnings and errors that were logged."""
        records = self._lines.records
        return [line.getMessage() for line in records if line.levelno >= logging.WARNING]

    @property
    def ended(self) -> list[Ended]:
        """The calls whose end was logged: all, unless several in a row brought nothing."""
        found = (_ENDED.search(line) for line in self.warnings)
        return [Ended(line[1], int(line[2]), float(line[3])) for line in found if line]

    def said(self, text: str) -> list[str]:
        """Return the logged lines that contain a text."""
        return [line for line in self.lines if text in line]

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Let the event loop run until a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"not within {seconds} s; seen {self.seen[-5:]} ({len(self.seen)}), "
                    f"{self.source.status()}, {self.warnings[-5:]}"
                )
            await asyncio.sleep(0.002)

    async def has_seen(self, *numbers: int) -> None:
        """Wait until the agent finished exactly these, in this order."""
        await self.until(lambda: len(self.seen) >= len(numbers) and not self.split.unacked)
        assert self.seen == list(numbers)


@asynccontextmanager
async def consuming(target: str, kind: Kind, **options: Any) -> AsyncIterator[Consumer]:
    """Run a :class:`Consumer`."""
    rig = Consumer(target, kind, **options)
    await rig.start()
    try:
        yield rig
    finally:
        await rig.close()


@asynccontextmanager
async def scripted(
    script: Script, kind: Kind, **options: Any
) -> AsyncIterator[tuple[H2Server, Consumer]]:
    """Run a :class:`Consumer` on a server that plays a script for each call."""
    async with H2Server(script) as server, consuming(server.target, kind, **options) as rig:
        yield server, rig
