"""Whether a value fits a field: protobuf itself converts some types silently."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from ..exceptions import FieldError, nearest
from ..message_classes import message_class
from .paths import element_kind, named

__all__ = ["check_value"]


def check_value(field: FieldDescriptor, value: Any, path: str = "") -> Any:
    """Return a value fit for a field (one element of it, if repeated).

    Arguments:
        field: the field.
        value: what is to be set; an enum may be given by name, every other type must match.
        path: what an error calls the field.

    Raises:
        FieldError: the value is not of the field's type.
    """
    kind, path = element_kind(field), path or field.name
    if field.message_type is not None:
        return _check_message(field.message_type, value, path)
    if field.enum_type is not None:
        return _check_enum(field.enum_type, value, path)
    # bool is an int in Python, and not in protobuf.
    fits = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, (int, float)) and not isinstance(value, bool),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
        "bytes": isinstance(value, bytes),
    }
    if not fits[kind]:
        raise FieldError(f"{path} is {named(kind)}, and {value!r} is {named(type(value).__name__)}")
    return value


def _check_message(message_type: Descriptor, value: Any, path: str) -> Message:
    if isinstance(value, Message) and value.DESCRIPTOR.full_name == message_type.full_name:
        if value.DESCRIPTOR is message_type:
            return value
        # The same type out of another pool (a generated class, say): the bytes are what is equal.
        return message_class(message_type).FromString(value.SerializePartialToString())
    found = value.DESCRIPTOR.full_name if isinstance(value, Message) else type(value).__name__
    raise FieldError(f"{path} is a {message_type.full_name}, and the value is {named(found)}")


def _check_enum(enum_type: EnumDescriptor, value: Any, path: str) -> int:
    if isinstance(value, str):
        member = enum_type.values_by_name.get(value)
        if member is None:
            clause = nearest(value, enum_type.values_by_name)
            raise FieldError(f"{path}={value!r}: {enum_type.full_name} has no such value: {clause}")
        return int(member.number)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise FieldError(
        f"{path} is a {enum_type.full_name}, and {value!r} is neither a name nor a number of it"
    )
