"""An application whose status page is looked at: sources as the environment says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import faust

from faust_grpc import Backoff, Cursor, GrpcSource

SCHEMA = Path(__file__).parents[3] / "examples" / "orders" / "orders.binpb"

app = faust.App(
    os.environ["APP_ID"],
    topic_partitions=4,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=1.0,
    table_standby_replicas=0,
    PartitionAssignor=os.environ.get("ASSIGNOR", "faust.assignor:PartitionAssignor"),
)


def add(
    name: str,
    target: str,
    splits: list[str],
    *,
    cursor: tuple[str, str] = ("sequence", "after_sequence"),
    on_poison: str = "halt",
) -> None:
    """Declare a source with an agent; each split asks for the region of its name."""
    source = GrpcSource(
        app,
        target,
        "shop.v1.OrderService/StreamOrders",
        name=name,
        schema=SCHEMA,
        request={"rate": int(os.environ.get("RATE", "50"))},
        splits={split: {"region": split} for split in splits},
        cursor=Cursor(cursor[0], into=cursor[1]),
        backoff=Backoff(initial_seconds=0.1, maximum_seconds=0.5),
        on_poison=on_poison,  # type: ignore[arg-type]
    )

    @app.agent(source, name=f"reader-{len(app.agents)}")
    async def reader(stream: faust.StreamT[object]) -> None:
        async for _ in stream:
            pass


add("orders", os.environ["ORDERS_TARGET"], os.environ["REGIONS"].split(","))
for told in json.loads(os.environ.get("MORE_SOURCES", "[]")):
    add(**told)
