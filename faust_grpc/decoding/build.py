"""The options of a source → one compiled decoder, all of them checked first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from ..exceptions import ConfigurationError, ConversionError, DataError, FieldError
from ..fields import getter, kind_of
from ..types import Record
from .base import Converter, Decoder, Tally, called, same
from .explode import (
    ExplodeOption,
    Records,
    SkipOption,
    elements_at,
    joined,
    many,
    new_record,
    option_at,
    paths_of,
    skip_from,
    skipping,
)
from .headers import Headers, HeadersOption, headers_from
from .times import TimestampOption, no_time, timestamp_from
from .values import value_from

if TYPE_CHECKING:
    from ..schema.base import Method

__all__ = ["build_decoder", "message_decoder"]

KeyOption: TypeAlias = "str | Callable[[Any], Any] | None"


def build_decoder(
    method: Method,
    *,
    value_type: Any = None,
    key: KeyOption = None,
    timestamp: TimestampOption = None,
    explode: ExplodeOption = None,
    skip: SkipOption = None,
    headers: HeadersOption = None,
) -> Decoder:
    """Compile what a source says about its messages.

    Paths are those of :mod:`faust_grpc.fields`. With ``explode`` they start at the element; one
    that starts with ``/`` starts at the message around it (``/header.revision``).

    Arguments:
        method: the method whose responses are decoded.
        value_type: what an event's value is. ``None``: the protobuf message. ``dict``: plain
            Python (rules in :mod:`faust_grpc.decoding.plain`). A ``faust.Record``, dataclass,
            named tuple or pydantic model (rules in :mod:`faust_grpc.decoding.typed`), a class
            that reads bytes (``FromString`` or ``deserialize``), or any callable of the message.
        key: path of the event's key, or a callable of the message (of the element, with explode).
        timestamp: path of the event's time, or a callable. A number is in seconds; for another
            unit give a pair: ``("sent_at", "ms")``, likewise ``"us"`` and ``"ns"``. Text is ISO
            8601, in UTC unless it says otherwise. What is not set, or zero in a plain number, is
            no time; nor is what is out of range or unreadable, which is counted.
        explode: path of a repeated message or a map: one event per element. ``[]`` goes through
            all elements on the way: ``batches[].messages``. An element of a map has the fields
            ``key`` and ``value``. Of several paths, the events of the first come first; then
            ``value_type``, ``key`` and ``timestamp`` may each be a mapping by path.
        skip: path or callable, or several; messages for which one is set (a message, a member of
            a oneof) or true (any other field) have no events.
        headers: path or callable by name (rules in :mod:`faust_grpc.decoding.headers`).

    Raises:
        ConfigurationError: an option does not fit the response type; the text names the option.
    """
    top, paths, bad = method.output, paths_of(explode), Tally()
    if paths:
        options = {"value_type": value_type, "key": key, "timestamp": timestamp}
        parts = []
        for path in paths:
            own = {name: option_at(name, value, path, paths) for name, value in options.items()}
            parts.append(_exploded(top, path, bad, headers=headers, **own))
        records = joined([part for part, _ in parts])
        value_is_message = all(is_message for _, is_message in parts)
    else:
        value = value_from(value_type, top)
        key_of, _ = _key(key, top, top)
        timestamp_of, _ = timestamp_from(timestamp, top, top, bad)
        headers_of = headers_from(headers, top, top)
        value_is_message = value is same
        if value_is_message and timestamp_of is no_time and headers_of is None:
            records = _messages(key_of)
        else:
            records = _guarded(_single(key_of, value, timestamp_of, headers_of))
    if skip is not None:
        records = skipping(skip_from(skip, top), records)
    return Decoder(
        method.response_class,
        _guarded(records) if paths or skip is not None else records,
        value_is_message=value_is_message,
        bad_timestamps=bad,
    )


def message_decoder(
    message_class: type[Message], value_type: Any
) -> tuple[Callable[[bytes], Message], Converter]:
    """Compile what it takes to decode single messages: two functions, to be called in turn.

    Arguments:
        message_class: their type.
        value_type: as for :func:`build_decoder`.

    Raises:
        ConfigurationError: ``value_type`` does not fit the message type.
    """
    convert = value_from(value_type, cast(Descriptor, message_class.DESCRIPTOR))
    decoder = Decoder(
        message_class,
        lambda message: (),
        value_is_message=convert is same,
        bad_timestamps=Tally(),
    )
    return decoder.parse, convert


def _exploded(
    top: Descriptor,
    path: str,
    bad: Tally,
    *,
    value_type: Any,
    key: Any,
    timestamp: Any,
    headers: Any,
) -> tuple[Records, bool]:
    element, elements = elements_at(top, path)
    is_entry = element.GetOptions().map_entry
    if is_entry and isinstance(value_type, type) and hasattr(value_type, "FromString"):
        raise ConfigurationError(
            f"value_type={value_type.__name__}: explode={path!r} is a map, whose elements are "
            "pairs of key and value: give dict, a class with these two fields, or a callable"
        )
    value = value_from(value_type, element)
    key_of, key_on_top = _key(key, top, element)
    timestamp_of, timestamp_on_top = timestamp_from(timestamp, top, element, bad)
    headers_of = headers_from(headers, top, element)
    records = many(elements, key_of, key_on_top, value, timestamp_of, timestamp_on_top, headers_of)
    return records, value is same and not is_entry


def _key(key: KeyOption, top: Descriptor, element: Descriptor) -> tuple[Converter, bool]:
    if key is None:
        return (lambda message: None), False
    if not isinstance(key, str):
        return called("key", key), False
    on_top = key.startswith("/")
    start, path = (top, key[1:]) if on_top else (element, key)
    try:
        kind = kind_of(start, path)
    except FieldError as exc:
        raise FieldError(f"key={key!r}: {exc}") from exc
    if kind in ("map", "message", "repeated"):
        raise ConfigurationError(
            f"key={key!r}: it is a {kind} field of {start.full_name}: name a scalar in it, or "
            "give a callable"
        )
    return getter(start, path), on_top


def _messages(key: Converter) -> Records:
    """The hot path of sources without conversion. A key raises nothing but what it should."""

    def records(message: Any) -> tuple[Record, ...]:
        return (new_record(Record, (key(message), message, None, None)),)

    return records


def _single(key: Converter, value: Converter, timestamp: Converter, headers: Headers) -> Records:
    def records(message: Any) -> tuple[Record, ...]:
        return (new_record(Record, (key(message), value(message), timestamp(message), None)),)

    if headers is None:
        return records

    def with_headers(message: Any) -> tuple[Record, ...]:
        parts = key(message), value(message), timestamp(message), headers(message, message)
        return (new_record(Record, parts),)

    return with_headers


def _guarded(records: Records) -> Records:
    def guarded(message: Any) -> tuple[Record, ...]:
        try:
            return records(message)
        except DataError:
            raise
        except Exception as exc:
            raise ConversionError(f"value: {type(exc).__name__}: {exc}") from exc

    return guarded
