"""Servers, brokers and processes for tests and demos; fixtures of them are in :mod:`.plugin`.

Names are imported when they are first used: pytest imports the plugin in every run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..source_context import SourceContext
    from .brokers import Broker, MockBroker
    from .choice import broker
    from .processes import ChildProcess, NotReady, eventually, free_port, wait_until
    from .server import ReceivedCall, ScriptedServer
    from .steps import End, Fail, GoAway, Poison, Replay, Reset, Send, Stall

__all__ = [
    "Broker",
    "ChildProcess",
    "End",
    "Fail",
    "GoAway",
    "MockBroker",
    "NotReady",
    "Poison",
    "ReceivedCall",
    "Replay",
    "Reset",
    "ScriptedServer",
    "Send",
    "SourceContext",
    "Stall",
    "broker",
    "eventually",
    "free_port",
    "wait_until",
]

_HOMES = {
    "..source_context": ("SourceContext",),
    ".brokers": ("Broker", "MockBroker"),
    ".choice": ("broker",),
    ".processes": ("ChildProcess", "NotReady", "eventually", "free_port", "wait_until"),
    ".server": ("ReceivedCall", "ScriptedServer"),
    ".steps": ("End", "Fail", "GoAway", "Poison", "Replay", "Reset", "Send", "Stall"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
