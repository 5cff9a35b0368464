"""A request as people write it, a dict, → the request message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .exceptions import FieldError, nearest
from .fields import check_value, check_writable, is_map, is_shadowed, write_shadowed

__all__ = ["build_request", "build_value"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def build_request(
    message_class: type[Message],
    fields: Mapping[str, Any] | Message | None,
    *,
    option: str = "request",
) -> Message:
    """Return a request message.

    Arguments:
        message_class: the request type.
        fields: field values by name, or a ready message of the type, or ``None`` for an empty
            one. An enum is its name or number, a Timestamp an aware datetime, a Duration a
            timedelta, a Struct a dict, a FieldMask a list of paths, a wrapper its value, an
            ``Any`` a message to pack. ``None`` leaves a field unset.
        option: what errors call it.

    Returns:
        A message of its own: the one given is copied.

    Raises:
        FieldError: there is no such field, or a value does not fit; the text says where.
    """
    message = message_class()
    if isinstance(fields, Message):
        _copy(message, fields, option)
    elif isinstance(fields, Mapping):
        _fill(message, fields, option)
    elif fields is not None:
        raise FieldError(
            f"{option}={fields!r}: give a dict of fields or a {message.DESCRIPTOR.full_name}"
        )
    return message


def build_value(message_class: type[Message], value: Any, *, option: str) -> Message:
    """Return a message from the Python value that it stands for: of a Timestamp, a datetime.

    Arguments:
        message_class: the type.
        value: as for a field of this type in :func:`build_request`.
        option: what errors call it.

    Raises:
        FieldError: the value does not fit.
    """
    message = message_class()
    _set_message(message, value, option)
    return message


def _copy(message: Message, given: Message, where: str) -> None:
    wanted, found = message.DESCRIPTOR.full_name, given.DESCRIPTOR.full_name
    if wanted != found:
        raise FieldError(f"{where}: it is a {wanted}, and the message given is a {found}")
    # By its bytes: the same type may come out of another pool.
    message.MergeFromString(given.SerializePartialToString())


def _fill(message: Message, values: Mapping[str, Any], where: str) -> None:
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    chosen: dict[str, str] = {}
    for name, value in values.items():
        field = descriptor.fields_by_name.get(name)
        if field is None:
            clause = nearest(str(name), descriptor.fields_by_name)
            raise FieldError(f"{where}.{name}: {descriptor.full_name} has no such field: {clause}")
        if value is None:
            continue
        oneof = field.containing_oneof
        if oneof is not None and chosen.setdefault(oneof.name, name) != name:
            raise FieldError(
                f"{where}: {chosen[oneof.name]!r} and {name!r} exclude each other (oneof "
                f"{oneof.name!r} of {descriptor.full_name}): give one"
            )
        _set(message, field, value, f"{where}.{name}")


def _set(message: Message, field: FieldDescriptor, value: Any, where: str) -> None:
    check_writable(field, where)
    if is_map(field):
        _set_map(getattr(message, field.name), field, value, where)
    elif field.is_repeated:
        _extend(getattr(message, field.name), field, value, where)
    elif field.message_type is not None:
        target = getattr(message, field.name)
        # An empty message is set too.
        target.SetInParent()
        _set_message(target, value, where)
    else:
        checked = check_value(field, value, where)
        with _named(where, value):
            if is_shadowed(field):
                write_shadowed(message, field, checked)
            else:
                setattr(message, field.name, checked)


def _extend(container: Any, field: FieldDescriptor, values: Any, where: str) -> None:
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)):
        raise FieldError(f"{where}={values!r}: the field is repeated: give a list")
    for index, value in enumerate(values):
        at = f"{where}[{index}]"
        if field.message_type is not None:
            _set_message(container.add(), value, at)
        else:
            checked = check_value(field, value, at)
            with _named(at, value):
                container.append(checked)


def _set_map(container: Any, field: FieldDescriptor, values: Any, where: str) -> None:
    if not isinstance(values, Mapping):
        raise FieldError(f"{where}={values!r}: the field is a map: give a dict")
    assert field.message_type is not None
    entry = field.message_type.fields_by_name
    for key, value in values.items():
        at = f"{where}[{key}]"
        checked_key = check_value(entry["key"], key, f"the key of {at}")
        if entry["value"].message_type is not None:
            _set_message(container[checked_key], value, at)
        else:
            checked = check_value(entry["value"], value, at)
            with _named(at, value):
                container[checked_key] = checked


@contextmanager
def _named(where: str, value: Any) -> Iterator[None]:
    """Name the field when a value of the right type is out of its range."""
    try:
        yield
    except (TypeError, ValueError) as exc:
        raise FieldError(f"{where}={value!r}: {exc}") from exc


def _set_message(message: Any, value: Any, where: str) -> None:
    name = message.DESCRIPTOR.full_name
    if isinstance(value, Message):
        if name == "google.protobuf.Any" and value.DESCRIPTOR.full_name != name:
            message.Pack(value)
        else:
            _copy(message, value, where)
    elif name in _WELL_KNOWN:
        _WELL_KNOWN[name](message, value, where)
    elif name in _WRAPPERS:
        _set(message, message.DESCRIPTOR.fields_by_name["value"], value, where)
    elif isinstance(value, Mapping):
        _fill(message, value, where)
    else:
        _refuse(where, value, f"it is a {name}: give a dict of its fields, or a message")


def _set_timestamp(message: Any, value: Any, where: str) -> None:
    if not isinstance(value, datetime) or value.tzinfo is None:
        _refuse(where, value, "it is a Timestamp: give a datetime with a time zone")
    message.seconds, micros = divmod((value - _EPOCH) // _MICROSECOND, 1_000_000)
    message.nanos = micros * 1000


def _set_duration(message: Any, value: Any, where: str) -> None:
    if not isinstance(value, timedelta):
        _refuse(where, value, "it is a Duration: give a timedelta")
    micros = value // _MICROSECOND
    # Both parts have one sign.
    sign = -1 if micros < 0 else 1
    seconds, rest = divmod(abs(micros), 1_000_000)
    message.seconds, message.nanos = sign * seconds, sign * rest * 1000


def _set_mask(message: Any, value: Any, where: str) -> None:
    _extend(message.paths, message.DESCRIPTOR.fields_by_name["paths"], value, where)


def _set_struct(message: Any, value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        _refuse(where, value, "it is a Struct: give a dict")
    for key, inner in value.items():
        if not isinstance(key, str):
            _refuse(where, key, "the keys of a Struct are text")
        _set_value(message.fields[key], inner, f"{where}.{key}")


def _set_list(message: Any, value: Any, where: str) -> None:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        _refuse(where, value, "it is a ListValue: give a list")
    for index, inner in enumerate(value):
        _set_value(message.values.add(), inner, f"{where}[{index}]")


def _set_value(message: Any, value: Any, where: str) -> None:
    if value is None:
        message.null_value = 0
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, (int, float)):
        message.number_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        _set_struct(message.struct_value, value, where)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        message.list_value.SetInParent()
        _set_list(message.list_value, value, where)
    else:
        _refuse(where, value, "a Value holds None, bool, number, text, list or dict")


def _refuse(where: str, value: Any, reason: str) -> NoReturn:
    raise FieldError(f"{where}={value!r}: {reason}")


_WELL_KNOWN: dict[str, Callable[[Any, Any, str], None]] = {
    "google.protobuf.Timestamp": _set_timestamp,
    "google.protobuf.Duration": _set_duration,
    "google.protobuf.FieldMask": _set_mask,
    "google.protobuf.Struct": _set_struct,
    "google.protobuf.ListValue": _set_list,
    "google.protobuf.Value": _set_value,
}
_WRAPPERS = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
)
