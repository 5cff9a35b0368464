"""Schemas: a method's name → its request and response types, one private pool per source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from ..exceptions import SchemaError
from .base import Method, Schema
from .descriptor_set import DescriptorSet
from .differences import differences
from .drift import Drift, DriftWatch
from .proto_files import ProtoFiles
from .reflection import Reflection, ReflectionSchema
from .stubs import Stubs
from .text import proto_text

__all__ = [
    "DescriptorSet",
    "Drift",
    "DriftWatch",
    "Method",
    "ProtoFiles",
    "Reflection",
    "ReflectionSchema",
    "Schema",
    "SchemaOption",
    "Stubs",
    "differences",
    "proto_text",
    "schema_from",
]

#: What a source's ``schema=`` may be.
SchemaOption: TypeAlias = (
    "Schema | Reflection | ModuleType | type | str | Path | bytes | Sequence[str | Path] | None"
)

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*_pb2(_grpc)?")


def schema_from(option: SchemaOption) -> Schema:
    """Return the schema that a source's ``schema=`` means.

    Arguments:
        option: ``None`` asks the server (reflection), and a :class:`Reflection` says how; a
            generated ``*_pb2_grpc`` or ``*_pb2`` module, its name, or a stub class; a path to a
            descriptor set, its bytes or its base64 text; a .proto file, a folder of them, or a
            list of such; a ready schema.

    Raises:
        SchemaError: it is something else, or it cannot be used.
    """
    if isinstance(option, Schema):
        return option
    if option is None:
        return ReflectionSchema()
    if isinstance(option, Reflection):
        return ReflectionSchema(
            timeout_seconds=option.timeout_seconds,
            on_drift=option.on_drift,
            fallback=None if option.fallback is None else schema_from(option.fallback),
        )
    if isinstance(option, (ModuleType, type)):
        return Stubs(option)
    if isinstance(option, bytes):
        return DescriptorSet(option)
    if isinstance(option, (str, Path)):
        return _named(option)
    if _is_paths(option):
        return ProtoFiles(*option)
    raise SchemaError(
        f"schema={option!r}: give a generated *_pb2_grpc module, a stub class, a path to a "
        "descriptor set or its bytes, .proto files, or nothing for server reflection"
    )


def _named(name: str | Path) -> Schema:
    text = str(name)
    if text.endswith(".proto") or _is_folder(text):
        return ProtoFiles(name)
    return Stubs(text) if _MODULE.fullmatch(text) else DescriptorSet(name)


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):  # base64 text: too long for a name
        return False


def _is_paths(option: object) -> bool:
    return isinstance(option, (list, tuple)) and all(isinstance(o, (str, Path)) for o in option)
