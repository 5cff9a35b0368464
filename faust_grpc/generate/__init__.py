"""Message types → Python source: ``faust.Record`` classes to commit."""

from __future__ import annotations

from .comments import comments_in
from .text import records_source

__all__ = ["comments_in", "records_source"]
