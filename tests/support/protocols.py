"""A protocol as a source declares it, driven by hand."""

from __future__ import annotations

from typing import Any

from grpc import StatusCode

from faust_grpc import Cursor
from faust_grpc.declaration import Declaration
from faust_grpc.protocol import Call, DeclaredProtocol
from faust_grpc.schema import schema_from
from faust_grpc.targets import parse_targets
from faust_grpc.types import Split, Status

from .messages import SETS

__all__ = [
    "CURSOR",
    "FRAMES",
    "METHOD",
    "Frame",
    "Tick",
    "asks_after",
    "brought",
    "ended",
    "started",
]

SCHEMA = schema_from(SETS / "feed.binpb")
METHOD = SCHEMA.method("cases.feed.v1.Feed/Ticks")
FRAMES = SCHEMA.method("cases.feed.v1.Feed/Frames")
Tick: Any = METHOD.response_class
Frame: Any = FRAMES.response_class
SPLIT = Split("main")
CURSOR = Cursor("seq", into="after_seq")


def started(
    saved: Any = None, method: Any = METHOD, now: float = 0.0, **options: Any
) -> DeclaredProtocol:
    """Return a protocol whose first call was made."""
    declaration = Declaration(
        name="feed",
        targets=parse_targets("127.0.0.1:1"),
        method=method.full_name,
        schema=SCHEMA,
        splits=(SPLIT,),
        **options,
    )
    protocol = declaration.plan(method).protocol(SPLIT, saved)
    protocol.start(now)
    return protocol


def ended(
    protocol: DeclaredProtocol, code: StatusCode, details: str = "", now: float = 1.0
) -> list[Any]:
    """End its call."""
    return list(protocol.ended(Status(code, details), now))


def brought(protocol: DeclaredProtocol, *numbers: int) -> list[Any]:
    """Have its call bring ticks."""
    actions: list[Any] = []
    for number in numbers:
        actions += protocol.message(Tick(seq=number).SerializeToString())
    return actions


def asks_after(actions: Any) -> int:
    """Return the position behind which the one call among the actions resumes."""
    (call,) = actions
    assert isinstance(call, Call)
    return int(METHOD.request_class.FromString(call.requests[0]).after_seq)
