"""One measurement of :mod:`benchmarks.recovery`, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from typing import Any

import faust
from faust.sensors.base import Sensor

import faust_grpc

VARIANT = os.environ["VARIANT"]
KEYS = int(os.environ["KEYS"])
OUT = os.dup(1)

app = faust.App(
    VARIANT,
    datadir=os.environ["DATADIR"],
    store="memory://",
    topic_replication_factor=1,
    **json.loads(os.environ["SETTINGS"]),
)
stock = app.Table("stock", default=int)


class Meter(Sensor):
    """CPU and wall time from the assignment to the end of the recovery; pauses of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.began: tuple[float, float] | None = None
        self.longest = 0.0

    def asdict(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    async def begin(self, *_arguments: Any, **_options: Any) -> None:
        """Partitions are assigned."""
        if self.began is None:
            self.began = (time.process_time(), time.perf_counter())
            self.add_future(self.tick())

    async def tick(self) -> None:
        """Measure how long the event loop, like a heartbeat, has to wait for its turn."""
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            self.longest, last = max(self.longest, now - last - 0.005), now

    def on_rebalance_end(self, app: Any, state: Any) -> None:
        """The worker is ready."""
        assert self.began is not None
        if len(stock) != KEYS:
            return  # an assignment before the topics were known
        cpu = time.process_time() - self.began[0]
        wall = time.perf_counter() - self.began[1]
        assert stock["customer-00000007"] == 7
        result = {
            "records_per_s": KEYS / wall,
            "seconds": wall,
            "cpu_us": cpu / KEYS * 1e6,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "longest_pause_ms": self.longest * 1e3,
        }
        os.write(OUT, f"\nRESULT {json.dumps(result)}\n".encode())
        os._exit(0)


def declare_source() -> None:
    """Have a source feed the table. Its server is not there: it is not read before the end."""
    orders = faust_grpc.GrpcSource(
        app,
        "127.0.0.1:1",
        "shop.v1.OrderService/StreamOrders",
        name="orders",
        key="order_id",
        cursor=faust_grpc.Cursor("sequence", into="after_sequence"),
        schema="examples/orders/orders.binpb",
    )

    @app.agent(orders)
    async def count(stream: Any) -> None:
        async for order in stream:
            stock[order.customer_id] += 1


def declare_topic() -> None:
    """Have a topic feed the table."""

    @app.agent(app.topic("customers", internal=True))
    async def count(customers: Any) -> None:
        async for customer in customers:
            stock[customer] += 1


meter = Meter()
app.sensors.add(meter)
app.on_partitions_assigned.connect(meter.begin)
if VARIANT == "source_recovery":
    declare_source()
else:
    declare_topic()

if __name__ == "__main__":
    sys.argv = ["worker", "worker", "--without-web", "-l", "error"]
    app.main()
