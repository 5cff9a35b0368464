"""``headers=``: fields of a message as the headers of its events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor

from ..exceptions import ConfigurationError, ConversionError, FieldError
from ..fields import getter, kind_of, message_at
from .base import Converter, called
from .plain import EnumNames

__all__ = ["Headers", "HeadersOption", "headers_from"]

HeadersOption: TypeAlias = "Mapping[str, str | Callable[[Any], Any]] | None"

#: A function from a message and one element of it (the message again, if nothing is exploded).
Headers: TypeAlias = "Callable[[Any, Any], dict[str, bytes]] | None"


def headers_from(headers: HeadersOption, top: Descriptor, element: Descriptor) -> Headers:
    """Compile ``headers=``.

    Values are bytes, as Kafka's are: text in UTF-8, numbers as text, an enum its name, a bool
    ``true`` or ``false``. What is not set is no header.

    Arguments:
        headers: a path or a callable by name.
        top: the response type.
        element: the type that paths start from; ``top`` unless the source explodes.

    Raises:
        ConfigurationError: it is something else, or a path leads to no scalar.
    """
    if headers is None:
        return None
    if not isinstance(headers, Mapping) or not all(isinstance(name, str) for name in headers):
        raise ConfigurationError(f"headers={headers!r}: give a dict of name → path or callable")
    compiled = [(name, *_header(name, how, top, element)) for name, how in headers.items()]

    def read(message: Any, part: Any) -> dict[str, bytes]:
        found = {}
        for name, get, on_top in compiled:
            value = get(message if on_top else part)
            if value is not None:
                found[name] = _bytes(name, value)
        return found

    return read


def _header(name: str, how: Any, top: Descriptor, element: Descriptor) -> tuple[Converter, bool]:
    if not isinstance(how, str):
        return called(f"headers[{name!r}]", how), False
    on_top = how.startswith("/")
    start, path = (top, how[1:]) if on_top else (element, how)
    try:
        get, kind = getter(start, path), kind_of(start, path)
    except FieldError as exc:
        raise FieldError(f"headers[{name!r}]={how!r}: {exc}") from exc
    if kind in ("map", "message", "repeated"):
        raise ConfigurationError(
            f"headers[{name!r}]={how!r}: it is a {kind} field of {start.full_name}: name a scalar "
            "in it, or give a callable"
        )
    return (_named(get, start, path) if kind == "enum" else get), on_top


def _named(get: Converter, start: Descriptor, path: str) -> Converter:
    parent, _, name = path.rpartition(".")
    owner = message_at(start, parent) if parent else start
    field = owner.fields_by_name.get(name) if owner is not None else None
    if field is None or field.enum_type is None:
        return get  # an element of a repeated field or map: its number
    names = EnumNames(field.enum_type)

    def read(message: Any) -> Any:
        number = get(message)
        return None if number is None else names[number]

    return read


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, (str, int, float)):
        return str(value).encode()
    raise ConversionError(f"headers[{name!r}]: {value!r} is neither text, a number nor bytes")
