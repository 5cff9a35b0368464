"""One measurement of :mod:`benchmarks.durable`, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import faust

import faust_grpc

VARIANT = os.environ["VARIANT"]
EVENTS = int(os.environ["EVENTS"])
#: Before the measurement: connections are made, code is warm.
WARM_UP = 10_000
LOOK_SECONDS = 0.01
OUT = os.dup(1)

app = faust.App(
    os.environ["APP"],
    datadir=os.environ["DATADIR"],
    store="memory://",
    topic_replication_factor=1,
    **json.loads(os.environ["SETTINGS"]),
)
sink = app.topic(
    f"{os.environ['APP']}-orders",
    value_serializer="json" if VARIANT.endswith("json") else "raw",
    config={"retention.ms": -1},
)
orders = faust_grpc.GrpcSource(
    app,
    os.environ["TARGET"],
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    request={"region": "r0"},
    key="order_id",
    timestamp="created_at",
    cursor=faust_grpc.Cursor("sequence", into="after_sequence"),
    schema="examples/orders/orders.binpb",
    delivery="exactly_once",
    sink=sink,
    checkpoint=faust_grpc.Checkpoint(interval_seconds=0.1),
)


def committed() -> int:
    """Return how far the topic is."""
    return next((int(split.cursor or 0) for split in orders.status().splits), 0)


@app.task
async def measure() -> None:
    """Wait until enough is committed, and report."""
    while (first := committed()) < WARM_UP:  # noqa: ASYNC110 - there is nothing to be told by
        await asyncio.sleep(LOOK_SECONDS)
    cpu, wall = time.process_time(), time.perf_counter()
    while (last := committed()) < first + EVENTS:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    events = last - first
    result = {"events_per_s": events / wall, "cpu_us": cpu / events * 1e6}
    os.write(OUT, f"RESULT {json.dumps(result)}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    sys.argv = ["worker", "worker", "--without-web", "-l", "error"]
    app.main()
