"""A worker whose source nobody reads: its agents are in a module that was not imported.

Its only argument is the JSON of ``shop.py``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import faust

from faust_grpc import Cursor, GrpcSource

CONFIG: dict[str, Any] = json.loads(sys.argv[1])

app = faust.App(
    CONFIG["app_id"],
    datadir=CONFIG["datadir"],
    store="memory://",
    worker_redirect_stdouts=False,
    **{"topic_replication_factor": 1, **CONFIG["settings"]},
)
source = GrpcSource(
    app,
    CONFIG["target"],
    "shop.v1.OrderService/StreamOrders",
    name="orders",
    request={"region": "r0"},
    cursor=Cursor("sequence", into="after_sequence"),
)


@app.timer(0.25)
async def tell() -> None:
    """Say what the source waits for."""
    print(f"waiting for: {source.status().waiting_for}", flush=True)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "info"]
    app.main()
