"""The well-known types of protobuf as the Python values they stand for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from operator import attrgetter
from typing import Any

from ..exceptions import ConversionError
from .base import Converter, same

__all__ = [
    "DURATION",
    "TIMESTAMP",
    "epoch_seconds",
    "free_form",
    "in_range",
    "is_wrapper",
    "well_known",
]

TIMESTAMP = "google.protobuf.Timestamp"
DURATION = "google.protobuf.Duration"

#: The years 1 to 9999, by the definition of ``google.protobuf.Timestamp``; datetime's range too.
EARLIEST_SECONDS = -62_135_596_800
LATEST_SECONDS = 253_402_300_799

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_SECOND_NANOS = 1_000_000_000
_parts = attrgetter("seconds", "nanos")


def in_range(seconds: float) -> bool:
    """Return whether a time, in seconds since the epoch, is one of the years 1 to 9999."""
    return EARLIEST_SECONDS <= seconds < LATEST_SECONDS + 1


def epoch_seconds(timestamp: Any) -> float | None:
    """Return a Timestamp as seconds since the epoch; ``None`` when it is out of range."""
    seconds, nanos = _parts(timestamp)
    if EARLIEST_SECONDS <= seconds <= LATEST_SECONDS and 0 <= nanos < _SECOND_NANOS:
        return float(seconds + nanos / _SECOND_NANOS)
    return None


def well_known(full_name: str, label: str) -> Converter | None:
    """Return the converter of a well-known type, or ``None`` for every other type.

    ``Any`` is not among them: it needs the pool.

    Arguments:
        full_name: the message type.
        label: what an error calls the field.
    """
    make = _CONVERTERS.get(full_name)
    return make(label) if make is not None else _FREE_FORM.get(full_name)


def is_wrapper(full_name: str) -> bool:
    """Return whether a message type only gives a scalar presence (``Int64Value``, …)."""
    return full_name in _WRAPPERS


def _timestamp(label: str) -> Converter:
    def convert(timestamp: Any) -> datetime:
        seconds, nanos = _parts(timestamp)
        if EARLIEST_SECONDS <= seconds <= LATEST_SECONDS and 0 <= nanos < _SECOND_NANOS:
            return _EPOCH + timedelta(0, seconds, nanos // 1000)
        raise ConversionError(
            f"{label}: a Timestamp of {seconds} s and {nanos} ns is out of range (years 1 to 9999)"
        )

    return convert


def _duration(label: str) -> Converter:
    def convert(duration: Any) -> timedelta:
        seconds, nanos = _parts(duration)
        try:
            # Both parts have one sign; the last three digits are cut off towards zero.
            return timedelta(0, seconds, int(nanos / 1000))
        except OverflowError:
            raise ConversionError(f"{label}: a Duration of {seconds} s is out of range") from None

    return convert


def free_form(number: Converter) -> dict[str, Converter]:
    """Return the converters of ``Struct``, ``Value`` and ``ListValue``, by full name.

    Arguments:
        number: converts the numbers in them, which are doubles.
    """

    def value_of(value: Any) -> Any:
        kind = value.WhichOneof("kind")
        if kind is None or kind == "null_value":
            return None
        if kind == "struct_value":
            return struct_of(value.struct_value)
        if kind == "list_value":
            return list_of(value.list_value)
        return number(value.number_value) if kind == "number_value" else getattr(value, kind)

    def struct_of(struct: Any) -> dict[str, Any]:
        fields = struct.fields
        return {name: value_of(fields[name]) for name in fields}

    def list_of(values: Any) -> list[Any]:
        return [value_of(value) for value in values.values]

    return {
        "google.protobuf.Struct": struct_of,
        "google.protobuf.Value": value_of,
        "google.protobuf.ListValue": list_of,
    }


def _paths(mask: Any) -> list[str]:
    return list(mask.paths)


_unwrap = attrgetter("value")
_WRAPPERS = {
    f"google.protobuf.{kind}Value"
    for kind in ("Bool", "Bytes", "Double", "Float", "Int32", "Int64", "String", "UInt32", "UInt64")
}

_FREE_FORM = free_form(same)

_CONVERTERS: dict[str, Callable[[str], Converter]] = {
    TIMESTAMP: _timestamp,
    DURATION: _duration,
    "google.protobuf.FieldMask": lambda label: _paths,
    **{name: lambda label: _unwrap for name in _WRAPPERS},
}
