"""Messages of which some have many events, and some none: ``explode=`` and ``skip=``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.descriptor import Descriptor

from ..exceptions import ConfigurationError, FieldError, nearest
from ..fields import getter, in_oneof, kind_of, message_at
from ..types import Record
from .base import Converter, called
from .headers import Headers

__all__ = [
    "Entry",
    "ExplodeOption",
    "Records",
    "SkipOption",
    "elements_at",
    "joined",
    "many",
    "new_record",
    "option_at",
    "paths_of",
    "skip_from",
    "skipping",
]

ExplodeOption: TypeAlias = "str | Sequence[str] | None"
SkipOption: TypeAlias = "str | Callable[[Any], bool] | Sequence[str | Callable[[Any], bool]] | None"
Records: TypeAlias = Callable[[Any], "tuple[Record, ...]"]

#: Cheaper than the class itself, whose ``__new__`` is a Python function.
new_record: Callable[[type[Record], tuple[Any, Any, Any, Any]], Record] = tuple.__new__


class Entry(NamedTuple):
    """One element of an exploded map: a pair, and to field paths a message of two fields."""

    key: Any
    value: Any

    def HasField(self, name: str) -> bool:  # as messages call it
        """Both are there."""
        return True


def paths_of(explode: ExplodeOption) -> tuple[str, ...]:
    """Return the paths of ``explode=``; none when the option is not given.

    Raises:
        ConfigurationError: it is no path and no sequence of paths.
    """
    if explode is None:
        return ()
    paths = (explode,) if isinstance(explode, str) else explode
    if not isinstance(paths, Sequence) or not all(isinstance(path, str) for path in paths):
        raise ConfigurationError(f"explode={explode!r}: give a field path, or a list of them")
    if not paths:
        raise ConfigurationError(f"explode={explode!r}: is empty; leave it out")
    return tuple(paths)


def option_at(name: str, option: Any, path: str, paths: Sequence[str]) -> Any:
    """Return what an option says about the elements of one path.

    Arguments:
        name: the option's name.
        option: one for all elements, or a mapping by path.
        path: the path.
        paths: all of them.

    Raises:
        ConfigurationError: the mapping has a path that is not exploded.
    """
    if not isinstance(option, Mapping):
        return option
    for other in option:
        if other not in paths:
            clause = nearest(str(other), paths)
            raise ConfigurationError(f"{name}: explode= has no path {other!r}: {clause}")
    return option.get(path)


def elements_at(top: Descriptor, path: str) -> tuple[Descriptor, Converter]:
    """Compile one path of ``explode=``.

    ``batches[].messages`` are the messages of all batches. The elements of a map are
    :class:`Entry` objects, in the order of their keys.

    Arguments:
        top: the response type.
        path: the path.

    Returns:
        The type of the elements (of a map: its entry type), and a function from a message to all
        of them, in order.

    Raises:
        ConfigurationError: it does not lead to repeated messages or a map.
    """
    element, read = top, None
    for segment in path.removeprefix("/").removesuffix("[]").split("[]."):
        element, take = _step(element, segment, path)
        read = take if read is None else _flattened(read, take)
    assert read is not None
    return element, read


def _step(start: Descriptor, segment: str, path: str) -> tuple[Descriptor, Converter]:
    try:
        kind, element = kind_of(start, segment), message_at(start, segment)
        take = getter(start, segment)
    except FieldError as exc:
        hint = " (all of them: write [] behind it)" if "is repeated" in str(exc) else ""
        raise FieldError(f"explode={path!r}: {exc}{hint}") from exc
    if element is None or kind not in ("map", "repeated"):
        raise ConfigurationError(
            f"explode={path!r}: it is {kind} in {start.full_name}: only repeated messages and maps "
            "explode"
        )
    return element, _entries(take) if kind == "map" else take


def _entries(take: Converter) -> Converter:
    def entries(message: Any) -> list[Entry]:
        values = take(message)
        # A map has no order of its own, and a message that is read again should bring the same.
        return [Entry(key, values[key]) for key in sorted(values or ())]

    return entries


def _flattened(outer: Converter, take: Converter) -> Converter:
    def flattened(message: Any) -> list[Any]:
        return [inner for element in outer(message) or () for inner in take(element) or ()]

    return flattened


def many(
    elements: Converter,
    key: Converter,
    key_on_top: bool,
    value: Converter,
    timestamp: Converter,
    timestamp_on_top: bool,
    headers: Headers,
) -> Records:
    """Return the function from a message to one record per element.

    Arguments:
        elements: a function from a message to its elements.
        key: a function from an element to its key.
        key_on_top: ``key`` wants the message around the elements.
        value: a function from an element to its value.
        timestamp: a function from an element to its time.
        timestamp_on_top: ``timestamp`` wants the message around the elements.
        headers: a function from a message and an element to its headers.
    """

    def records(message: Any) -> tuple[Record, ...]:
        found = elements(message)
        if not found:
            return ()
        keys = repeat(key(message)) if key_on_top else map(key, found)
        times = repeat(timestamp(message)) if timestamp_on_top else map(timestamp, found)
        named = repeat(None) if headers is None else map(headers, repeat(message), found)
        # repeat() never ends: the values say how many there are.
        parts = zip(keys, map(value, found), times, named, strict=False)
        return tuple([new_record(Record, part) for part in parts])

    return records


def joined(parts: Sequence[Records]) -> Records:
    """Return the function from a message to the records of all parts, part by part."""
    if len(parts) == 1:
        return parts[0]
    return lambda message: tuple([record for part in parts for record in part(message)])


def skip_from(skip: SkipOption, top: Descriptor) -> Converter:
    """Compile ``skip=`` into a function that is true for messages to pass over.

    Arguments:
        skip: a path, a callable, or several of them.
        top: the response type.

    Raises:
        ConfigurationError: it is none of them, or there is no such field.
    """
    if isinstance(skip, str):
        return _set_at(skip, top)
    if not isinstance(skip, Sequence):
        return called("skip", skip)
    if not skip:
        raise ConfigurationError(f"skip={skip!r}: is empty; leave it out")
    wanted = [skip_from(one, top) for one in skip]
    return lambda message: any(one(message) for one in wanted)


def _set_at(path: str, top: Descriptor) -> Converter:
    bare = path.removeprefix("/")
    try:
        get, kind = getter(top, bare), kind_of(top, bare)
    except FieldError as exc:
        raise FieldError(f"skip={path!r}: {exc}") from exc
    if kind == "message" or _is_member(top, bare):
        return lambda message: get(message) is not None
    return get


def _is_member(top: Descriptor, path: str) -> bool:
    parent, _, name = path.rpartition(".")
    owner = message_at(top, parent) if parent else top
    field = owner.fields_by_name.get(name) if owner is not None else None
    return field is not None and in_oneof(field)


def skipping(skip: Converter, records: Records) -> Records:
    """Return the function from a message to its records, none for messages to pass over."""
    return lambda message: () if skip(message) else records(message)
