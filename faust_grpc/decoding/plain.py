"""Messages → plain dicts, by closures compiled once per message type.

The rules: every declared field is a key, in the order of the .proto file and by its name there.
Integers stay ``int`` (64-bit ones too), bytes stay ``bytes``. An enum is its name (the first, of
aliases), or the number when this schema has no name for it. What is not set is ``None``: messages,
optional fields, members of a oneof. A field whose .proto declares a default reads as that
default. Maps are dicts whose keys keep their type. Timestamp, Duration, Struct and the wrappers
are the Python values they stand for (a datetime has no nanoseconds: the last three digits are cut
off); a Timestamp out of range is a ConversionError. NaN and infinities stay floats. An extension
that is set and that the schema knows is a key by its full name in brackets. Unknown fields are
left out.

``Any`` is ``{"@type": url}`` with the fields of the message in it beside; with ``"value"`` when
that is a well-known type; with ``"@value"`` and the bytes when the type is not known here, or the
bytes are not of it. An empty one is ``{}``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message

from ..exceptions import ConversionError
from ..fields import has_presence, is_map, is_shadowed, shadowed_reader
from ..message_classes import message_class
from .base import Converter, same
from .texts import text_converter
from .wellknown import well_known

__all__ = ["Assembly", "EnumNames", "PlainConverters", "list_of", "map_of", "unpacker"]

ANY = "google.protobuf.Any"


class EnumNames(dict[int, Any]):
    """Number → name of an enum; a number without a name stands for itself."""

    def __init__(self, enum_type: EnumDescriptor) -> None:
        super().__init__()
        for value in enum_type.values:
            # Of aliases the first one, always.
            self.setdefault(value.number, value.name)

    def __missing__(self, number: int) -> int:
        return number


class Assembly:
    """The fields that make up a value, sorted by what it takes to read them.

    Recursive types refer to an assembly that is not complete yet, so :meth:`converter` reads the
    lists when it runs, not when it is made.
    """

    def __init__(self) -> None:
        #: What every value starts from: its keys in order, with what unset fields read as.
        self.blank: dict[str, Any] = {}
        self._plain: list[tuple[str, str]] = []
        self._converted: list[tuple[str, str, Converter]] = []
        self._present: list[tuple[str, str, Converter]] = []
        self._required: dict[str, str] = {}
        #: What this runtime does not read by its name.
        self._around: list[tuple[str, str | None, Converter]] = []

    def add(self, target: str, field: FieldDescriptor, convert: Converter) -> None:
        """Read a field into a key of the value."""
        if is_shadowed(field):
            read = shadowed_reader(field)
            present = field.name if has_presence(field) else None
            self._around.append((target, present, lambda message: convert(read(message))))
        elif has_presence(field):
            self._present.append((target, field.name, convert))
        elif convert is same:
            self._plain.append((target, field.name))
        else:
            self._converted.append((target, field.name, convert))

    def require(self, target: str, reason: str) -> None:
        """Refuse messages in which a field is not set.

        Arguments:
            target: the key of the value.
            reason: the error's text.
        """
        self._required[target] = reason

    def converter(self) -> Converter:
        """Return the function from a message to a dict of its fields."""
        blank, plain, around = self.blank, self._plain, self._around
        converted, present, required = self._converted, self._present, self._required

        def convert(message: Any) -> dict[str, Any]:
            values = blank.copy()
            for target, name in plain:
                values[target] = getattr(message, name)
            for target, name, read in converted:
                values[target] = read(getattr(message, name))
            for target, name, read in present:
                if message.HasField(name):
                    values[target] = read(getattr(message, name))
                elif target in required:
                    raise ConversionError(required[target])
            for target, presence, read in around:
                if presence is None or message.HasField(presence):
                    values[target] = read(message)
                elif target in required:
                    raise ConversionError(required[target])
            return values

        return convert


class PlainConverters:
    """Compiles message types into converters, each once."""

    def __init__(self) -> None:
        self._messages: dict[str, Converter] = {}

    def message(self, descriptor: Descriptor, label: str = "") -> Converter:
        """Return the converter of a message type.

        Arguments:
            descriptor: the type.
            label: what an error calls the field that holds it.
        """
        name = descriptor.full_name
        if name == ANY:
            return self._any(descriptor)
        converter = well_known(name, label or name) or self._messages.get(name)
        if converter is None:
            assembly = Assembly()
            converter = assembly.converter()
            if descriptor.is_extendable:
                converter = self._extended(converter)
            # Known before its fields are compiled: they may hold the same type again.
            self._messages[name] = converter
            for field in descriptor.fields:
                assembly.blank[field.name] = None
                assembly.add(field.name, field, self.field(field))
        return converter

    def _extended(self, convert: Converter) -> Converter:
        known: dict[int, tuple[str, Converter]] = {}

        def extended(message: Any) -> dict[str, Any]:
            values: dict[str, Any] = convert(message)
            for field, value in message.ListFields():
                if not field.is_extension:
                    continue
                number = field.number
                if number not in known:
                    known[number] = f"[{field.full_name}]", self.field(field)
                target, read = known[number]
                values[target] = read(value)
            return values

        return extended

    def field(self, field: FieldDescriptor) -> Converter:
        """Return the converter of a field's value, the whole of it when repeated or a map."""
        if is_map(field):
            assert field.message_type is not None
            return map_of(self.element(field.message_type.fields_by_name["value"]))
        return list_of(self.element(field)) if field.is_repeated else self.element(field)

    def element(self, field: FieldDescriptor) -> Converter:
        """Return the converter of one value of a field."""
        if field.message_type is not None:
            return self.message(field.message_type, field.full_name)
        if field.enum_type is not None:
            return EnumNames(field.enum_type).__getitem__
        return text_converter(field) if field.type == FieldDescriptor.TYPE_STRING else same

    def _any(self, descriptor: Descriptor) -> Converter:
        unpacked = unpacker(descriptor.file.pool)

        def convert(any_message: Any) -> dict[str, Any]:
            url, raw = any_message.type_url, any_message.value
            inner = unpacked(url, raw)
            if inner is None:
                return {"@type": url, "@value": raw} if url or raw else {}
            inner_type = inner.DESCRIPTOR
            value = self.message(inner_type)(inner)
            if inner_type.full_name == ANY or well_known(inner_type.full_name, url) is not None:
                return {"@type": url, "value": value}
            return {"@type": url, **value}

        return convert


def unpacker(pool: DescriptorPool) -> Callable[[str, bytes], Any]:
    """Return what unpacks an ``Any``: its type's URL and bytes to the message, or ``None``.

    A type of which only the sender knows, or bytes that are not of it, are no reason to lose the
    rest of the message.
    """
    classes: dict[str, type[Message]] = {}

    def unpacked(url: str, raw: bytes) -> Any:
        _, slash, full_name = url.rpartition("/")
        if not slash:
            return None
        try:
            if full_name not in classes:
                classes[full_name] = message_class(pool.FindMessageTypeByName(full_name))
            return classes[full_name].FromString(raw)
        except (DecodeError, KeyError, ValueError):
            return None

    return unpacked


def list_of(convert: Converter) -> Converter:
    """Return the converter of a repeated field."""
    if convert is same:
        return list
    return lambda values: [convert(value) for value in values]


def map_of(convert: Converter) -> Converter:
    """Return the converter of a map field."""
    # By key: three times faster than items() of the container.
    if convert is same:
        return lambda values: {key: values[key] for key in values}
    return lambda values: {key: convert(values[key]) for key in values}
