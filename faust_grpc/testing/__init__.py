"""Brokers and servers for tests and demos."""

from __future__ import annotations

from .brokers import Broker, MockBroker
from .choice import broker
from .processes import ChildProcess, NotReady, eventually, free_port, wait_until
from .server import End, Fail, ReceivedCall, Replay, Reset, ScriptedServer, Send, Stall

__all__ = [
    "Broker",
    "ChildProcess",
    "End",
    "Fail",
    "MockBroker",
    "NotReady",
    "ReceivedCall",
    "Replay",
    "Reset",
    "ScriptedServer",
    "Send",
    "Stall",
    "broker",
    "eventually",
    "free_port",
    "wait_until",
]
