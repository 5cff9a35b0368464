"""The example of etcd's Watch as a worker under test: its own app, with a recorder beside it.

Settings come as JSON in ``SETTINGS``. Every event is appended to ``EVENTS`` before it is acked,
and the state of this worker is written to ``STATE`` several times a second.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import faust

import faust_grpc

# What a test runs differently from the example.
faust.App = partial(faust.App, **json.loads(os.environ["SETTINGS"]))
if "ON_LOST" in os.environ:
    faust_grpc.Cursor = partial(faust_grpc.Cursor, on_lost=os.environ["ON_LOST"])
sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "etcd_watch"))

import app as example  # noqa: E402  # found by the path above

STATE = Path(os.environ["STATE"])
EVENTS = os.open(os.environ["EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@example.app.agent(example.changes)
async def record(events: Any) -> None:
    async for event in events:
        line = f"{os.getpid()} {event.kv.mod_revision} {event.kv.key.decode()}\n"
        os.write(EVENTS, line.encode())


@example.app.timer(0.2)
async def report() -> None:
    write_state()


def write_state() -> None:
    splits = [
        {
            "state": split.state,
            "reason": split.reason,
            "cursor": split.cursor,
            "calls": split.calls,
        }
        for split in example.changes.status().splits
    ]
    state = {"pid": os.getpid(), "splits": splits, "table": dict(example.settings.items())}
    written = STATE.with_suffix(".partial")
    written.write_text(json.dumps(state))
    written.replace(STATE)


if __name__ == "__main__":
    sys.argv = ["etcd_worker", "worker", "--without-web", "-l", "info"]
    example.app.main()
