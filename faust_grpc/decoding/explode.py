"""Messages of which some have many events, and some none: ``explode=`` and ``skip=``."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor

from ..exceptions import ConfigurationError, FieldError
from ..fields import getter, in_oneof, kind_of, message_at
from ..types import Record
from .base import Converter, called

__all__ = ["Records", "SkipOption", "exploded", "many", "new_record", "skip_from", "skipping"]

SkipOption: TypeAlias = "str | Callable[[Any], bool] | None"
Records: TypeAlias = Callable[[Any], "tuple[Record, ...]"]

#: Cheaper than the class itself, whose ``__new__`` is a Python function.
new_record: Callable[[type[Record], tuple[Any, Any, Any]], Record] = tuple.__new__


def exploded(top: Descriptor, path: str) -> Descriptor:
    try:
        kind, element = kind_of(top, path), message_at(top, path)
    except FieldError as exc:
        raise FieldError(f"explode={path!r}: {exc}") from exc
    if kind != "repeated" or element is None:
        raise ConfigurationError(
            f"explode={path!r}: it is {kind} in {top.full_name}: only repeated messages explode"
        )
    return element


def many(
    elements: Converter,
    key: Converter,
    key_on_top: bool,
    value: Converter,
    timestamp: Converter,
    timestamp_on_top: bool,
) -> Records:
    def records(message: Any) -> tuple[Record, ...]:
        found = elements(message)
        if not found:
            return ()
        keys = repeat(key(message)) if key_on_top else map(key, found)
        times = repeat(timestamp(message)) if timestamp_on_top else map(timestamp, found)
        # repeat() never ends: the values say how many there are.
        parts = zip(keys, map(value, found), times, strict=False)
        return tuple([new_record(Record, part) for part in parts])

    return records


def skip_from(skip: SkipOption, top: Descriptor) -> Converter:
    if not isinstance(skip, str):
        return called("skip", skip)
    path = skip.removeprefix("/")
    try:
        get, kind = getter(top, path), kind_of(top, path)
    except FieldError as exc:
        raise FieldError(f"skip={skip!r}: {exc}") from exc
    if kind == "message" or _is_member(top, path):
        return lambda message: get(message) is not None
    return get


def _is_member(top: Descriptor, path: str) -> bool:
    parent, _, name = path.rpartition(".")
    owner = message_at(top, parent) if parent else top
    field = owner.fields_by_name.get(name) if owner is not None else None
    return field is not None and in_oneof(field)


def skipping(skip: Converter, records: Records) -> Records:
    return lambda message: () if skip(message) else records(message)
