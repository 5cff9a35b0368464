"""A worker of the cluster tests: sources of the order server into tables.

Its only argument is JSON, see :class:`support.cluster.Shop`. It prints one line of JSON with its
status four times a second, and once more just before it stops to be a member.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import faust
import faust.streams

from faust_grpc import Backoff, Buffer, Checkpoint, Cursor, GrpcSource

CONFIG: dict[str, Any] = json.loads(sys.argv[1])
READER = CONFIG["reader"]
BLOCK = CONFIG["block"]
OUT = os.dup(1)

app = faust.App(
    CONFIG["app_id"],
    datadir=CONFIG["datadir"],
    store=CONFIG["store"],
    worker_redirect_stdouts=False,
    broker_session_timeout=CONFIG["session_seconds"],
    broker_heartbeat_interval=CONFIG["session_seconds"] / 8,
    table_standby_replicas=CONFIG["standby"],
    **{"topic_replication_factor": 1, **CONFIG["settings"]},
)
#: Left out, it is the sources' default.
delivery = {"delivery": CONFIG["delivery"]} if CONFIG["delivery"] else {}
sources = [
    GrpcSource(
        app,
        CONFIG["target"],
        "shop.v1.OrderService/StreamOrders",
        name=name,
        request={"rate": CONFIG["rate"], "reader": READER},
        splits={region: {"region": region} for region in regions},
        key="order_id",
        timestamp="created_at",
        cursor=Cursor("sequence", into="after_sequence"),
        buffer=Buffer(unacked=CONFIG["unacked"], messages=CONFIG["buffered"]),
        checkpoint=Checkpoint(
            interval_seconds=CONFIG["interval_seconds"],
            drain_seconds=CONFIG["drain_seconds"],
            stuck_seconds=CONFIG["stuck_seconds"],
        ),
        backoff=Backoff(initial_seconds=0.1, maximum_seconds=1.0),
        kafka_options=CONFIG["kafka_options"],
        **delivery,
    )
    for name, regions in CONFIG["sources"].items()
]
#: How often each order was processed: a digit per sequence number, ``BLOCK`` of them per key.
#: (One key per order would make every recovery longer than the one before.)
seen = app.Table("seen", default=str)
#: The same by another way: how many orders of a region, and the last one.
totals = app.Table("totals", default=dict) if CONFIG["totals"] else None
extra_tables = [app.Table(name, default=int) for name in CONFIG["extra_tables"]]
processed, processed_at = 0, 0.0


def count(order: Any) -> None:
    """Count one order in every table, without changing a value that waits to be written."""
    global processed, processed_at
    processed += 1
    processed_at = time.time()
    block, place = divmod(order.sequence - 1, BLOCK)
    key = f"{order.region}:{block}"
    digits = seen[key].ljust(place + 1, "0")
    times = min(int(digits[place]) + 1, 9)
    seen[key] = f"{digits[:place]}{times}{digits[place + 1 :]}"
    if totals is not None:
        total = totals[order.region]
        totals[order.region] = {"count": total.get("count", 0) + 1, "last": order.sequence}
    for table in extra_tables:
        table[order.region] += 1


for source in sources:

    @app.agent(source, name=f"count-{source.name}")
    async def count_orders(orders: Any) -> None:
        """Count them."""
        async for order in orders:
            count(order)

    @app.agent(source, name=f"watch-{source.name}")
    async def watch_orders(orders: Any) -> None:
        """A second subscription: an event is finished when both are."""
        async for _ in orders:
            pass


refunded = 0
if CONFIG["refunds_topic"]:
    refunds = app.topic(
        CONFIG["refunds_topic"], key_type=bytes, value_type=bytes, value_serializer="raw"
    )
    refund_counts = app.Table("refund-counts", default=int)

    @app.agent(refunds)
    async def count_refunds(stream: Any) -> None:
        """An ordinary topic agent with a table of its own, beside the source."""
        global refunded
        async for value in stream:
            refund_counts[value.decode()] += 1
            refunded += 1


def idle_seconds() -> float | None:
    """Return how long aiokafka believes that nobody polled; it leaves the group over it."""
    consumer: Any = getattr(app.consumer, "_thread", None)
    client = consumer and consumer._consumer
    return client and client._subscription.fetcher_idle_time


def status() -> dict[str, Any]:
    """Return what the tests look at."""
    return {
        "time": time.time(),
        "reader": READER,
        "compiled": faust.streams._CStreamIterator is not None,
        "generation": app.consumer_generation_id,
        "rebalancing": app.rebalancing,
        "idle_seconds": idle_seconds(),
        "processed": processed,
        "processed_at": processed_at,
        "refunded": refunded,
        "waiting_for": [source.status().waiting_for for source in sources],
        "splits": {
            split.name: [split.state, split.cursor, split.unacked, split.buffered, split.reason]
            for source in sources
            for split in source.status().splits
        },
    }


def tell() -> None:
    """Write a status line; straight to the descriptor, which no logging shares."""
    os.write(OUT, (json.dumps({"status": status()}) + "\n").encode())


@app.timer(0.25)
async def tell_regularly() -> None:
    """Four times a second."""
    tell()


def main() -> None:
    """Run the worker."""
    port = CONFIG["web_port"]
    web = ["--web-port", str(port)] if port else ["--without-web"]
    sys.argv = [sys.argv[0], "worker", "-l", "info", *web]
    app.main()


if __name__ == "__main__":
    main()
