"""gRPC streams as sources for Faust agents and tables."""

from __future__ import annotations

__version__ = "0.1.0"
