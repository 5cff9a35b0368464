"""The orders example, shown to Prometheus at ``/metrics``."""

from __future__ import annotations

from app import app

from faust_grpc.metrics import setup_prometheus

setup_prometheus(app)

__all__ = ["app"]
