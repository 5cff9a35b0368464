"""Field paths: read, write and describe a field of a message by a dotted path.

A path names fields as the .proto file does: ``header.revision``. Behind a repeated field goes an
index, ``events[-1].kv``; behind a map a key, ``labels[region]`` or ``labels.region``.

Presence is honoured everywhere in one way: what is not set reads as ``None``, except a plain
proto3 scalar (it has no presence: its value is read, zero included) and a field whose .proto
declares a default (the default is read).

``#32767`` is a field that the schema does not know, by its number; see :mod:`.unknown`.
"""

from __future__ import annotations

from .access import Getter, Setter, getter, setter
from .checks import check_value
from .paths import Kind, element_kind, has_presence, in_oneof, is_map, kind_of, message_at
from .shadowed import check_writable, is_shadowed, shadowed_reader, write_shadowed
from .unknown import is_unknown_path, unknown_getter

__all__ = [
    "Getter",
    "Kind",
    "Setter",
    "check_value",
    "check_writable",
    "element_kind",
    "getter",
    "has_presence",
    "in_oneof",
    "is_map",
    "is_shadowed",
    "is_unknown_path",
    "kind_of",
    "message_at",
    "setter",
    "shadowed_reader",
    "unknown_getter",
    "write_shadowed",
]
