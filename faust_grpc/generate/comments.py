"""Comments of .proto files, by the full name of what they stand at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

__all__ = ["comments_in"]

#: Field numbers that lead to a message, a message in a message, and a field (descriptor.proto).
_MESSAGE, _NESTED, _FIELD = 4, 3, 2


def comments_in(files: Iterable[FileDescriptorProto]) -> dict[str, str]:
    """Return the comments at messages and fields, by full name.

    There are none in a set that was made without ``--include_source_info``.

    Arguments:
        files: as they came: the upb runtime drops comments of what is in a pool.
    """
    found: dict[str, str] = {}
    for file in files:
        texts = {}
        for location in file.source_code_info.location:
            text = location.leading_comments or location.trailing_comments
            if text.strip():
                texts[tuple(location.path)] = textwrap.dedent(text).strip()
        for index, message in enumerate(file.message_type):
            for path, name in _names(message, file.package, (_MESSAGE, index)):
                if path in texts:
                    found[name] = texts[path]
    return found


def _names(
    message: DescriptorProto, scope: str, path: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], str]]:
    full_name = f"{scope}.{message.name}" if scope else message.name
    yield path, full_name
    for index, field in enumerate(message.field):
        yield (*path, _FIELD, index), f"{full_name}.{field.name}"
    for index, nested in enumerate(message.nested_type):
        yield from _names(nested, full_name, (*path, _NESTED, index))
