"""Paths compiled into functions that read and write."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor

from ..exceptions import FieldError
from .checks import check_value
from .paths import Step, has_presence, resolve
from .shadowed import check_writable, is_shadowed, shadowed_reader, write_shadowed

__all__ = ["Getter", "Setter", "getter", "setter"]

Getter: TypeAlias = Callable[[Any], Any]
Setter: TypeAlias = Callable[[Any, Any], None]


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
    steps = resolve(descriptor, path)
    read: Getter | None = None
    if len(steps) > 1 and all(step.into == "field" for step in steps[-2:]):
        parent, leaf = steps[-2].field, steps[-1].field
        if not (has_presence(leaf) or is_shadowed(parent) or is_shadowed(leaf)):
            # A plain leaf is read together with the message it is in: one call less.
            read = _present(parent.name, attrgetter(f"{parent.name}.{leaf.name}"))
            steps = steps[:-2]
    for step in reversed(steps):
        read = _reader(step, read)
    assert read is not None
    return read


def _reader(step: Step, then: Getter | None) -> Getter:
    if step.into == "index":
        return _indexed(step.at, then)
    if step.into == "key":
        return _keyed(step.at, then)
    name = step.field.name
    value = shadowed_reader(step.field) if is_shadowed(step.field) else attrgetter(name)
    read = value if then is None else _chained(value, then)
    return _present(name, read) if has_presence(step.field) else read


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
    steps = resolve(descriptor, path)
    for step in steps:
        if step.into == "index" or (step is steps[-1] and not step.is_single):
            raise FieldError(
                f"{descriptor.full_name}.{path}: {step.field.name!r} is repeated and cannot be set "
                "by a path"
            )
        check_writable(step.field, f"{descriptor.full_name}.{path}")
    *parents, last = steps
    walk = _walker(parents)
    field, name, key = last.value_field, last.field.name, last.at
    if field.message_type is not None:
        enter = _walker([last])

        def copy(message: Any, value: Any) -> None:
            checked = check_value(field, value, path)
            target = enter(walk(message))
            # An empty message is set too.
            target.SetInParent()
            target.CopyFrom(checked)

        return copy

    shadowed = is_shadowed(last.field)

    def write(message: Any, value: Any) -> None:
        checked = check_value(field, value, path)
        try:
            if last.into == "key":
                walk(message)[key] = checked
            elif shadowed:
                write_shadowed(walk(message), field, checked)
            else:
                setattr(walk(message), name, checked)
        except (TypeError, ValueError) as exc:
            raise FieldError(f"{path}={value!r}: {exc}") from exc

    return write


def _walker(parents: list[Step]) -> Getter:
    def walk(message: Any) -> Any:
        for step in parents:
            message = message[step.at] if step.into == "key" else getattr(message, step.field.name)
        return message

    return walk
