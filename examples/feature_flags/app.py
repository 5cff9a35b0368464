"""Feature flags in every worker, asked over HTTP. See README.md."""

from __future__ import annotations

import os
import zlib
from typing import Any

import faust
from faust import web
from faust.types import StreamT

from faust_grpc import GrpcSource

TARGET = os.environ.get("FEATURE_FLAGS_TARGET", "localhost:50051")

app = faust.App("feature-flags")

changes = GrpcSource(
    app,
    TARGET,
    "flags.v1.FlagService/WatchFlags",
    name="flags",
    request={"environment": "production"},
    # Every worker reads all flags and answers for itself.
    scope="worker",
    # Each call begins with all flags; behind this message the worker is "synced".
    end_of_snapshot="snapshot_end",
)


class Flags:
    """Of 100 users, how many see a feature: now, and in the next snapshot while it comes."""

    def __init__(self) -> None:
        self.current: dict[str, int] = {}
        self._incoming: dict[str, int] | None = None

    def take(self, event: Any) -> None:
        """Note one message; a snapshot counts when it is complete, and replaces what was."""
        match event.WhichOneof("kind"):
            case "snapshot_begin":
                self._incoming = {}
            case "snapshot_end" if self._incoming is not None:
                self.current, self._incoming = self._incoming, None
            case "flag":
                flag = event.flag
                flags = self.current if self._incoming is None else self._incoming
                if flag.deleted:
                    flags.pop(flag.name, None)
                else:
                    flags[flag.name] = flag.percent if flag.enabled else 0


flags = Flags()


@app.agent(changes)
async def keep(changes: StreamT[Any]) -> None:
    """Keep the flags up to date."""
    async for event in changes:
        flags.take(event)


@app.page("/flags/")
async def on(view: web.View, request: web.Request) -> web.Response:
    """Return the flags that are on: ``/flags/?user=ada``."""
    user = request.query.get("user", "")
    return view.json({name: is_on(name, user, part) for name, part in flags.current.items()})


def is_on(name: str, user: str, percent: int) -> bool:
    """Return whether a user sees a feature; the same user always the same."""
    return zlib.crc32(f"{name}/{user}".encode()) % 100 < percent
