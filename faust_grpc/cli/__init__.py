"""The command line: ``faust-grpc describe``, ``tail``, ``generate`` and ``demo``."""

from __future__ import annotations

from .base import main

__all__ = ["main"]
