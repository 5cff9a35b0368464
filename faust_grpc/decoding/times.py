"""The event time of a message: seconds since the epoch, or ``None``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor

from ..exceptions import ConfigurationError, ConversionError, FieldError
from ..fields import Getter, getter, kind_of, message_at
from .base import Converter, called
from .wellknown import TIMESTAMP, epoch_seconds, in_range

__all__ = ["TimestampOption", "timestamp_from"]

TimestampOption: TypeAlias = "str | tuple[str, str] | Callable[[Any], Any] | None"

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def timestamp_from(
    timestamp: TimestampOption, top: Descriptor, element: Descriptor
) -> tuple[Converter, bool]:
    """Compile ``timestamp=``.

    Arguments:
        timestamp: the option.
        top: the response type.
        element: the type that paths start from; ``top`` unless the source explodes.

    Returns:
        The function from a message to its time, and whether it wants the message around the
        element.

    Raises:
        ConfigurationError: the option does not fit.
    """
    if timestamp is None:
        return (lambda message: None), False
    if callable(timestamp):
        return _from_callable(timestamp), False
    path, unit = (timestamp, "s") if isinstance(timestamp, str) else _pair(timestamp)
    on_top = path.startswith("/")
    start, path = (top, path[1:]) if on_top else (element, path)
    try:
        get, kind, message_type = getter(start, path), kind_of(start, path), message_at(start, path)
    except FieldError as exc:
        raise FieldError(f"timestamp={timestamp!r}: {exc}") from exc
    if kind == "message" and message_type is not None and message_type.full_name == TIMESTAMP:
        return _from_timestamp(get), on_top
    if kind in ("int", "float"):
        return _from_number(get, _PER_SECOND[unit]), on_top
    raise ConfigurationError(
        f"timestamp={timestamp!r}: it is {kind} in {start.full_name}: name a Timestamp or a "
        "number, or give a callable"
    )


def _pair(timestamp: Any) -> tuple[str, str]:
    if isinstance(timestamp, tuple) and len(timestamp) == 2:
        path, unit = timestamp
        if isinstance(path, str) and unit in _PER_SECOND:
            return path, unit
    raise ConfigurationError(
        f"timestamp={timestamp!r}: give a path, a callable, or a pair of path and unit "
        "('s', 'ms', 'us', 'ns')"
    )


def _from_timestamp(get: Getter) -> Converter:
    def convert(message: Any) -> float | None:
        timestamp = get(message)
        return None if timestamp is None else epoch_seconds(timestamp)

    return convert


def _from_number(get: Getter, per_second: int) -> Converter:
    def convert(message: Any) -> float | None:
        number = get(message)
        # Zero in a field without presence is what every sender that has no time leaves there.
        # NaN compares as out of range.
        if not number or not in_range(number / per_second):
            return None
        return float(number / per_second)

    return convert


def _from_callable(function: Callable[[Any], Any]) -> Converter:
    call = called("timestamp", function)

    def convert(message: Any) -> float | None:
        found = call(message)
        if isinstance(found, datetime):
            found = found.timestamp()
        if found is None:
            return None
        if not isinstance(found, (int, float)):
            raise ConversionError(
                f"timestamp: the callable returned {found!r}, neither seconds, a datetime nor None"
            )
        return float(found) if in_range(found) else None

    return convert
