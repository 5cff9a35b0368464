"""Servers, brokers and workers that tests start: each in a process of its own, always ended."""

from __future__ import annotations

from .etcd import Etcd
from .orders import OrderServer, go_server_binary, overlaps
from .workers import Worker

__all__ = ["Etcd", "OrderServer", "Worker", "go_server_binary", "overlaps"]
