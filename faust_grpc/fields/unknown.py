"""Fields that the schema does not know, by their number: ``#32767``.

Gateways put a resume token into such a field, so that no .proto file has to change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

from google.protobuf import unknown_fields
from google.protobuf.descriptor import Descriptor

from ..exceptions import ConversionError, FieldError

__all__ = ["is_unknown_path", "unknown_getter"]

_PATH = re.compile(r"#(\d+)")
#: The largest field number there is.
_LAST = 2**29 - 1
_VARINT, _LENGTH_DELIMITED = 0, 2


def is_unknown_path(path: str) -> bool:
    """Return whether a path names a field by its number."""
    return path.startswith("#")


def unknown_getter(
    descriptor: Descriptor, path: str, kind: Literal["int", "str", "bytes"]
) -> Callable[[Any], Any]:
    """Compile a path such as ``#32767`` into a function from a message to the value there.

    Arguments:
        descriptor: the type of the messages; it must not know the number.
        path: ``#`` and the number.
        kind: what the value is read as: the wire says only whether it is a number.

    Returns:
        A function that returns the last value sent under the number, or ``None``. It raises
        ConversionError for a value of another kind.

    Raises:
        FieldError: it is no field number, or one that the schema has a name for.
    """
    match = _PATH.fullmatch(path)
    number = int(match[1]) if match is not None else 0
    if not 0 < number <= _LAST:
        raise FieldError(f"{path!r}: write an unknown field as '#' and its number, 1 to {_LAST}")
    known = descriptor.fields_by_number.get(number)
    if known is not None:
        raise FieldError(f"{path!r}: {descriptor.full_name} has that field: write {known.name!r}")
    wire_type = _VARINT if kind == "int" else _LENGTH_DELIMITED

    def get(message: Any) -> Any:
        found = None
        # The stub has no __iter__.
        for field in cast(Iterable[Any], unknown_fields.UnknownFieldSet(message)):
            if field.field_number == number:
                found = field
        if found is None:
            return None
        if found.wire_type != wire_type:
            raise ConversionError(f"{descriptor.full_name}.{path}: what was sent is no {kind}")
        return _text(found.data, path) if kind == "str" else found.data

    return get


def _text(raw: bytes, path: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise ConversionError(f"{path}: {raw!r} is no text") from exc
