"""A Faust application in this process, fed by a real gRPC server, without a broker.

It runs as in ``source.test_context()``, but collects nothing: the agents are the only readers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import faust
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from faust_grpc import Cursor, GrpcSource
from faust_grpc.runner import Runner
from faust_grpc.source_context import run_source
from faust_grpc.testing import Replay, ScriptedServer, Stall

ORDERS = Path(__file__).parents[2] / "examples" / "orders" / "orders.binpb"
METHOD = "shop.v1.OrderService/StreamOrders"

_pool = descriptor_pool.DescriptorPool()
FILES = descriptor_pb2.FileDescriptorSet.FromString(ORDERS.read_bytes())
for _file in FILES.file:
    _pool.Add(_file)
Order: Any = message_factory.GetMessageClass(_pool.FindMessageTypeByName("shop.v1.Order"))
Request: Any = message_factory.GetMessageClass(
    _pool.FindMessageTypeByName("shop.v1.StreamOrdersRequest")
)


def orders(count: int, *, items: int = 0) -> list[Any]:
    """Return orders 1, 2, 3, …, each with so many items."""
    return [
        Order(
            sequence=number,
            order_id=f"o{number}",
            items=[{"sku": f"{number}.{item}"} for item in range(items)],
        )
        for number in range(1, count + 1)
    ]


async def until(
    condition: Callable[[], object], what: Callable[[], str] = str, seconds: float = 10.0
) -> None:
    """Let the event loop run until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what()}"
        await asyncio.sleep(0.002)


class Counting(faust.Sensor):
    """Counts events that streams took and gave back."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = self.finished = 0

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> dict[str, Any]:
        self.taken += 1
        return {"stream": stream}

    def on_stream_event_out(
        self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None
    ) -> None:
        assert state["stream"] is stream
        self.finished += 1


class InProcess:
    """An app with one source, ``orders``, and the server behind it.

    Arguments:
        history: what the server has, or bytes that are no message.
        server: which one; by default a plain one without reflection.
        options: of the source, beside cursor and key.
    """

    def __init__(
        self, history: Iterable[Any], server: ScriptedServer | None = None, **options: Any
    ) -> None:
        self.server = server or ScriptedServer()
        self.history = list(history)
        self.server.script(
            METHOD,
            (
                Replay(self.history, lambda raw: int(Request.FromString(raw).after_sequence)),
                Stall(),
            ),
        )
        self.app = faust.App("in-process", broker="kafka://127.0.0.1:9", store="memory://")
        self.counting = Counting()
        self.app.sensors.add(self.counting)
        declared = {
            "name": "orders",
            "schema": ORDERS,
            "key": "order_id",
            "cursor": Cursor("sequence", into="after_sequence"),
            **options,
        }
        self.source = GrpcSource(self.app, self.server.target, METHOD, **declared)
        self.feed = self.source._feed
        self._running = AsyncExitStack()

    async def start(self) -> None:
        """Start the agents, then the stream."""
        running = run_source(
            Runner.of(self.app),
            self.feed,
            splits=None,
            cursors={},
            collect=False,
            prepare_seconds=None,
        )
        await self._running.enter_async_context(running)

    @property
    def waiting_for(self) -> str:
        """Why nothing runs, and the state of the one split."""
        status = self.source.status()
        return " ".join([self.feed.waiting_for, *(split.reason for split in status.splits)])

    async def more(self, *messages: Any) -> None:
        """Let the server send more on the open call."""
        call = await asyncio.to_thread(self.server.wait_for_calls, 1)
        call.send(*messages)

    @property
    def split(self) -> Any:
        """The status of the one split."""
        return self.source.status().splits[0]

    def at(self, cursor: int) -> bool:
        """Return whether everything up to an order is finished."""
        return bool(self.split.cursor == cursor and not self.split.unacked)

    async def finished(self, cursor: int) -> None:
        """Wait until everything up to an order is finished by every agent."""
        await until(lambda: self.at(cursor), lambda: f"{cursor} finished: {self.source.status()}")

    async def close(self) -> None:
        """End agents, calls and connections."""
        await self._running.aclose()
        await self.feed.close(3.0)


@asynccontextmanager
async def in_process(*arguments: Any, **options: Any) -> AsyncIterator[InProcess]:
    """Run an :class:`InProcess`; declare its agents in the block, then ``await start()``."""
    rig = InProcess(*arguments, **options)
    with rig.server:
        try:
            yield rig
        finally:
            await rig.close()
