"""What every stage of decoding shares: the decoder itself, and converters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import Message

from ..exceptions import ConfigurationError, ConversionError, DecodeError
from ..types import Record
from .wire import diagnose

__all__ = ["Converter", "Decoder", "Tally", "called", "has_required_fields", "same"]

#: One value in, one value out; compiled once per field or message type.
Converter: TypeAlias = Callable[[Any], Any]

#: What the two protobuf runtimes raise for bytes that are no such message.
_UNREADABLE = (ProtobufDecodeError, RecursionError, TypeError, ValueError)


def same(value: Any) -> Any:
    """Return the value as it is."""
    return value


def called(option: str, function: Any) -> Converter:
    """Return a user's function such that what it raises names the option.

    Raises:
        ConfigurationError: it is not callable.
    """
    if not callable(function):
        raise ConfigurationError(f"{option}={function!r}: give a field path or a callable")

    def call(message: Any) -> Any:
        try:
            return function(message)
        except Exception as exc:
            raise ConversionError(f"{option}: {type(exc).__name__}: {exc}") from exc

    return call


class Tally:
    """A number that compiled functions count up."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Decoder:
    """Raw bytes → message → the events in it. Made by :func:`build_decoder`.

    Attributes:
        records: a function from a message to its events, in order; an empty tuple when it has
            none. Raises ConversionError when the message does not fit the options.
        value_is_message: events carry the protobuf message itself.
        bad_timestamps: event times that were there and could not be used.
    """

    __slots__ = (
        "_check_required",
        "_class",
        "_from_string",
        "bad_timestamps",
        "records",
        "value_is_message",
    )

    def __init__(
        self,
        message_class: type[Message],
        records: Callable[[Any], tuple[Record, ...]],
        *,
        value_is_message: bool,
        bad_timestamps: Tally,
    ) -> None:
        self._class = message_class
        self._from_string = message_class.FromString
        self._check_required = has_required_fields(cast(Descriptor, message_class.DESCRIPTOR))
        self.records = records
        self.value_is_message = value_is_message
        self.bad_timestamps = bad_timestamps

    def parse(self, raw: bytes) -> Message:
        """Return the message that the bytes are.

        Raises:
            DecodeError: they are not such a message, it is nested too deeply, or a required field
                (proto2) is missing.
        """
        try:
            message = self._from_string(raw)
        except _UNREADABLE as exc:
            descriptor = cast(Descriptor, self._class.DESCRIPTOR)
            reason = diagnose(descriptor, raw) or " ".join(str(exc).split())
            raise DecodeError(f"{len(raw)} bytes are no {descriptor.full_name}: {reason}") from exc
        # The runtimes parse a message with required fields missing, and only tell when asked.
        if self._check_required and not message.IsInitialized():
            missing = ", ".join(map(repr, message.FindInitializationErrors()))  # type: ignore[attr-defined]  # not in the stub
            name = self._class.DESCRIPTOR.full_name
            raise DecodeError(f"{name} without its required fields {missing}")
        return message


def has_required_fields(descriptor: Descriptor) -> bool:
    """Return whether the type, or any type inside it, has required fields (proto2)."""
    seen, waiting = {descriptor.full_name}, [descriptor]
    while waiting:
        for field in waiting.pop().fields:
            if field.is_required:
                return True
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append(inner)
    return False
