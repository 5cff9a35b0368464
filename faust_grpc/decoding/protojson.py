"""Messages → protobuf's canonical JSON mapping, by closures compiled once per message type.

As ``google.protobuf.json_format`` has it: names in lowerCamelCase (``json_name``), 64-bit integers
and bytes as text, what is unset or zero left out, Timestamp and Duration as text. The result holds
only what JSON has. Where that mapping gives up on a whole message this one goes on: an ``Any`` of
a type that is not known here keeps its bytes (base64) as ``"@value"``, and a NaN or infinity in a
``Value`` is the text that it is in a double.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..exceptions import ConversionError
from ..fields import is_map
from .base import Converter, same
from .plain import ANY, EnumNames, list_of, unpacker
from .texts import text_converter
from .wellknown import free_form, is_wrapper

__all__ = ["JsonConverters", "ProtoJson"]


class ProtoJson(dict[str, Any]):
    """Give this as ``value_type``: values are dicts in protobuf's canonical JSON mapping."""


class JsonConverters:
    """Compiles message types into converters, each once."""

    def __init__(self) -> None:
        self._messages: dict[str, Converter] = {}

    def message(self, descriptor: Descriptor) -> Converter:
        """Return the converter of a message type."""
        name = descriptor.full_name
        if name == ANY:
            return self._any(descriptor)
        if is_wrapper(name):
            inner = self.element(descriptor.fields_by_name["value"])
            return lambda wrapper: inner(wrapper.value)
        if name in _WELL_KNOWN:
            return _WELL_KNOWN[name]
        if name not in self._messages:
            compiled: dict[int, tuple[str, Converter]] = {}
            # Known before its fields are compiled: they may hold the same type again.
            self._messages[name] = self._fields(compiled)
            for field in descriptor.fields:
                compiled[field.number] = field.json_name, self.field(field)
        return self._messages[name]

    def _fields(self, compiled: dict[int, tuple[str, Converter]]) -> Converter:
        def convert(message: Any) -> dict[str, Any]:
            values = {}
            for field, value in message.ListFields():
                number = field.number
                if number not in compiled:
                    # An extension: only a message that has one tells of it.
                    compiled[number] = f"[{field.full_name}]", self.field(field)
                name, read = compiled[number]
                values[name] = read(value)
            return values

        return convert

    def field(self, field: FieldDescriptor) -> Converter:
        """Return the converter of a field's value, the whole of it when repeated or a map."""
        if is_map(field):
            assert field.message_type is not None
            entry = field.message_type.fields_by_name
            key, value = _key(entry["key"]), self.element(entry["value"])
            return lambda values: {key(at): value(values[at]) for at in values}
        return list_of(self.element(field)) if field.is_repeated else self.element(field)

    def element(self, field: FieldDescriptor) -> Converter:
        """Return the converter of one value of a field."""
        if field.message_type is not None:
            return self.message(field.message_type)
        if field.enum_type is not None:
            if field.enum_type.full_name == "google.protobuf.NullValue":
                return lambda number: None
            return EnumNames(field.enum_type).__getitem__
        if field.type == FieldDescriptor.TYPE_STRING:
            return text_converter(field)
        return _SCALARS.get(field.type, same)

    def _any(self, descriptor: Descriptor) -> Converter:
        unpacked = unpacker(descriptor.file.pool)

        def convert(any_message: Any) -> dict[str, Any]:
            url, raw = any_message.type_url, any_message.value
            inner = unpacked(url, raw)
            if inner is None:
                return {"@type": url, "@value": _base64(raw)} if url or raw else {}
            inner_type = inner.DESCRIPTOR
            name, value = inner_type.full_name, self.message(inner_type)(inner)
            if name == ANY or name in _WELL_KNOWN or is_wrapper(name):
                return {"@type": url, "value": value}
            return {"@type": url, **value}

        return convert


def _key(field: FieldDescriptor) -> Converter:
    if field.type == FieldDescriptor.TYPE_BOOL:
        return lambda key: "true" if key else "false"
    return same if field.type == FieldDescriptor.TYPE_STRING else str


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


_single = struct.Struct("<f")


def _float(value: float) -> float | str:
    """A 32-bit float by its shortest text: 0.1, where Python holds 0.10000000149011612."""
    if not math.isfinite(value):
        return _double(value)
    for digits in (6, 7, 8):
        shorter = float(f"{value:.{digits}g}")
        if _as_single(shorter) == value:
            return shorter
    return value


def _as_single(value: float) -> float:
    try:
        single: float = _single.unpack(_single.pack(value))[0]
    except OverflowError:  # rounded up, out of 32 bits
        return math.inf
    return single


_SCALARS: dict[int, Converter] = {
    FieldDescriptor.TYPE_BYTES: _base64,
    FieldDescriptor.TYPE_DOUBLE: _double,
    FieldDescriptor.TYPE_FLOAT: _float,
    **dict.fromkeys(
        (
            FieldDescriptor.TYPE_FIXED64,
            FieldDescriptor.TYPE_INT64,
            FieldDescriptor.TYPE_SFIXED64,
            FieldDescriptor.TYPE_SINT64,
            FieldDescriptor.TYPE_UINT64,
        ),
        str,
    ),
}


def _as_text(message: Any) -> str:
    try:
        text: str = message.ToJsonString()
    except ValueError as exc:
        name, reason = message.DESCRIPTOR.full_name, " ".join(str(exc).split())
        raise ConversionError(f"{name}: {reason}") from exc
    return text


_WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": _as_text,
    "google.protobuf.Duration": _as_text,
    "google.protobuf.FieldMask": _as_text,
    **free_form(_double),
}
