"""Brokers and servers for tests and demos."""

from __future__ import annotations

from .brokers import Broker, MockBroker, broker
from .processes import ChildProcess, NotReady, free_port, wait_until

__all__ = ["Broker", "ChildProcess", "MockBroker", "NotReady", "broker", "free_port", "wait_until"]
