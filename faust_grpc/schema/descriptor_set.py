"""Descriptor sets: files of compiled .proto files, as protoc and buf write them."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from ..exceptions import SchemaError
from .files import PoolSchema

__all__ = ["DescriptorSet"]

_HOW_TO = "make it with protoc --include_imports --descriptor_set_out=FILE"
#: The pure Python runtime lets the second one through.
_UNREADABLE = (DecodeError, UnicodeDecodeError)
_GZIP = b"\x1f\x8b"


class DescriptorSet(PoolSchema):
    """The types of a descriptor set.

    Arguments:
        source: a path to the file, or its bytes. Base64 text of it is read too.

    Raises:
        SchemaError: there is no such file, it is something else, or an import is missing. The
            text says what it looks like and how to make the right one.
    """

    def __init__(self, source: str | Path | bytes) -> None:
        if isinstance(source, bytes):
            self.origin, raw = f"descriptor set ({len(source)} bytes)", source
        else:
            self.origin, raw = f"descriptor set {source}", _read(Path(source))
        files = _parse(raw, self.origin)
        super().__init__(files, origin=self.origin, remedy="make it with --include_imports")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise SchemaError(f"descriptor set {path}: {reason.lower()}") from exc


def _parse(raw: bytes, origin: str) -> list[FileDescriptorProto]:
    files = _files(raw)
    if files is None:
        files = _files(_from_base64(raw))
    if files is None:
        raise SchemaError(f"{origin} {_looks_like(raw)}: {_HOW_TO}")
    return files


def _files(raw: bytes) -> list[FileDescriptorProto] | None:
    """Return the files of a set, or ``None`` for bytes that are no set of named files."""
    try:
        files = list(FileDescriptorSet.FromString(raw).file)
    except _UNREADABLE:
        return None
    return files if files and all(file.name for file in files) else None


def _from_base64(raw: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except binascii.Error:
        return b""


def _looks_like(raw: bytes) -> str:
    if not raw.strip():
        return "is empty"
    if raw.startswith(_GZIP):
        return "is compressed with gzip"
    if raw.lstrip().startswith((b"syntax", b"edition", b"package", b"import", b"//", b"/*")):
        return "is the text of a .proto file, not compiled"
    try:
        name = FileDescriptorProto.FromString(raw).name
    except _UNREADABLE:
        name = ""
    if name.endswith(".proto"):
        return f"holds the single file {name}, not a set of files"
    return "is not a descriptor set, or cut short"
