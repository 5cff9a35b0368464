"""Records with the fields of a message type."""

from __future__ import annotations

from typing import Any, Dict, List, Optional  # noqa: UP035 - as Faust's users write

import faust
from faust.models.fields import FieldDescriptor

from faust_grpc.fields import element_kind, has_presence, is_map

KINDS: dict[str, Any] = {
    "bool": bool, "bytes": bytes, "enum": Any, "float": float, "int": int, "message": Any,
    "str": str,
}  # fmt: skip


def typed_record(descriptor: Any) -> Any:
    """Return a Record with every field of a message type."""
    annotations: dict[str, Any] = {}
    renamed = {}
    for field in descriptor.fields:
        kind = KINDS[element_kind(field)]
        if is_map(field):
            kind = Dict[KINDS[element_kind(field.message_type.fields_by_name["key"])], Any]  # noqa: UP006
        elif field.is_repeated:
            kind = List[kind]  # noqa: UP006
        elif has_presence(field):
            kind = Optional[kind]  # noqa: UP045
        # Behind a name that nothing else has.
        annotations[f"_{field.name}"] = kind
        renamed[f"_{field.name}"] = FieldDescriptor(input_name=field.name)
    return type("Typed", (faust.Record,), {"__annotations__": annotations, **renamed})
