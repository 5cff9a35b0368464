"""Positions as people type and read them."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..cursors import dump_cursor
from ..exceptions import ConfigurationError
from ..saved import Saved
from ..types import CursorValue

if TYPE_CHECKING:  # Faust is slow to import, and describe and tail do without
    from ..checkpoint_topic import SavedSplit

__all__ = ["parse_cursor", "position_text", "saved_json", "saved_row"]


def parse_cursor(text: str, kind: str | None) -> CursorValue:
    """Return a position that somebody typed.

    Arguments:
        text: as typed; bytes as base64.
        kind: ``"int"``, ``"str"`` or ``"bytes"``; ``None`` when nobody knows: then JSON says it.

    Raises:
        ConfigurationError: it is none of that kind.
    """
    if kind == "str":
        return text
    if kind == "bytes":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ConfigurationError(
                f"--to {text!r}: the cursor is bytes; give them as base64"
            ) from error
    if kind == "int":
        if not (text.removeprefix("-").isdecimal() and text.isascii()):
            raise ConfigurationError(f"--to {text!r}: the cursor is an integer")
        return int(text)
    return _from_json(text)


def _from_json(text: str) -> CursorValue:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ConfigurationError(
            f"--to {text!r}: is the cursor an integer or text? The declaration does not say, and "
            f"nothing is saved yet: write 4711 or '\"4711\"'"
        )
    return value


def position_text(cursor: CursorValue | None) -> str:
    """Return a position for a table: bytes as base64, none as a dash."""
    if isinstance(cursor, bytes):
        return base64.b64encode(cursor).decode()
    return "-" if cursor is None else str(cursor)


def saved_row(split: SavedSplit) -> list[str]:
    """Return split, partition, cursor, time and remarks."""
    saved, at = split.saved or Saved(), split.saved_at
    remarks = [
        *([f"paused: {saved.paused}"] if saved.paused else []),
        *([] if split.declared else ["not declared"]),
    ]
    time = "never" if at is None else datetime.fromtimestamp(at).astimezone()
    return [
        split.name,
        str(split.partition),
        position_text(saved.cursor),
        time if isinstance(time, str) else time.isoformat(" ", "seconds"),
        ", ".join(remarks),
    ]


def saved_json(split: SavedSplit) -> dict[str, Any]:
    """Return the same for programs."""
    saved, at = split.saved or Saved(), split.saved_at
    return {
        "split": split.name,
        "partition": split.partition,
        "cursor": None if saved.cursor is None else dump_cursor(saved.cursor),
        "paused": saved.paused,
        "saved_at": None if at is None else datetime.fromtimestamp(at, timezone.utc),
        "declared": split.declared,
    }
