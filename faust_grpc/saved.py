"""What a checkpoint record says about a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .cursors import dump_cursor, load_cursor
from .types import CursorValue

__all__ = ["Saved"]


@dataclass(frozen=True)
class Saved:
    """A split's checkpoint.

    Arguments:
        cursor: the position to resume behind; ``None`` begins as the first start did.
        paused: why nobody reads the split until it is resumed, whichever worker owns it; empty
            when it is read.
    """

    cursor: CursorValue | None = None
    paused: str = ""

    def dump(self) -> dict[str, Any]:
        """Return it as the record's JSON value."""
        cursor = None if self.cursor is None else dump_cursor(self.cursor)
        return {"cursor": cursor, "paused": self.paused} if self.paused else {"cursor": cursor}

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Saved:
        """Return what :meth:`dump` made JSON of.

        Raises:
            ValueError: it is no checkpoint record.
        """
        cursor, paused = stored.get("cursor"), stored.get("paused", "")
        if not isinstance(paused, str):
            raise ValueError(f"not a stored reason: {paused!r}")
        return cls(None if cursor is None else load_cursor(cursor), paused)
