"""Schemas: a method's name → its request and response types, one private pool per source."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from ..exceptions import SchemaError
from .base import Method, Schema
from .descriptor_set import DescriptorSet
from .reflection import ReflectionSchema
from .stubs import Stubs
from .text import proto_text

__all__ = [
    "DescriptorSet",
    "Method",
    "ReflectionSchema",
    "Schema",
    "SchemaOption",
    "Stubs",
    "proto_text",
    "schema_from",
]

#: What a source's ``schema=`` may be.
SchemaOption: TypeAlias = "Schema | ModuleType | type | str | Path | bytes | None"


def schema_from(option: SchemaOption) -> Schema:
    """Return the schema that a source's ``schema=`` means.

    Arguments:
        option: ``None`` asks the server (reflection); a generated ``*_pb2_grpc`` or ``*_pb2``
            module or stub class; a path to a descriptor set, or its bytes; a ready schema.

    Raises:
        SchemaError: it is something else, or it cannot be used.
    """
    if isinstance(option, Schema):
        return option
    if option is None:
        return ReflectionSchema()
    if isinstance(option, (ModuleType, type)):
        return Stubs(option)
    if isinstance(option, (str, Path, bytes)):
        return DescriptorSet(option)
    raise SchemaError(
        f"schema={option!r}: give a generated *_pb2_grpc module, a stub class, a path to a "
        "descriptor set or its bytes, or nothing for server reflection"
    )
