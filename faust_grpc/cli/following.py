"""One stream, printed: the core at work with a sink of its own, without Faust."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence

from ..acks import Delivery
from ..backoff import Delays
from ..config import Backoff
from ..connection import Connection
from ..cursors import Cursor
from ..declaration import Declaration
from ..exceptions import CallFailed, ReflectionFailed
from ..protocol import Dead
from ..schema import Method, ReflectionSchema, Schema
from ..splits import RunningSplit
from ..types import Split
from .output import JsonLines, say
from .request import request_from_json
from .server import Server

__all__ = ["Following"]

#: A person is watching: try again sooner than a worker would.
_BACKOFF = Backoff(initial_seconds=0.25, maximum_seconds=5.0)


class Following:
    """Reads one stream and prints it.

    Arguments:
        server: how to reach it.
        schema: where the types come from.
        method: its name.
        request: JSON of the request.
        cursor: how to resume.
        limit: messages to print; ``None`` is no limit.
    """

    def __init__(
        self,
        server: Server,
        schema: Schema,
        method: str,
        request: str | None,
        cursor: Cursor | None,
        limit: int | None,
    ) -> None:
        self._server = server
        self._schema = schema
        self._method = method
        self._request = request
        self._cursor = cursor
        self._limit = limit
        self._out = JsonLines()
        self._printed = 0
        #: Its result says whether it was Ctrl-C.
        self._over: asyncio.Future[bool]

    async def run(self) -> bool:
        """Print until the limit or Ctrl-C; return whether it was Ctrl-C.

        Raises:
            FaustGrpcError: the stream cannot be read.
            BrokenPipeError: nobody reads what is printed.
        """
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        loop.add_signal_handler(signal.SIGINT, self._end, True)
        began = time.monotonic()
        connection = self._server.connect()
        reading = asyncio.ensure_future(self._read(connection))
        reading.add_done_callback(self._read_ended)
        try:
            interrupted = await self._over
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            await connection.close()
        if interrupted:
            noun = "message" if self._printed == 1 else "messages"
            say(f"{self._printed} {noun} in {time.monotonic() - began:.1f} s")
        return interrupted

    async def _read(self, connection: Connection) -> None:
        running = self._split(connection, await self._find(connection))
        running.start()
        try:
            await self._over
        finally:
            running.cancel()
            await running.closed()

    async def _find(self, connection: Connection) -> Method:
        schema = self._schema
        if not isinstance(schema, ReflectionSchema):
            return schema.method(self._method)
        delays = Delays(_BACKOFF)
        while True:
            try:
                with connection.acquire("aio") as channel:
                    return await schema.fetch(self._method, channel, self._server.metadata)
            except ReflectionFailed as error:
                told = self._server.explained(error)
                if not error.retryable:
                    raise told from error
                seconds = delays.next()
                say(f"{self._server.target}: {told}; trying again in {seconds:.1f} s")
                await asyncio.sleep(seconds)

    def _split(self, connection: Connection, method: Method) -> RunningSplit:
        split = Split(method.full_name.rpartition("/")[2])
        declaration = Declaration(
            name=self._server.target,
            targets=connection.targets,
            method=method.full_name,
            schema=self._schema,
            splits=(split,),
            request=request_from_json(method.request_class, self._request),
            value_type=dict,
            cursor=self._cursor,
            backoff=_BACKOFF,
        )
        return RunningSplit(
            declaration.name,
            split,
            0,
            declaration.plan(method).protocol(split, None),
            connection,
            self,
            buffer=declaration.buffer,
            metadata=self._server.metadata,
        )

    # As the sink of the split

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Print messages."""
        try:
            for delivery in deliveries:
                if self._over.done():
                    return
                self._print(split, delivery)
            self._out.flush()
        except BrokenPipeError as error:
            self._fail(error)

    def _print(self, split: RunningSplit, delivery: Delivery) -> None:
        (record,) = delivery.records
        self._out.write(record.value)
        split.acked(delivery)
        self._printed += 1
        if self._printed == self._limit:
            self._out.flush()
            self._end(False)

    def dead(self, split: RunningSplit, action: Dead) -> None:
        """Say that a message cannot be printed."""
        say(f"message {action.delivery.position} left out: {action.reason}")
        split.acked(action.delivery)

    def stopped(self, split: RunningSplit, reason: str) -> None:
        """Say that the call failed for good."""
        self._fail(CallFailed(f"{self._method}: {reason}"))

    # Endings

    def _read_ended(self, reading: asyncio.Future[None]) -> None:
        if not reading.cancelled() and (error := reading.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    def _end(self, interrupted: bool) -> None:
        if not self._over.done():
            self._over.set_result(interrupted)
