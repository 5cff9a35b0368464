"""Value objects that every layer shares."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import grpc

__all__ = ["CursorValue", "DeadLetter", "Metadata", "Record", "Split", "Status"]

#: A resume position as it is read from a message. ``bytes`` and ``str`` are opaque: they are
#: stored and sent back, never compared.
CursorValue: TypeAlias = "int | str | bytes"

#: What is sent with a call: lower-case names; values of ``-bin`` names are bytes.
Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"


class Record(NamedTuple):
    """One event, as made from a message: before Faust sees it."""

    key: Any
    value: Any
    #: Event time, seconds since the epoch; ``None`` when the message has none.
    timestamp: float | None
    #: As Kafka's; ``None`` when the source declares none.
    headers: Mapping[str, bytes] | None = None


#: Servers may send whole documents as error text; in a line for people so much of each end stays.
_SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class Status:
    """How a call ended."""

    code: grpc.StatusCode
    details: str = ""
    #: The call ended because we cancelled it, not because the peer did.
    ours: bool = False

    def __str__(self) -> str:
        # Servers send whole texts; a log has lines.
        line = " ".join(self.details.split())
        return f"{self.code.name}: {_shortened(line)}" if line else self.code.name


@dataclass(frozen=True)
class Split:
    """One independent stream of a source.

    Arguments:
        name: its name; the checkpoint is kept under it, so a renamed split starts anew.
        request: request fields that differ from the source's ``request``.
        target: another target than the source's, for streams spread over several servers.
    """

    name: str
    request: Mapping[str, Any] = field(default_factory=dict)
    target: str | Sequence[str] | None = None


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be decoded or converted: kept, counted, passed over.

    Arguments:
        source: name of the source.
        split: name of the split.
        position: number of the message in the split's life in this process, from 1.
        cursor: the last good resume position before it, if any.
        reason: one line, for people.
        raw: the bytes as received.
    """

    source: str
    split: str
    position: int
    cursor: CursorValue | None
    reason: str
    raw: bytes

    def headers(self) -> dict[str, bytes]:
        """Return what a record in a dead-letter topic carries beside the raw bytes."""
        return {
            "source": self.source.encode(),
            "split": self.split.encode(),
            "position": str(self.position).encode(),
            "cursor": json.dumps(self.cursor, default=_text).encode(),
            "reason": self.reason.encode(),
        }


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _shortened(text: str) -> str:
    left_out = len(text) - 2 * _SHOWN_CHARACTERS
    if left_out <= 0:
        return text
    return (
        f"{text[:_SHOWN_CHARACTERS]} … ({left_out} more characters) … {text[-_SHOWN_CHARACTERS:]}"
    )
