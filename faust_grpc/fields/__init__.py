"""Field paths: read, write and describe a field of a message by a dotted path.

A path names fields as the .proto file does: ``header.revision``. Behind a repeated field goes an
index, ``events[-1].kv``; behind a map a key, ``labels[region]`` or ``labels.region``.

Presence is honoured everywhere in one way: what is not set reads as ``None``, except a plain
proto3 scalar (it has no presence: its value is read, zero included) and a field whose .proto
declares a default (the default is read).
"""

from __future__ import annotations

from .access import Getter, Setter, getter, setter
from .checks import check_value
from .paths import Kind, element_kind, has_presence, in_oneof, is_map, kind_of, message_at

__all__ = [
    "Getter",
    "Kind",
    "Setter",
    "check_value",
    "element_kind",
    "getter",
    "has_presence",
    "in_oneof",
    "is_map",
    "kind_of",
    "message_at",
    "setter",
]
