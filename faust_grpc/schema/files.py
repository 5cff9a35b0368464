"""File descriptors → one private pool, whatever order and company they come in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from google.protobuf import (
    any_pb2,
    api_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    source_context_pb2,
    struct_pb2,
    timestamp_pb2,
    type_pb2,
    unknown_fields,
    wrappers_pb2,
)
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from ..exceptions import SchemaError
from .base import ListedSchema

__all__ = ["PoolSchema", "missing_imports"]

#: Files that the runtime ships. They are always taken from it: sets leave them out, and the
#: runtime's classes for them know only its own.
WELL_KNOWN: dict[str, FileDescriptorProto] = {
    module.DESCRIPTOR.name: FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
    for module in (
        any_pb2,
        api_pb2,
        descriptor_pb2,
        duration_pb2,
        empty_pb2,
        field_mask_pb2,
        source_context_pb2,
        struct_pb2,
        timestamp_pb2,
        type_pb2,
        wrappers_pb2,
    )
}

#: ``FileDescriptorProto.edition``.
_EDITION_FIELD = 14


class PoolSchema(ListedSchema):
    """Types out of file descriptors, in a pool of their own.

    The pool is private, because two servers may ship different files under one name.

    Arguments:
        files: the files, in any order; equal duplicates and absent well-known imports are fine.
        origin: what an error calls the set: ``descriptor set orders.binpb``.
        remedy: what an error about a missing import says to do.

    Raises:
        SchemaError: an import is missing, two files of one name differ, or protobuf refuses one.
    """

    def __init__(self, files: Iterable[FileDescriptorProto], *, origin: str, remedy: str) -> None:
        self._origin = origin
        #: Where the types are: no other source sees them.
        self.pool = DescriptorPool()
        #: What it was made of, by name.
        self.files = _by_name(files, origin)
        self._services: dict[str, ServiceDescriptor] = {}
        for file in _in_order(self.files, origin, remedy):
            for service in _link(self.pool, file, origin).services_by_name.values():
                self._services[service.full_name] = service


def missing_imports(files: Iterable[FileDescriptorProto]) -> list[str]:
    """Return the imports that neither the files nor the runtime have, each once."""
    known = {file.name: file for file in files}
    imports = {name: None for file in known.values() for name in file.dependency}
    return [name for name in imports if name not in known and name not in WELL_KNOWN]


def _by_name(files: Iterable[FileDescriptorProto], origin: str) -> dict[str, FileDescriptorProto]:
    by_name: dict[str, FileDescriptorProto] = {}
    for file in files:
        if by_name.setdefault(file.name, file) != file:
            raise SchemaError(f"{origin} has two different files named {file.name!r}: keep one")
    return by_name


def _in_order(
    files: dict[str, FileDescriptorProto], origin: str, remedy: str
) -> Iterator[FileDescriptorProto]:
    """Yield every file after what it imports. No recursion: a server may chain any number."""
    done: set[str] = set()
    for first in files:
        waiting = [first]
        entered: set[str] = set()
        while waiting:
            name = waiting[-1]
            file = WELL_KNOWN.get(name) or files[name]
            imports = [other for other in file.dependency if other not in done]
            if name in done or not imports:
                waiting.pop()
                if name not in done:
                    done.add(name)
                    yield file
                continue
            if name in entered:
                raise SchemaError(f"{origin}: {name} imports itself through {imports[0]}")
            entered.add(name)
            for other in imports:
                if other not in files and other not in WELL_KNOWN:
                    raise SchemaError(
                        f"{name} imports {other}, which is not in the set ({origin}): {remedy}"
                    )
            waiting.extend(imports)


def _link(pool: DescriptorPool, file: FileDescriptorProto, origin: str) -> FileDescriptor:
    _check_edition(file, origin)
    try:
        pool.Add(file)
        # The pure Python runtime links only now, upb already did.
        linked = pool.FindFileByName(file.name)
    except (KeyError, TypeError, ValueError) as exc:
        reason = " ".join(str(exc).split())
        raise SchemaError(f"{origin}: protobuf refuses {file.name}: {reason}") from exc
    return linked


def _check_edition(file: FileDescriptorProto, origin: str) -> None:
    edition: int = file.edition
    if file.syntax == "editions" and not file.HasField("edition"):
        # An edition that this runtime has no name for is an unknown field to it.
        unknown: Iterable[Any] = cast(
            Any, unknown_fields.UnknownFieldSet(file)
        )  # stub: no __iter__
        edition = next((field.data for field in unknown if field.field_number == _EDITION_FIELD), 0)
    # Up to 9999 are editions of some runtime; whether of this one, it says itself.
    if edition > 9999 or (file.syntax == "editions" and not file.HasField("edition")):
        raise SchemaError(
            f"{origin}: {file.name} is of edition {edition}, which needs a newer protobuf"
        )
