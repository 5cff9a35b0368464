"""One measurement of :mod:`benchmarks.path`, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import faust
import grpc
from grpc.experimental import ChannelOptions

import faust_grpc
from faust_grpc.schema import Method, schema_from

VARIANT = os.environ["VARIANT"]
EVENTS = int(os.environ["EVENTS"])
TARGET = os.environ["TARGET"]
METHOD = "shop.v1.OrderService/StreamOrders"
SCHEMA = "examples/orders/orders.binpb"


class Meter:
    """CPU and wall time between the first and the last event."""

    def __init__(self) -> None:
        self.count = 0
        self.start = (0.0, 0.0)

    def event(self) -> bool:
        """Count one; return whether it was the last."""
        self.count += 1
        if self.count == 1:
            self.start = (time.process_time(), time.perf_counter())
        return self.count >= EVENTS

    def report(self) -> None:
        """Print the result and end the process: how it would be shut down is not measured."""
        cpu = time.process_time() - self.start[0]
        wall = time.perf_counter() - self.start[1]
        result = {"events_per_s": self.count / wall, "cpu_us": cpu / self.count * 1e6}
        os.write(OUT, f"RESULT {json.dumps(result)}\n".encode())
        os._exit(0)


OUT = os.dup(1)
meter = Meter()


def method() -> Method:
    return schema_from(SCHEMA).method(METHOD)


def request(found: Method) -> bytes:
    # A little more than is counted, so that the end of the stream is not measured.
    return bytes(found.request_class(region="r0", limit=EVENTS + 5000).SerializeToString())


def raw_sync() -> None:
    found = method()
    options = [(ChannelOptions.SingleThreadedUnaryStream, 1)]
    with grpc.insecure_channel(TARGET, options=options) as channel:
        for _ in channel.unary_stream(found.path)(request(found)):
            if meter.event():
                meter.report()


async def raw_aio() -> None:
    found = method()
    async with grpc.aio.insecure_channel(TARGET) as channel:
        async for _ in channel.unary_stream(found.path)(request(found)):
            if meter.event():
                meter.report()


def worker() -> None:
    settings = json.loads(os.environ["SETTINGS"])
    app = faust.App(
        f"bench-{uuid.uuid4().hex[:8]}",
        datadir=os.environ["DATADIR"],
        store="memory://",
        topic_replication_factor=1,
        **settings,
    )
    found = method()
    channel = _naive(app, found) if VARIANT == "naive" else _source(app)

    @app.agent(channel)
    async def count(events: Any) -> None:
        async for _ in events:
            if meter.event():
                meter.report()

    sys.argv = ["worker", "worker", "--without-web", "-l", "error"]
    app.main()


def _source(app: faust.App) -> Any:
    return faust_grpc.GrpcSource(
        app,
        TARGET,
        METHOD,
        name="orders",
        request={"region": "r0", "limit": EVENTS + 5000},
        value_type=dict if VARIANT == "source_dict" else None,
        key="order_id",
        cursor=faust_grpc.Cursor("sequence", into="after_sequence"),
        schema=SCHEMA,
    )


def _naive(app: faust.App, found: Method) -> Any:
    """What one writes without this package: an aio loop that sends into a channel."""
    channel = app.channel()
    app.Table("unused", default=int)  # a worker without any topic does not start

    ready = asyncio.Event()

    @app.on_rebalance_complete.connect
    async def recovered(*_args: Any, **_kwargs: Any) -> None:
        ready.set()

    @app.task
    async def read() -> None:
        await ready.wait()
        async with grpc.aio.insecure_channel(TARGET) as grpc_channel:
            call = grpc_channel.unary_stream(
                found.path, response_deserializer=found.response_class.FromString
            )
            async for order in call(request(found)):
                await channel.send(key=order.order_id, value=order)

    return channel


RUN: dict[str, Callable[[], Any]] = {
    "raw_sync": raw_sync,
    "raw_aio": lambda: asyncio.run(raw_aio()),
}
if __name__ == "__main__":
    RUN.get(VARIANT, worker)()
