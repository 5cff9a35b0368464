"""A request in protobuf's JSON → the fields that ``request=`` takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from ..exceptions import ConfigurationError, FieldError
from ..fields import is_map
from ..requests import build_request
from ..schema import Method

__all__ = ["fields_from_json", "parsed_json"]

_OPTION = "grpc.request.message"


def parsed_json(text: str) -> dict[str, Any]:
    """Return a request as it was written.

    Raises:
        ConfigurationError: it is not a JSON object.
    """
    try:
        fields = json.loads(text)
    except ValueError as exc:
        raise ConfigurationError(f"{_OPTION}: not JSON: {exc}") from exc
    if not isinstance(fields, dict):
        raise ConfigurationError(
            f"{_OPTION}: give a JSON object, not {type(fields).__name__}: {text[:40]}"
        )
    return fields


def fields_from_json(method: Method, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a request as ``request=`` has them.

    Arguments:
        method: whose request it is.
        given: in protobuf's JSON.

    Raises:
        FieldError: it is no such request, or has something that only a message can hold.
    """
    message = method.request_class()
    try:
        json_format.ParseDict(dict(given), message)
    except json_format.ParseError as exc:
        first = str(exc).partition("\n")[0]
        raise FieldError(f"{_OPTION}: it is no {method.input.full_name}: {first}") from exc
    fields = _fields(message)
    made = build_request(method.request_class, fields, option=_OPTION)
    # By their bytes: a NaN does not equal itself.
    if _bytes(made) != _bytes(message):
        raise FieldError(
            f"{_OPTION}: it holds a time finer than a microsecond: give request= a ready message"
        )
    return fields


def _bytes(message: Message) -> bytes:
    return message.SerializePartialToString(deterministic=True)


def _fields(message: Message) -> dict[str, Any]:
    return {field.name: _value(field, value) for field, value in message.ListFields()}


def _value(field: FieldDescriptor, value: Any) -> Any:
    if is_map(field):
        assert field.message_type is not None
        inner = field.message_type.fields_by_name["value"]
        return {key: _element(inner, value[key]) for key in value}
    if field.is_repeated:
        return [_element(field, item) for item in value]
    return _element(field, value)


def _element(field: FieldDescriptor, value: Any) -> Any:
    if field.message_type is not None:
        return _message(value)
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return value if known is None else known.name
    return value


def _message(value: Any) -> Any:
    name = cast(Descriptor, value.DESCRIPTOR).full_name
    if name in _WELL_KNOWN:
        return _WELL_KNOWN[name](value)
    if name == "google.protobuf.Any":
        raise FieldError(f"{_OPTION}: it holds an Any: give request= a ready message")
    if _WRAPPER.fullmatch(name):
        return value.value
    return _fields(value)


def _timestamp(value: Any) -> datetime:
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def _duration(value: Any) -> timedelta:
    return timedelta(seconds=value.seconds, microseconds=int(value.nanos / 1000))


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WRAPPER = re.compile(r"google\.protobuf\.(Bool|Bytes|Double|Float|U?Int(32|64)|String)Value")
_WELL_KNOWN: Mapping[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": _timestamp,
    "google.protobuf.Duration": _duration,
    "google.protobuf.FieldMask": lambda mask: list(mask.paths),
    "google.protobuf.Struct": json_format.MessageToDict,
    "google.protobuf.ListValue": json_format.MessageToDict,
    "google.protobuf.Value": json_format.MessageToDict,
}
