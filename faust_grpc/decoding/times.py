"""The event time of a message: seconds since the epoch, or ``None``."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor

from ..exceptions import ConfigurationError, ConversionError, FieldError
from ..fields import Getter, getter, kind_of, message_at
from .base import Converter, Tally, called
from .wellknown import TIMESTAMP, epoch_seconds, in_range

__all__ = ["TimestampOption", "timestamp_from"]

TimestampOption: TypeAlias = "str | tuple[str, str] | Callable[[Any], Any] | None"

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}

#: ISO 8601 as RFC 3339 profiles it; Python 3.10 reads neither the Z nor nine digits by itself.
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d+))?)?([Zz]|[+-]\d\d:?\d\d)?"
)


def no_time(message: Any) -> None:
    """The event time of a source that declares none."""


def timestamp_from(
    timestamp: TimestampOption, top: Descriptor, element: Descriptor, bad: Tally
) -> tuple[Converter, bool]:
    """Compile ``timestamp=``.

    Arguments:
        timestamp: the option.
        top: the response type.
        element: the type that paths start from; ``top`` unless the source explodes.
        bad: counts times that are there and cannot be used.

    Returns:
        The function from a message to its time, and whether it wants the message around the
        element.

    Raises:
        ConfigurationError: the option does not fit.
    """
    if timestamp is None:
        return no_time, False
    if callable(timestamp):
        return _from_callable(timestamp, bad), False
    path, unit = (timestamp, "") if isinstance(timestamp, str) else _pair(timestamp)
    on_top = path.startswith("/")
    start, path = (top, path[1:]) if on_top else (element, path)
    try:
        get, kind, message_type = getter(start, path), kind_of(start, path), message_at(start, path)
    except FieldError as exc:
        raise FieldError(f"timestamp={timestamp!r}: {exc}") from exc
    if kind in ("int", "float"):
        return _from_number(get, _PER_SECOND[unit or "s"], bad), on_top
    if kind == "str" and not unit:
        return _from_text(get, bad), on_top
    is_timestamp = message_type is not None and message_type.full_name == TIMESTAMP
    if kind == "message" and is_timestamp and not unit:
        return _from_timestamp(get, bad), on_top
    if unit and (is_timestamp or kind == "str"):
        raise ConfigurationError(f"timestamp={timestamp!r}: only a number has a unit")
    raise ConfigurationError(
        f"timestamp={timestamp!r}: it is {kind} in {start.full_name}: name a Timestamp, a number "
        "or ISO 8601 text, or give a callable"
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


def _from_timestamp(get: Getter, bad: Tally) -> Converter:
    def convert(message: Any) -> float | None:
        timestamp = get(message)
        if timestamp is None:
            return None
        seconds = epoch_seconds(timestamp)
        if seconds is None:
            bad.count += 1
        return seconds

    return convert


def _from_number(get: Getter, per_second: int, bad: Tally) -> Converter:
    def convert(message: Any) -> float | None:
        number = get(message)
        # Zero in a field without presence is what every sender that has no time leaves there.
        return _checked(number / per_second, bad) if number else None

    return convert


def _from_text(get: Getter, bad: Tally) -> Converter:
    def convert(message: Any) -> float | None:
        text = get(message)
        if not text:
            return None
        try:
            return _iso_seconds(text)
        except ValueError:
            bad.count += 1
            return None

    return convert


def _iso_seconds(text: str) -> float:
    """Return a time written as text, in UTC unless it says otherwise; raises ValueError."""
    match = _ISO.fullmatch(text.strip())
    if match is None:
        raise ValueError(text)
    day, time, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    # 3.10 wants the colon.
    zone = zone if ":" in zone else f"{zone[:3]}:{zone[3:]}"
    whole = datetime.fromisoformat(f"{day}T{time or '00:00'}{zone}")
    return whole.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)


def _from_callable(function: Callable[[Any], Any], bad: Tally) -> Converter:
    call = called("timestamp", function)

    def convert(message: Any) -> float | None:
        found = call(message)
        if isinstance(found, datetime):
            # Without a zone: UTC, as everywhere here, and not what this machine's zone happens
            # to be.
            found = (found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp()
        if found is None:
            return None
        if not isinstance(found, (int, float)):
            raise ConversionError(
                f"timestamp: the callable returned {found!r}, neither seconds, a datetime nor None"
            )
        return _checked(found, bad)

    return convert


def _checked(seconds: float, bad: Tally) -> float | None:
    # NaN compares as out of range.
    if in_range(seconds):
        return float(seconds)
    bad.count += 1
    return None
