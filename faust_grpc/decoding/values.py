"""``value_type=`` → the converter of a message: by the kind of class that it is."""

from __future__ import annotations

from typing import Any, is_typeddict

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ..exceptions import ConfigurationError
from .base import Converter, called, same
from .models import is_model, is_pydantic
from .plain import PlainConverters
from .protojson import JsonConverters, ProtoJson
from .typed import TypedConverters

__all__ = ["value_from"]


def value_from(value_type: Any, descriptor: Descriptor) -> Converter:
    """Compile ``value_type=``.

    Arguments:
        value_type: see :func:`faust_grpc.decoding.build_decoder`.
        descriptor: the type of the messages that become values.

    Raises:
        ConfigurationError: it is no such thing, or its fields do not fit the message type.
    """
    if value_type is None:
        return same
    if value_type is dict or is_typeddict(value_type):
        return PlainConverters().message(descriptor)
    if value_type is ProtoJson:
        return JsonConverters().message(descriptor)
    if isinstance(value_type, type):
        if issubclass(value_type, Message):
            return _other_class(value_type, descriptor)
        # Before dataclasses: classes of other protobuf libraries are dataclasses too.
        if (from_bytes := _parser(value_type)) is not None:
            return called(
                "value_type", lambda message: from_bytes(message.SerializePartialToString())
            )
        if is_model(value_type) or is_pydantic(value_type):
            return TypedConverters().model(value_type, descriptor)
    if not callable(value_type):
        raise ConfigurationError(
            f"value_type={value_type!r}: give None, dict, ProtoJson, a faust.Record, a dataclass, "
            "a msgspec or pydantic model, or a callable of the message"
        )
    return called("value_type", value_type)


def _parser(value_type: Any) -> Any:
    """Return what makes an object of a class from bytes: betterproto's name for it, proto-plus'."""
    candidates = (getattr(value_type, name, None) for name in ("FromString", "deserialize"))
    return next((candidate for candidate in candidates if callable(candidate)), None)


def _other_class(value_type: type[Message], descriptor: Descriptor) -> Converter:
    """A generated class, where the schema came from elsewhere: other pool, same type."""
    other = value_type.DESCRIPTOR
    if other.full_name != descriptor.full_name:
        raise ConfigurationError(
            f"value_type={value_type.__name__}: it is a {other.full_name}, and the messages are "
            f"{descriptor.full_name}"
        )
    if other is descriptor:
        return same
    return lambda message: value_type.FromString(message.SerializePartialToString())
