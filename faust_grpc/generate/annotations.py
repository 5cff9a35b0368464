"""A field → its annotation and its default, as Python text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..fields import element_kind, has_presence, is_map

__all__ = ["annotation", "default", "literal"]

#: What decoding makes of the well-known types.
_VALUES = {
    "Any": "dict[str, Any]",
    "BoolValue": "bool",
    "BytesValue": "bytes",
    "DoubleValue": "float",
    "Duration": "timedelta",
    "Empty": "dict[str, Any]",
    "FieldMask": "list[str]",
    "FloatValue": "float",
    "Int32Value": "int",
    "Int64Value": "int",
    "ListValue": "list[Any]",
    "StringValue": "str",
    "Struct": "dict[str, Any]",
    "Timestamp": "datetime",
    "UInt32Value": "int",
    "UInt64Value": "int",
    "Value": "Any",
}


def annotation(field: FieldDescriptor, classes: Mapping[str, str]) -> str:
    """Return the type of a field.

    Lists and maps are read-only by type: the default of one is shared by all records.

    Arguments:
        field: the field.
        classes: class names by message type.
    """
    if is_map(field):
        entry: Any = field.message_type
        key = element_kind(entry.fields_by_name["key"])
        return f"Mapping[{key}, {_element(entry.fields_by_name['value'], classes)}]"
    element = _element(field, classes)
    if field.is_repeated:
        return f"Sequence[{element}]"
    return f"{element} | None" if has_presence(field) and element != "Any" else element


def _element(field: FieldDescriptor, classes: Mapping[str, str]) -> str:
    described: Descriptor | None = field.message_type
    if described is None:
        # An enum is its name: a value that a newer server adds is no reason to lose a message.
        kind = element_kind(field)
        return "str" if kind == "enum" else kind
    name = described.full_name.removeprefix("google.protobuf.")
    if name != described.full_name:
        return _VALUES.get(name, "dict[str, Any]")
    return classes[described.full_name]


def default(field: FieldDescriptor) -> str:
    """Return what a field is when it is not set."""
    if is_map(field):
        return "{}"
    if field.is_repeated:
        return "[]"
    if has_presence(field):
        return "None"
    if field.enum_type is not None:
        number = field.default_value
        value = field.enum_type.values_by_number.get(number)
        return literal(str(number) if value is None else _first_name(field, value.number))
    return literal(field.default_value)


def _first_name(field: FieldDescriptor, number: int) -> str:
    assert field.enum_type is not None
    # Of aliases the first one, as decoding does.
    return next(value.name for value in field.enum_type.values if value.number == number)


def literal(value: Any) -> str:
    """Return a value as Python text, quoted as formatters quote."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    text = repr(value)
    if isinstance(value, (str, bytes)) and '"' not in text:
        start = text.index("'")
        return f'{text[:start]}"{text[start + 1 : -1]}"'
    return text
