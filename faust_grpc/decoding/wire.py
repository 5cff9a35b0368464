"""Why bytes are no message of a type: read once more, slowly, for people.

The runtimes say little ("wire format was corrupt"), and each something else.
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

__all__ = ["diagnose"]

#: Levels of messages in messages that both runtimes parse.
_MAX_DEPTH = 100
#: Fields read at most: the event loop waits for it.
_MAX_FIELDS = 10_000

_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_MARKUP = (b"<!doctype", b"<html", b"<?xml")


class _Bad(Exception):
    """What is wrong, and where."""


def diagnose(descriptor: Descriptor, raw: bytes) -> str:
    """Return what is wrong with bytes that did not parse as a message type, in one line.

    It is empty when nothing is found: the runtime's own text is then all there is to say.
    """
    if raw[:64].lstrip().lower().startswith(_MARKUP):
        return "a page of a web server or proxy"
    scan = _Scan(raw)
    try:
        scan.message(descriptor, 0, len(raw), 1)
    except _Bad as bad:
        return str(bad)
    # Not every runtime minds, so that it is the reason only where there is no other.
    return scan.no_text


class _Scan:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._left = _MAX_FIELDS
        self.no_text = ""

    def message(
        self, descriptor: Descriptor | None, at: int, end: int, depth: int, group: int = 0
    ) -> int:
        """Read one message; ``None`` is one of an unknown type. Return where it ended."""
        if depth > _MAX_DEPTH:
            raise _Bad(f"nested too deeply (more than {_MAX_DEPTH} levels)")
        while at < end and self._left:
            self._left -= 1
            start = at
            tag, at = self._varint(at, end)
            number, wire_type = tag >> 3, tag & 7
            if not 0 < number < 2**29:
                raise _Bad(f"field number {number} at byte {start}")
            if wire_type == _END_GROUP:
                if number != group:
                    raise _Bad(f"end of a group that did not begin, at byte {start}")
                return at
            field = descriptor.fields_by_number.get(number) if descriptor is not None else None
            at = self._value(field, number, wire_type, at, end, depth)
        if group and self._left:
            raise _Bad(f"group {group} has no end")
        return at

    def _value(
        self,
        field: FieldDescriptor | None,
        number: int,
        wire_type: int,
        at: int,
        end: int,
        depth: int,
    ) -> int:
        what = field.name if field is not None else f"unknown field {number}"
        if wire_type == _VARINT:
            return self._varint(at, end)[1]
        inner = field.message_type if field is not None else None
        if wire_type == _GROUP:
            return self.message(inner, at, end, depth + 1, group=number)
        if wire_type in _FIXED:
            length = _FIXED[wire_type]
        elif wire_type == _BYTES:
            length, at = self._varint(at, end)
        else:
            raise _Bad(f"wire type {wire_type} at byte {at - 1}: this is no protobuf")
        if length > end - at:
            raise _Bad(f"{what!r} is {length} bytes long, of which {end - at} are there: cut short")
        if wire_type == _BYTES and field is not None:
            self._delimited(field, at, at + length, depth)
        return at + length

    def _delimited(self, field: FieldDescriptor, at: int, end: int, depth: int) -> None:
        if field.type == FieldDescriptor.TYPE_STRING:
            try:
                self._raw[at:end].decode()
            except UnicodeDecodeError:
                self.no_text = self.no_text or f"{field.full_name!r} is not UTF-8"
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            self.message(field.message_type, at, end, depth + 1)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _Bad(f"cut short at byte {at}")
            byte = self._raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
        raise _Bad(f"a number of more than ten bytes, before byte {at}: this is no protobuf")
