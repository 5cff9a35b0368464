"""Metrics and traces of sources: for Prometheus, for OpenTelemetry, and for what you write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..observers import CallEnd, CallStart, Observer, Where
from .observing import observe

if TYPE_CHECKING:
    from .opentelemetry import setup_opentelemetry
    from .prometheus import setup_prometheus

__all__ = [
    "CallEnd",
    "CallStart",
    "Observer",
    "Where",
    "observe",
    "setup_opentelemetry",
    "setup_prometheus",
]

#: Each backend needs an extra of its own, so it is imported when it is asked for.
_BACKENDS = {"setup_prometheus": "prometheus", "setup_opentelemetry": "opentelemetry"}


def __getattr__(name: str) -> Any:
    if name not in _BACKENDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_BACKENDS[name]}", __name__), name)
