"""Values as JSON text: what a topic's records hold unless their author chose another codec.

Numbers stay numbers, 64-bit ones too. What JSON has no form for is text, as in protobuf's own JSON
mapping: bytes in base64, NaN and infinities as ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``,
Timestamps in RFC 3339, Durations as ``"1.5s"``, the keys of maps.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import orjson

from .exceptions import ConversionError

__all__ = ["json_text"]

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z


def json_text(value: Any) -> bytes:
    """Return a value as JSON.

    Arguments:
        value: as decoding makes it: plain Python, a dataclass, a named tuple, a pydantic model or
            a msgspec struct.

    Raises:
        ConversionError: it holds something else.
    """
    try:
        text = orjson.dumps(value, _other, _OPTIONS)
        # orjson writes null for what is not finite. To look for it in every value would cost as
        # much again; without a null there is none.
        if b"null" in text and _has_infinite(value):
            text = orjson.dumps(_finite(value), _other, _OPTIONS)
    except (TypeError, RecursionError) as exc:
        raise ConversionError(f"value: cannot be JSON: {exc}") from exc
    return text


def _other(value: Any) -> Any:
    """Return what stands for a value that orjson does not know."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    fields = _fields(value)
    if fields is None:
        raise TypeError(f"a {type(value).__name__}")
    return fields


def _fields(value: Any) -> Mapping[str, Any] | None:
    """Return the fields of a model that is no dataclass: orjson knows those."""
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(by_alias=True)  # type: ignore[no-any-return]
    if hasattr(value, "_asdict"):  # a named tuple
        return value._asdict()  # type: ignore[no-any-return]
    if hasattr(value, "__struct_fields__"):  # msgspec
        return {name: getattr(value, name) for name in value.__struct_fields__}
    return None


def _duration(value: timedelta) -> str:
    micros = value // timedelta(microseconds=1)
    sign, (seconds, rest) = "-" if micros < 0 else "", divmod(abs(micros), 1_000_000)
    fraction = f".{rest:06d}".rstrip("0") if rest else ""
    return f"{sign}{seconds}{fraction}s"


def _has_infinite(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return not math.isfinite(value)
    if kind is dict:
        return any(map(_has_infinite, value.values()))
    if kind is list:
        return any(map(_has_infinite, value))
    # Of a model only its own fields are looked into; orjson reads a dataclass by itself.
    return kind not in _PLAIN and _has_infinite(_members(value))


def _finite(value: Any) -> Any:
    kind = type(value)
    if kind is float and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if kind is dict:
        return {key: _finite(item) for key, item in value.items()}
    if kind is list:
        return [_finite(item) for item in value]
    members = None if kind in _PLAIN else _members(value)
    return value if members is None else _finite(members)


_PLAIN = {int, str, bytes, bool, type(None), float}


def _members(value: Any) -> dict[str, Any] | list[Any] | None:
    """Return the fields or items of a value that is neither a dict nor a list."""
    names = getattr(value, "__dataclass_fields__", None)
    if names is not None:
        return {name: getattr(value, name) for name in names}
    if isinstance(value, (set, frozenset)) or type(value) is tuple:
        return list(value)
    if isinstance(value, dict):
        return dict(value)
    fields = _fields(value)
    return None if fields is None else dict(fields)
