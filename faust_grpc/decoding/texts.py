"""Text that protobuf does not check: of proto2, and of editions with ``utf8_validation = NONE``.

upb gives the bytes when they are not UTF-8, and text when they are. A value has one type only.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from ..exceptions import ConversionError
from ..message_classes import message_class
from .base import Converter, same

__all__ = ["text_converter"]


def text_converter(field: FieldDescriptor) -> Converter:
    """Return the converter of a text field: one that refuses bytes, where they may come."""
    if _is_checked(field):
        return same
    label = field.full_name

    def convert(text: Any) -> Any:
        if type(text) is str:
            return text
        raise ConversionError(f"{label!r} is not UTF-8")

    return convert


def _is_checked(field: FieldDescriptor) -> bool:
    # By trying: the runtimes do not tell.
    message_type = field.containing_type
    assert message_type is not None  # every field has one
    tag, head = field.number << 3 | 2, bytearray()
    while tag > 0x7F:
        head.append(tag & 0x7F | 0x80)
        tag >>= 7
    try:
        message_class(message_type).FromString(bytes([*head, tag, 1, 0xFF]))
    except Exception:  # whatever a runtime calls it
        return True
    return False
