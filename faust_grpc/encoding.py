"""Values back into messages: what decoding makes of a message, and models with the same fields."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeAlias, cast
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from .decoding.models import is_model, is_pydantic, model_of
from .exceptions import ConversionError
from .fields import element_kind, is_map
from .message_classes import message_class
from .requests import build_request, build_value

__all__ = ["Encoder", "encoder", "serialized"]

#: A value in, a message out.
Encoder: TypeAlias = Callable[[Any], Message]

#: Where Faust says in a Record's JSON which class it is of.
_BLESSED = "__faust"
_ANY = "google.protobuf.Any"


def encoder(message_class: type[Message]) -> Encoder:
    """Return the function from a value to a message.

    It takes a message of the type (of any pool), a dict as decoding makes it, or an object of a
    class that ``value_type`` takes: a ``faust.Record``, dataclass, named tuple, msgspec struct or
    pydantic model. Fields that the value lacks stay unset. It raises FieldError when a field or
    its value does not fit, and ConversionError for another kind of value.

    Arguments:
        message_class: the message type.
    """
    descriptor = cast(Descriptor, message_class.DESCRIPTOR)
    name = descriptor.full_name

    def encode(value: Any) -> Message:
        if isinstance(value, message_class):
            return value
        if isinstance(value, Message):
            return build_request(message_class, value, option=name)
        fields = _fields(value, descriptor)
        if fields is None and (raw := serialized(value)) is not None:
            return message_class.FromString(raw)
        if fields is None:
            raise ConversionError(
                f"{name}: cannot be made of a {type(value).__name__}: give a message, a dict, or "
                "an object with its fields"
            )
        return build_request(message_class, fields, option=name)

    return encode


def serialized(value: Any) -> bytes | None:
    """Return the bytes of an object of another protobuf library; ``None`` for any other object."""
    if callable(serialize := getattr(type(value), "serialize", None)):  # proto-plus
        return cast(bytes, serialize(value))
    if callable(serialize := getattr(value, "SerializeToString", None)):  # betterproto
        return cast(bytes, serialize())
    return None


def _fields(value: Any, descriptor: Descriptor) -> dict[str, Any] | None:
    """Return the fields of a dict or model as :func:`build_request` takes them."""
    items = _items(value)
    if items is None:
        return None
    known = descriptor.fields_by_name
    fields = {}
    for name, item in items:
        # A name that Python keeps for itself is written with an underscore.
        field = known.get(name) or known.get(name.rstrip("_"))
        if field is not None:
            fields[field.name] = None if item is None else _value(item, field)
        elif name != _BLESSED:
            fields[name] = item
    return fields


def _items(value: Any) -> Iterable[tuple[str, Any]] | None:
    if isinstance(value, Mapping):
        return value.items()
    names = _names(cast(Hashable, type(value)))
    if names is None:
        return None
    return [(source, getattr(value, name)) for name, source in names]


@lru_cache(maxsize=512)
def _names(cls: Any) -> list[tuple[str, str]] | None:
    """Return (attribute, field of the message) of a model class, or ``None`` for other classes."""
    if is_pydantic(cls):
        known: Mapping[str, Any] = cast(Any, cls).model_fields
        return [(name, info.alias or name) for name, info in known.items()]
    if is_model(cls):
        return [(field.name, field.source) for field in model_of(cls).fields]
    return None


def _value(value: Any, field: FieldDescriptor) -> Any:
    if is_map(field) and isinstance(value, Mapping):
        assert field.message_type is not None
        element = field.message_type.fields_by_name["value"]
        return {key: _element(item, element) for key, item in value.items()}
    if field.is_repeated and not isinstance(value, (str, bytes, Mapping)):
        return [_element(item, field) for item in value]
    return _element(value, field)


def _element(value: Any, field: FieldDescriptor) -> Any:
    if field.enum_type is not None:
        return _enum(value, field)
    if field.message_type is None:
        convert = _CONVERSIONS.get((element_kind(field), type(value)))
        return value if convert is None else convert(value)
    name = field.message_type.full_name
    if name == _ANY:
        return _any(value, field.message_type)
    if name.startswith("google.protobuf."):
        convert = _CONVERSIONS.get((name, type(value)))
        return value if convert is None else convert(value)
    if isinstance(value, Message):
        return value
    fields = _fields(value, field.message_type)
    return value if fields is None else fields


def _enum(value: Any, field: FieldDescriptor) -> Any:
    assert field.enum_type is not None
    if isinstance(value, enum.Enum):
        return value.name if value.name in field.enum_type.values_by_name else value.value
    if isinstance(value, str) and value.lstrip("-").isdecimal():
        return int(value)  # a number without a name, where the annotation wants text
    return value


def _any(value: Any, descriptor: Descriptor) -> Any:
    if not isinstance(value, Mapping) or "@type" not in value:
        return value
    url = value["@type"]
    if "@value" in value:
        return {"type_url": url, "value": value["@value"]}
    full_name = str(url).rpartition("/")[2]
    try:
        inner = descriptor.file.pool.FindMessageTypeByName(full_name)
    except KeyError:
        raise ConversionError(f"Any: the schema has no message {full_name!r}") from None
    inner_class = message_class(inner)
    if full_name == _ANY:
        packed = build_value(inner_class, _any(value.get("value"), inner), option=full_name)
    elif full_name.startswith("google.protobuf."):
        packed = build_value(inner_class, value.get("value", {}), option=full_name)
    else:
        packed = encoder(inner_class)({n: item for n, item in value.items() if n != "@type"})
    return {"type_url": url, "value": packed.SerializePartialToString()}


def _seconds(value: float) -> datetime:
    return datetime.fromtimestamp(value, timezone.utc)


#: The other way round from ``decoding.scalars``.
_CONVERSIONS: dict[tuple[str, type], Callable[[Any], Any]] = {
    ("float", Decimal): float,
    ("int", Decimal): int,
    ("int", float): lambda value: int(value) if value == int(value) else value,
    ("str", Decimal): str,
    ("str", UUID): str,
    ("str", datetime): datetime.isoformat,
    ("bytes", UUID): lambda value: value.bytes,
    ("bool", int): bool,
    ("google.protobuf.Timestamp", float): _seconds,
    ("google.protobuf.Timestamp", int): _seconds,
    ("google.protobuf.Duration", float): lambda value: timedelta(seconds=value),
    ("google.protobuf.Duration", int): lambda value: timedelta(seconds=value),
}
