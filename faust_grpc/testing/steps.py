"""What a scripted server does on a call, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from google.protobuf.message import Message

from ..types import Metadata

__all__ = ["End", "Fail", "GoAway", "Payload", "Poison", "Replay", "Reset", "Send", "Stall", "Step"]

Payload: TypeAlias = "bytes | Message"
"""A message to send: a protobuf message, or any bytes, well-formed or not."""


@dataclass(frozen=True, init=False)
class Send:
    """Send messages."""

    messages: tuple[Payload, ...]

    def __init__(self, *messages: Payload) -> None:
        object.__setattr__(self, "messages", messages)


@dataclass(frozen=True)
class Poison:
    """Send bytes that no protobuf message can be made of.

    Arguments:
        raw: the bytes; by default a field's tag without the field.
    """

    raw: bytes = b"\xff"


@dataclass(frozen=True)
class Replay:
    """Send the part of a history that comes after the caller's cursor.

    Arguments:
        history: the messages in order; may grow between calls.
        after: reads the cursor from the first request: how many messages to pass over.
    """

    history: Sequence[Payload]
    after: Callable[[bytes], int]


@dataclass(frozen=True)
class Stall:
    """Keep the call open and silent until the caller or the server ends it.

    The test goes on by hand meanwhile: :meth:`ReceivedCall.send`, :meth:`ReceivedCall.proceed`.
    """


@dataclass(frozen=True)
class End:
    """End the call with OK (as does the end of the script)."""


@dataclass(frozen=True)
class Fail:
    """End the call with a status other than OK."""

    code: grpc.StatusCode
    details: str = ""
    trailing_metadata: Metadata = ()


@dataclass(frozen=True)
class Reset:
    """Break the call off (RST_STREAM), without a status from the server."""


@dataclass(frozen=True)
class GoAway:
    """Send GOAWAY on every connection, as a server does that is about to end, and go on.

    Calls that are open go on for a while, new ones need a new connection.

    Arguments:
        grace_seconds: how long; then they are broken off.
    """

    grace_seconds: float = 5.0


Step: TypeAlias = "Send | Poison | Replay | Stall | End | Fail | Reset | GoAway"
