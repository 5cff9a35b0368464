"""A request as one line for the log, without what may be a secret."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

__all__ = ["redacted"]

#: Names of fields whose values are not shown.
_SECRET = re.compile(
    r"secret|token|passw|credential|(api|private|access|auth)_?key|authori|bearer|cookie|signature",
    re.IGNORECASE,
)
_LONGEST_VALUE = 40
_MOST_FIELDS = 12


def redacted(message: Message) -> str:
    """Return the fields of a message that are set.

    Not shown are the values of fields that are marked ``[debug_redact = true]`` or named like a
    secret, and the rest of long ones.
    """
    # Through the class: upb takes a field of that name for the method.
    fields = type(message).ListFields(message)
    shown = [f"{field.name}={_value(field, value)}" for field, value in fields[:_MOST_FIELDS]]
    if len(fields) > _MOST_FIELDS:
        shown.append("…")
    return "{" + ", ".join(shown) + "}"


def _value(field: FieldDescriptor, value: Any) -> str:
    if field.GetOptions().debug_redact or _SECRET.search(field.name):
        return "<not shown>"
    if isinstance(value, Message):
        return redacted(value)
    if not isinstance(value, (str, bytes, int, float)):
        return f"<{len(value)} of them>"
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
