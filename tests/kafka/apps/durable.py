"""A worker of the durable tests: the order server's streams into a topic, and an agent of it.

Its arguments are ``CONFIG``, JSON. It prints one line of JSON with its status four times a second.
"""

from __future__ import annotations

import json
import os
import sys
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
    table_standby_replicas=0,
    **CONFIG["settings"],
)
topic = app.topic(CONFIG["topic"], key_type=str)
orders = GrpcSource(
    app,
    CONFIG["target"],
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    request={"rate": CONFIG["rate"], "limit": CONFIG["limit"], "reader": CONFIG["reader"]},
    splits={region: {"region": region} for region in CONFIG["regions"]},
    key="region",
    timestamp="created_at",
    cursor=Cursor("sequence", into="after_sequence"),
    delivery=CONFIG["delivery"],
    sink=TopicSink(topic, partition_by=CONFIG["partition_by"]),
    checkpoint=Checkpoint(interval_seconds=CONFIG["interval_seconds"]),
    backoff=Backoff(initial_seconds=0.1, maximum_seconds=1.0),
)
read: dict[str, int] = {}

if CONFIG["agent"]:

    @app.agent(orders)
    async def count(stream: Any) -> None:
        """Count what comes out of the topic."""
        async for order in stream:
            read[order["region"]] = read.get(order["region"], 0) + 1


def status() -> dict[str, Any]:
    """Return what the tests look at."""
    return {
        "reader": CONFIG["reader"],
        "generation": app.consumer_generation_id,
        "read": read,
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


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "info"]
    app.main()
