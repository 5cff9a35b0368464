"""``--request``: JSON as people type it → the request message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ..exceptions import ConfigurationError, FieldError, nearest

__all__ = ["request_from_json"]


def request_from_json(message_class: type[Message], text: str | None) -> Message:
    """Return a request message.

    Arguments:
        message_class: the request type.
        text: protobuf's JSON of it (names as in the .proto file or in lowerCamelCase, times as
            ISO 8601, bytes as base64), or ``@FILE`` with that in it; ``None`` is an empty request.

    Raises:
        ConfigurationError: no such file, or it is not JSON.
        FieldError: there is no such field, or a value does not fit.
    """
    message = message_class()
    if text is None:
        return message
    fields = _parsed(text)
    descriptor = cast(Descriptor, message.DESCRIPTOR)
    known = {name for field in descriptor.fields for name in (field.name, field.json_name)}
    for name in fields:
        if name not in known and not name.startswith("["):
            clause = nearest(name, descriptor.fields_by_name)
            raise FieldError(f"--request: {descriptor.full_name} has no field {name!r}: {clause}")
    try:
        return json_format.ParseDict(fields, message)
    except json_format.ParseError as error:
        first = str(error).partition("\n")[0]
        raise FieldError(f"--request: {first}") from error


def _parsed(text: str) -> dict[str, Any]:
    where = "--request"
    if text.startswith("@"):
        where, path = f"--request {text}", Path(text[1:])
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise ConfigurationError(f"{where}: {reason.lower()}") from error
    try:
        fields = json.loads(text)
    except ValueError as error:
        example = """'{"field": "value"}'"""
        raise ConfigurationError(f"{where}: not JSON: {error}; write {example}") from error
    if not isinstance(fields, dict):
        raise ConfigurationError(f"{where}: give a JSON object, not {type(fields).__name__}")
    return fields
