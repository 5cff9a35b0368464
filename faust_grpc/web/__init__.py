"""Health, status and control of sources, on Faust's own web server."""

from __future__ import annotations

from .pages import register, setup_web

__all__ = ["register", "setup_web"]
