"""A plain Faust worker, without faust_grpc, with the tables of ``shop.py``.

Its only argument is the same JSON. After the recovery it prints one line of JSON with all that it
found in the tables.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import faust

CONFIG: dict[str, Any] = json.loads(sys.argv[1])
OUT = os.dup(1)

app = faust.App(
    CONFIG["app_id"],
    datadir=CONFIG["datadir"],
    store="memory://",
    topic_replication_factor=1,
    worker_redirect_stdouts=False,
    broker_session_timeout=CONFIG["session_seconds"],
    table_standby_replicas=CONFIG["standby"],
    **CONFIG["settings"],
)
seen = app.Table("seen", default=str)
totals = app.Table("totals", default=dict)


@app.on_rebalance_complete.connect
async def show(*_arguments: Any, **_options: Any) -> None:
    """Faust is ready."""
    contents = {"seen": dict(seen.items()), "totals": dict(totals.items())}
    os.write(OUT, (json.dumps({"tables": contents}) + "\n").encode())


if __name__ == "__main__":
    assert "faust_grpc" not in sys.modules
    sys.argv = [sys.argv[0], "worker", "--without-web", "-l", "info"]
    app.main()
