"""Field paths: read, write and describe a field of a message by a dotted path.

A path names fields as the .proto file does: ``header.revision``. Behind a repeated field goes an
index, ``events[-1].kv``; behind a map a key, ``labels[region]`` or ``labels.region``.

Presence is honoured everywhere in one way: what is not set reads as ``None``, except a plain
proto3 scalar (it has no presence: its value is read, zero included) and a field whose .proto
declares a default (the default is read).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, NoReturn, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from .exceptions import FieldError, nearest

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

Getter: TypeAlias = Callable[[Any], Any]
Setter: TypeAlias = Callable[[Any, Any], None]
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
class _Step:
    """One token of a path, resolved: the field itself, or an index or key into it."""

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


def getter(descriptor: Descriptor, path: str) -> Getter:
    """Compile a path into a function from a message to the value there.

    Arguments:
        descriptor: the type of the messages.
        path: a dotted path; it may end on a message or a container too.

    Returns:
        A function that returns the value, or ``None`` when anything on the way is not set: an
        unset message or optional field, an index out of range, a key that is not in the map.

    Raises:
        FieldError: the type has no such field.
    """
    steps = _resolve(descriptor, path)
    read: Getter | None = None
    if len(steps) > 1 and all(step.into == "field" for step in steps[-2:]):
        parent, leaf = steps[-2].field, steps[-1].field
        if not has_presence(leaf):
            # A plain leaf is read together with the message it is in: one call less.
            read = _present(parent.name, attrgetter(f"{parent.name}.{leaf.name}"))
            steps = steps[:-2]
    for step in reversed(steps):
        read = _reader(step, read)
    assert read is not None
    return read


def _reader(step: _Step, then: Getter | None) -> Getter:
    if step.into == "index":
        return _indexed(step.at, then)
    if step.into == "key":
        return _keyed(step.at, then)
    name = step.field.name
    if has_presence(step.field):
        value = attrgetter(name)
        return _present(name, value if then is None else _chained(value, then))
    return attrgetter(name) if then is None else _chained(attrgetter(name), then)


def _chained(first: Getter, then: Getter) -> Getter:
    def get(message: Any) -> Any:
        return then(first(message))

    return get


def _present(name: str, read: Getter) -> Getter:
    def get(message: Any) -> Any:
        return read(message) if message.HasField(name) else None

    return get


def _indexed(index: int, then: Getter | None) -> Getter:
    def get(container: Any) -> Any:
        try:
            value = container[index]
        except IndexError:
            return None
        return value if then is None else then(value)

    return get


def _keyed(key: Any, then: Getter | None) -> Getter:
    def get(container: Any) -> Any:
        if key not in container:
            return None
        return container[key] if then is None else then(container[key])

    return get


def kind_of(descriptor: Descriptor, path: str) -> Kind:
    """Return what kind of value a path leads to.

    Raises:
        FieldError: the type has no such field.
    """
    last = _resolve(descriptor, path)[-1]
    if not last.is_single:
        return "map" if is_map(last.field) else "repeated"
    return element_kind(last.value_field)


def message_at(descriptor: Descriptor, path: str) -> Descriptor | None:
    """Return the type of the message (of each, if repeated) that a path leads to, if it does.

    Raises:
        FieldError: the type has no such field.
    """
    message_type: Descriptor | None = _resolve(descriptor, path)[-1].value_field.message_type
    return message_type


def setter(descriptor: Descriptor, path: str) -> Setter:
    """Compile a path into a function that sets the field there.

    Parents are created, and a member of a oneof becomes the one that is set. A sub-message is
    copied. Nothing is converted, but an enum may be given by name.

    Arguments:
        descriptor: the type of the messages.
        path: a dotted path through messages and map keys, not through repeated fields.

    Returns:
        A function of the message and the value. It raises FieldError when the value is not of the
        field's type.

    Raises:
        FieldError: the type has no such field, or the path leads through or to a repeated one.
    """
    steps = _resolve(descriptor, path)
    for step in steps:
        if step.into == "index" or (step is steps[-1] and not step.is_single):
            raise FieldError(
                f"{descriptor.full_name}.{path}: {step.field.name!r} is repeated and cannot be set "
                "by a path"
            )
    *parents, last = steps
    walk = _walker(parents)
    field, name, key = last.value_field, last.field.name, last.at
    if field.message_type is not None:
        enter = _walker([last])
        return lambda message, value: enter(walk(message)).CopyFrom(check_value(field, value, path))

    def write(message: Any, value: Any) -> None:
        checked = check_value(field, value, path)
        try:
            if last.into == "key":
                walk(message)[key] = checked
            else:
                setattr(walk(message), name, checked)
        except (TypeError, ValueError) as exc:
            raise FieldError(f"{path}={value!r}: {exc}") from exc

    return write


def _walker(parents: list[_Step]) -> Getter:
    def walk(message: Any) -> Any:
        for step in parents:
            message = message[step.at] if step.into == "key" else getattr(message, step.field.name)
        return message

    return walk


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
        raise FieldError(
            f"{path} is {_named(kind)}, and {value!r} is {_named(type(value).__name__)}"
        )
    return value


def _check_message(message_type: Descriptor, value: Any, path: str) -> Message:
    if isinstance(value, Message) and value.DESCRIPTOR.full_name == message_type.full_name:
        if value.DESCRIPTOR is message_type:
            return value
        # The same type out of another pool (a generated class, say): the bytes are what is equal.
        return GetMessageClass(message_type).FromString(value.SerializePartialToString())
    found = value.DESCRIPTOR.full_name if isinstance(value, Message) else type(value).__name__
    raise FieldError(f"{path} is a {message_type.full_name}, and the value is {_named(found)}")


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


def _named(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def element_kind(field: FieldDescriptor) -> Kind:
    """Return what kind of value a field holds: each one of them, when repeated."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "bytes"
    return _KINDS[field.cpp_type]


def _resolve(descriptor: Descriptor, path: str) -> list[_Step]:
    steps: list[_Step] = []
    message_type: Descriptor | None = descriptor
    for name, bracket in _tokens(descriptor, path):
        last = steps[-1] if steps else None
        if last is not None and not last.is_single:
            steps.append(_into(descriptor, path, last.field, name or bracket))
        elif message_type is None or name is None:
            at = last.field.name if last is not None else ""
            what = _named(element_kind(last.value_field)) if last is not None else "nothing"
            _refuse(descriptor, path, f"{at!r} is {what}: nothing can follow it")
        else:
            steps.append(_Step(_field(message_type, path, name)))
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


def _into(descriptor: Descriptor, path: str, field: FieldDescriptor, text: str) -> _Step:
    if not is_map(field):
        if re.fullmatch(r"-?\d+", text):
            return _Step(field, "index", int(text))
        fix = f"write {field.name}[0] or {field.name}[-1]"
        _refuse(descriptor, path, f"{field.name!r} is repeated: {fix}")
    kind = element_kind(_entry(field, "key"))
    if kind == "int" and re.fullmatch(r"-?\d+", text):
        return _Step(field, "key", int(text))
    if kind == "bool" and text in ("true", "false"):
        return _Step(field, "key", text == "true")
    if kind == "str":
        return _Step(field, "key", text)
    return _refuse(descriptor, path, f"the keys of {field.name!r} are {kind}, not {text!r}")


def _entry(field: FieldDescriptor, name: str) -> FieldDescriptor:
    assert field.message_type is not None  # a map's entry
    return field.message_type.fields_by_name[name]


def _refuse(descriptor: Descriptor, path: str, reason: str) -> NoReturn:
    raise FieldError(f"{descriptor.full_name}.{path}: {reason}")
