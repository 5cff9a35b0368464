"""What changed between two versions of a method's types, for people."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor, EnumDescriptor

from .base import Method
from .text import field_text

__all__ = ["differences"]


def differences(known: Method, now: Method) -> list[str]:
    """Return how a method's types differ from those known, one line each.

    Arguments:
        known: the method as it is used.
        now: the method as it is.
    """
    lines: list[str] = []
    if (known.client_streaming, known.server_streaming) != (
        now.client_streaming,
        now.server_streaming,
    ):
        lines.append(f"{known.full_name} streams otherwise than it did")
    seen: set[str] = set()
    for before, after in ((known.input, now.input), (known.output, now.output)):
        if before.full_name != after.full_name:
            lines.append(f"{known.full_name}: {before.full_name} is now {after.full_name}")
        else:
            lines.extend(_message(before, after, seen))
    return lines


def _message(known: Descriptor, now: Descriptor, seen: set[str]) -> Iterator[str]:
    waiting = [(known, now)]
    while waiting:
        before, after = waiting.pop()
        name = before.full_name
        if name in seen:
            continue
        seen.add(name)
        # By number: that is what the wire knows.
        for number in sorted({*before.fields_by_number, *after.fields_by_number}):
            one, other = before.fields_by_number.get(number), after.fields_by_number.get(number)
            if one is None:
                assert other is not None  # the number is from one of the two
                yield f"{name}: new field {field_text(other)!r}"
            elif other is None:
                yield f"{name}: field {field_text(one)!r} is gone"
            elif field_text(one) != field_text(other):
                yield f"{name}: {field_text(one)!r} is now {field_text(other)!r}"
            else:
                if one.message_type is not None and other.message_type is not None:
                    waiting.append((one.message_type, other.message_type))
                if one.enum_type is not None and other.enum_type is not None:
                    yield from _enum(one.enum_type, other.enum_type, seen)


def _enum(known: EnumDescriptor, now: EnumDescriptor, seen: set[str]) -> Iterator[str]:
    name = known.full_name
    if name in seen:
        return
    seen.add(name)
    before = {value.name: value.number for value in known.values}
    after = {value.name: value.number for value in now.values}
    for value in sorted({*before, *after}):
        if value not in before:
            yield f"{name}: new value '{value} = {after[value]}'"
        elif value not in after:
            yield f"{name}: value '{value} = {before[value]}' is gone"
        elif before[value] != after[value]:
            yield f"{name}: {value} was {before[value]} and is now {after[value]}"
