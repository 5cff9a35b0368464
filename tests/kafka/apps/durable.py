"""A worker of the durable tests: the order server's streams into a topic, and an agent of it.

Its only argument is JSON, see :class:`support.durable.DurableShop`. It prints a line of JSON with
its status four times a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import faust

from faust_grpc import Backoff, Checkpoint, Cursor, GrpcSource, TopicSink

CONFIG: dict[str, Any] = json.loads(sys.argv[1])
OUT = os.dup(1)

app = faust.App(
    CONFIG["app_id"],
    datadir=CONFIG["datadir"],
    store="memory://",
    topic_replication_factor=1,
    worker_redirect_stdouts=False,
    broker_session_timeout=CONFIG["session_seconds"],
    broker_heartbeat_interval=CONFIG["session_seconds"] / 8,
    table_standby_replicas=CONFIG["standby"],
    **CONFIG["settings"],
)
# The orders are old: Kafka would delete them by their time.
topic = app.topic(CONFIG["topic"], key_type=str, config={"retention.ms": -1})
orders = GrpcSource(
    app,
    CONFIG["target"],
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    request={"rate": CONFIG["rate"], "limit": CONFIG["limit"], "reader": CONFIG["reader"]},
    splits={region: {"region": region} for region in CONFIG["sources"]["orders"]},
    key="region",
    timestamp="created_at",
    cursor=Cursor("sequence", into="after_sequence"),
    delivery=CONFIG["delivery"],
    sink=TopicSink(topic, partition_by=CONFIG["partition_by"]),
    checkpoint=Checkpoint(interval_seconds=CONFIG["interval_seconds"]),
    backoff=Backoff(initial_seconds=0.1, maximum_seconds=1.0),
)
read: dict[str, list[int]] = {}

if CONFIG["agent"]:

    @app.agent(orders)
    async def note(stream: Any) -> None:
        """Note what comes out of the topic."""
        async for order in stream:
            read.setdefault(order["region"], []).append(order["sequence"])


def _ranges(numbers: list[int]) -> list[list[int]]:
    """Return numbers in the order they came, those that follow each other as first and last."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges


def status() -> dict[str, Any]:
    """Return what the tests look at."""
    return {
        "time": time.time(),
        "reader": CONFIG["reader"],
        "generation": app.consumer_generation_id,
        "read": {region: _ranges(numbers) for region, numbers in read.items()},
        "splits": {
            split.name: [split.state, split.cursor, split.unacked, split.buffered, split.reason]
            for split in orders.status().splits
        },
    }


def tell() -> None:
    """Write a status line; straight to the descriptor, which no logging shares."""
    os.write(OUT, (json.dumps({"status": status()}) + "\n").encode())


@app.timer(0.25)
async def tell_regularly() -> None:
    """Four times a second."""
    tell()


if CONFIG["flicker"]:

    @app.task
    async def flicker() -> None:
        """Hold and release, at any moment of a commit."""
        while True:
            orders._feed.hold()
            await asyncio.sleep(0)
            orders._feed.release()
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "info"]
    app.main()
