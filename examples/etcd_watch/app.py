"""etcd's keys under a prefix as a Faust table, kept up to date by etcd's Watch. See README.md."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import faust
from faust.types import StreamT

from faust_grpc import Cursor, CursorLost, GrpcSource

TARGET = os.environ.get("ETCD_TARGET", "127.0.0.1:2379")
PREFIX = os.environ.get("ETCD_PREFIX", "config/").encode()


def revision(response: Any) -> int | None:
    """Return the revision up to which everything was told, this response included."""
    if response.events:
        # Not header.revision: it can be ahead of the events of a long backlog.
        return int(response.events[-1].kv.mod_revision)
    if response.created or response.canceled:
        return None
    return int(response.header.revision)  # a progress report: nothing happened up to here


def refusal(response: Any) -> str | CursorLost | None:
    """Return why etcd gave the watch up: it says so in a message, and leaves the call open."""
    if not response.canceled:
        return None
    if response.compact_revision:
        return CursorLost(
            f"etcd compacted its history: the oldest revision is {response.compact_revision}"
        )
    return f"etcd canceled the watch: {response.cancel_reason}"


app = faust.App("etcd-watch")

changes = GrpcSource(
    app,
    TARGET,
    "etcdserverpb.Watch/Watch",
    name="etcd-changes",
    schema=Path(__file__).with_name("etcd.binpb"),
    request={
        "create_request": {
            "key": PREFIX,
            "range_end": PREFIX[:-1] + bytes([PREFIX[-1] + 1]),
            "progress_notify": True,
        }
    },
    # start_revision is the first revision wanted, so one more than the last one seen.
    cursor=Cursor(revision, into="create_request.start_revision", advance=1, start=0),
    explode="events",
    key="kv.key",
    error=refusal,
)

settings = app.Table("settings", default=str)


@app.agent(changes)
async def keep(changes: StreamT[Any]) -> None:
    """Keep the newest value of every key."""
    async for key, event in changes.items():
        name, value = key.decode(), event.kv.value.decode()
        if event.type == event.DELETE:
            settings.pop(name, None)
            print(f"{name} is gone")
        else:
            settings[name] = value
            print(f"{name} is {value}")


if __name__ == "__main__":
    app.main()
