"""gRPC streams as sources for Faust agents and tables.

Names are imported when they are first used: the core (a resumable gRPC reader) and the command
line work without importing Faust.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codecs import AnyCodec, ProtobufCodec
    from .config import TLS, Backoff, Buffer, Checkpoint, Keepalive, Timeouts
    from .credentials import CallMetadata
    from .cursors import Cursor
    from .decoding import ProtoJson
    from .exceptions import (
        CallFailed,
        ConfigurationError,
        ConversionError,
        CredentialsError,
        CursorLost,
        DataError,
        DecodeError,
        FaustGrpcError,
        FieldError,
        HostError,
        MixedTable,
        PartitionNotOwned,
        PeerError,
        ReflectionFailed,
        SchemaError,
        TargetError,
    )
    from .recovery import bulk_recovery
    from .reports import SourceStatus, SplitStatus
    from .schema import ProtoFiles, Reflection
    from .sinks import TopicSink
    from .source import GrpcSource
    from .status import Rule, Verdict
    from .types import DeadLetter, Record, Split, Status
    from .web import setup_web

__version__ = "0.1.0"

__all__ = [
    "TLS",
    "AnyCodec",
    "Backoff",
    "Buffer",
    "CallFailed",
    "CallMetadata",
    "Checkpoint",
    "ConfigurationError",
    "ConversionError",
    "CredentialsError",
    "Cursor",
    "CursorLost",
    "DataError",
    "DeadLetter",
    "DecodeError",
    "FaustGrpcError",
    "FieldError",
    "GrpcSource",
    "HostError",
    "Keepalive",
    "MixedTable",
    "PartitionNotOwned",
    "PeerError",
    "ProtoFiles",
    "ProtoJson",
    "ProtobufCodec",
    "Record",
    "Reflection",
    "ReflectionFailed",
    "Rule",
    "SchemaError",
    "SourceStatus",
    "Split",
    "SplitStatus",
    "Status",
    "TargetError",
    "Timeouts",
    "TopicSink",
    "Verdict",
    "bulk_recovery",
    "setup_web",
]

_HOMES = {
    "codecs": ("AnyCodec", "ProtobufCodec"),
    "config": ("TLS", "Backoff", "Buffer", "Checkpoint", "Keepalive", "Timeouts"),
    "credentials": ("CallMetadata",),
    "cursors": ("Cursor",),
    "decoding": ("ProtoJson",),
    "recovery": ("bulk_recovery",),
    "schema": ("ProtoFiles", "Reflection"),
    "sinks": ("TopicSink",),
    "reports": ("SourceStatus", "SplitStatus"),
    "source": ("GrpcSource",),
    "status": ("Rule", "Verdict"),
    "types": ("DeadLetter", "Record", "Split", "Status"),
    "web": ("setup_web",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME.get(name, 'exceptions')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
