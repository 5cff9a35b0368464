"""One measurement of :mod:`benchmarks.table`, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import faust
import grpc

import faust_grpc
from faust_grpc.schema import schema_from

VARIANT = os.environ["VARIANT"]
EVENTS = int(os.environ["EVENTS"])
KEYS = int(os.environ["KEYS"])
METHOD = "shop.v1.OrderService/StreamOrders"
SCHEMA = "examples/orders/orders.binpb"
REGIONS = ("r0", "r1", "r2", "r3")
#: Sources have four splits, the others one stream.
KEYS_OF_SPLIT = KEYS if VARIANT.startswith("faust") else KEYS // len(REGIONS)
#: Seconds between checkpoints.
INTERVAL = {"100ms": 0.1, "1s": 1.0}.get(VARIANT.rpartition("_")[2], 0.5)
#: Of Faust itself. Sources say for themselves what they guarantee.
GUARANTEE = "exactly_once" if VARIANT == "faust_topic_table_exactly_once" else "at_least_once"
OUT = os.dup(1)

app = faust.App(
    os.environ["APP"],
    processing_guarantee=GUARANTEE,
    datadir=os.environ["DATADIR"],
    store="memory://",
    topic_replication_factor=1,
    **json.loads(os.environ["SETTINGS"]),
)
counts = app.Table("counts", default=int)


def source() -> Any:
    """A source of four splits."""
    exactly_once = "exactly_once" in VARIANT
    return faust_grpc.GrpcSource(
        app,
        os.environ["TARGET"],
        METHOD,
        name="orders",
        splits={region: {"region": region} for region in REGIONS},
        cursor=faust_grpc.Cursor("sequence", into="after_sequence"),
        schema=SCHEMA,
        delivery="exactly_once" if exactly_once else "at_least_once",
        checkpoint=faust_grpc.Checkpoint(interval_seconds=INTERVAL),
    )


def channel() -> Any:
    """What one writes without this package: an aio loop that sends into a channel."""
    method = schema_from(SCHEMA).method(METHOD)
    made, ready = app.channel(), asyncio.Event()

    @app.on_rebalance_complete.connect
    async def recovered(*_args: Any, **_kwargs: Any) -> None:
        ready.set()

    @app.task
    async def read() -> None:
        await ready.wait()
        async with grpc.aio.insecure_channel(os.environ["TARGET"]) as connection:
            call = connection.unary_stream(
                method.path, response_deserializer=method.response_class.FromString
            )
            async for order in call(method.request_class(region="r0").SerializeToString()):
                await made.send(key=order.order_id, value=order)

    return made


def topic() -> Any:
    """The same orders from a topic, as JSON."""
    return app.topic(os.environ["TOPIC"], value_serializer="json")


EVENT_SOURCES = {
    "faust_topic_table": topic,
    "faust_topic_table_exactly_once": topic,
    "faust_channel_table": channel,
}


@app.agent(EVENT_SOURCES.get(VARIANT, source)())
async def count(orders: Any) -> None:
    """Count orders by key."""
    done, cpu, wall = 0, 0.0, 0.0
    async for order in orders:
        if not done:
            cpu, wall = time.process_time(), time.perf_counter()
        # A key belongs to one split, and so to one partition.
        if isinstance(order, dict):
            counts[f"{order['region']}/{order['sequence'] % KEYS_OF_SPLIT}"] += 1
        else:
            counts[f"{order.region}/{order.sequence % KEYS_OF_SPLIT}"] += 1
        done += 1
        if done >= EVENTS:
            report(done, time.process_time() - cpu, time.perf_counter() - wall)


def report(events: int, cpu: float, wall: float) -> None:
    """Print the result and end the process: how it would be shut down is not measured."""
    result = {"events_per_s": events / wall, "cpu_us": cpu / events * 1e6}
    os.write(OUT, f"RESULT {json.dumps(result)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    sys.argv = ["worker", "worker", "--without-web", "-l", "error"]
    app.main()
