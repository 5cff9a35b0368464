"""A path's text → the steps it takes through a message type; what a field is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..exceptions import FieldError, nearest

__all__ = [
    "Kind",
    "Step",
    "element_kind",
    "has_presence",
    "in_oneof",
    "is_map",
    "kind_of",
    "message_at",
    "named",
    "resolve",
]

Kind = Literal["bool", "bytes", "enum", "float", "int", "map", "message", "repeated", "str"]

_TOKEN = re.compile(r"(?P<dot>\.?)(?:(?P<name>[^.\[\]]+)|\[(?P<bracket>[^\]]*)\])")

_KINDS: dict[int, Kind] = {
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_UINT32: "int",
    FieldDescriptor.CPPTYPE_UINT64: "int",
    FieldDescriptor.CPPTYPE_DOUBLE: "float",
    FieldDescriptor.CPPTYPE_FLOAT: "float",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_ENUM: "enum",
    FieldDescriptor.CPPTYPE_STRING: "str",
    FieldDescriptor.CPPTYPE_MESSAGE: "message",
}


@dataclass(frozen=True)
class Step:
    """One token of a path, resolved: the field itself, or an index or key into it.

    Arguments:
        field: the field.
        into: what is taken: the field's whole value, or one element of it.
        at: the index, or the key in the map's key type.
    """

    field: FieldDescriptor
    into: Literal["field", "index", "key"] = "field"
    at: Any = None

    @property
    def value_field(self) -> FieldDescriptor:
        """What describes the value found here: of a map, its value field."""
        if self.into == "key":
            return _entry(self.field, "value")
        return self.field

    @property
    def is_single(self) -> bool:
        """One value is found here, not a container of them."""
        return self.into != "field" or not self.field.is_repeated


def is_map(field: FieldDescriptor) -> bool:
    """Return whether a field is a map (on the wire, a repeated entry message)."""
    message_type = field.message_type
    return message_type is not None and bool(message_type.GetOptions().map_entry)


def in_oneof(field: FieldDescriptor) -> bool:
    """Return whether a field is a member of a oneof that somebody wrote.

    ``optional`` in proto3 is a oneof of one, which protoc names after the field.
    """
    oneof = field.containing_oneof
    return oneof is not None and not (
        len(oneof.fields) == 1 and oneof.name.endswith(f"_{field.name}")
    )


def has_presence(field: FieldDescriptor) -> bool:
    """Return whether an unset field reads as ``None``."""
    return bool(field.has_presence) and (
        field.message_type is not None or not field.has_default_value
    )


def element_kind(field: FieldDescriptor) -> Kind:
    """Return what kind of value a field holds: each one of them, when repeated."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes"
    return _KINDS[field.cpp_type]


def kind_of(descriptor: Descriptor, path: str) -> Kind:
    """Return what kind of value a path leads to.

    Raises:
        FieldError: the type has no such field.
    """
    last = resolve(descriptor, path)[-1]
    if not last.is_single:
        return "map" if is_map(last.field) else "repeated"
    return element_kind(last.value_field)


def message_at(descriptor: Descriptor, path: str) -> Descriptor | None:
    """Return the type of the message (of each, if repeated) that a path leads to, if it does.

    Raises:
        FieldError: the type has no such field.
    """
    message_type: Descriptor | None = resolve(descriptor, path)[-1].value_field.message_type
    return message_type


def resolve(descriptor: Descriptor, path: str) -> list[Step]:
    """Return the steps of a path.

    Raises:
        FieldError: the type has no such field, or the text is no path.
    """
    steps: list[Step] = []
    message_type: Descriptor | None = descriptor
    for name, bracket in _tokens(descriptor, path):
        last = steps[-1] if steps else None
        if last is not None and not last.is_single:
            steps.append(_into(descriptor, path, last.field, name or bracket))
        elif message_type is None or name is None:
            at = last.field.name if last is not None else ""
            what = named(element_kind(last.value_field)) if last is not None else "nothing"
            _refuse(descriptor, path, f"{at!r} is {what}: nothing can follow it")
        else:
            steps.append(Step(_field(message_type, path, name)))
        message_type = steps[-1].value_field.message_type
    return steps


def _tokens(descriptor: Descriptor, path: str) -> list[tuple[str | None, str]]:
    tokens: list[tuple[str | None, str]] = []
    position = 0
    while position < len(path):
        match = _TOKEN.match(path, position)
        # A dot stands between names: not first, and not before a bracket.
        if match is None or bool(match["dot"]) != bool(match["name"] and tokens):
            _refuse(descriptor, path, f"cannot be read from {path[position:]!r} on")
        tokens.append((match["name"], match["bracket"] or ""))
        position = match.end()
    if not tokens:
        raise FieldError(f"an empty path names no field of {descriptor.full_name}")
    return tokens


def _field(message_type: Descriptor, path: str, name: str) -> FieldDescriptor:
    field = message_type.fields_by_name.get(name)
    if field is None:
        where = "" if path == name else f" (in {path!r})"
        clause = nearest(name, message_type.fields_by_name)
        raise FieldError(f"{message_type.full_name} has no field {name!r}{where}: {clause}")
    return field


def _into(descriptor: Descriptor, path: str, field: FieldDescriptor, text: str) -> Step:
    if not is_map(field):
        if re.fullmatch(r"-?\d+", text):
            return Step(field, "index", int(text))
        fix = f"write {field.name}[0] or {field.name}[-1]"
        _refuse(descriptor, path, f"{field.name!r} is repeated: {fix}")
    kind = element_kind(_entry(field, "key"))
    if kind == "int" and re.fullmatch(r"-?\d+", text):
        return Step(field, "key", int(text))
    if kind == "bool" and text in ("true", "false"):
        return Step(field, "key", text == "true")
    if kind == "str":
        return Step(field, "key", text)
    return _refuse(descriptor, path, f"the keys of {field.name!r} are {kind}, not {text!r}")


def _entry(field: FieldDescriptor, name: str) -> FieldDescriptor:
    assert field.message_type is not None  # a map's entry
    return field.message_type.fields_by_name[name]


def _refuse(descriptor: Descriptor, path: str, reason: str) -> NoReturn:
    raise FieldError(f"{descriptor.full_name}.{path}: {reason}")


def named(noun: str) -> str:
    """Return a noun with its article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
