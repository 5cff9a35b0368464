"""An application whose streams are all read by asyncio readers: some into topics, one by an agent.

Settings come from the environment. Every source with a sink has a thread, and so a loop, of its
own; the direct one is read on Faust's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faust

from faust_grpc import Cursor, GrpcSource, TopicSink
from faust_grpc.metrics import setup_opentelemetry, setup_prometheus

ETCD_SCHEMA = Path(__file__).parents[3] / "examples" / "etcd_watch" / "etcd.binpb"
APP_ID = os.environ["APP_ID"]

app = faust.App(
    APP_ID,
    topic_partitions=4,
    topic_replication_factor=1,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    table_standby_replicas=0,
    store="memory://",
)


def orders(name: str, **options: Any) -> GrpcSource:
    """Declare a source of orders whose types the server is asked for."""
    return GrpcSource(
        app,
        os.environ["ORDERS_TARGET"],
        "shop.v1.OrderService/StreamOrders",
        name=name,
        request={"rate": 100},
        splits={region: {"region": region} for region in (f"{name}-1", f"{name}-2")},
        cursor=Cursor("sequence", into="after_sequence"),
        delivery="exactly_once",
        reader="aio",
        **options,
    )


def sink(name: str) -> TopicSink:
    """Return a topic that has each split's records in the order of its stream."""
    return TopicSink(app.topic(f"{APP_ID}-{name}"), partition_by="split")


first = orders("first", sink=sink("first"))
second = orders("second", sink=sink("second"))
direct = orders("direct", key="region")
seen = app.Table("seen", default=int)


@app.agent(direct)
async def count(stream: Any) -> None:
    """Note how far each region is."""
    async for order in stream:
        seen[order.region] = order.sequence


def revision(response: Any) -> int | None:
    """Return the revision of the last event of a response."""
    return int(response.events[-1].kv.mod_revision) if response.events else None


if "ETCD_TARGET" in os.environ:
    changes = GrpcSource(
        app,
        os.environ["ETCD_TARGET"],
        "etcdserverpb.Watch/Watch",
        name="changes",
        schema=ETCD_SCHEMA,
        request={"create_request": {"key": b"config/", "range_end": b"config0"}},
        cursor=Cursor(revision, into="create_request.start_revision", advance=1, start=0),
        explode="events",
        key="kv.key",
        delivery="exactly_once",
        sink=sink("changes"),
    )

setup_prometheus(app)
if "TRACES" in os.environ:
    setup_opentelemetry(app)
