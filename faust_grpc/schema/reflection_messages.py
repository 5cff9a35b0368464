"""The messages of gRPC server reflection, described here: no generated code to go stale.

Versions v1 and v1alpha differ in their package name only, not on the wire. Field numbers are
those of ``grpc/reflection/v1/reflection.proto``; what this client does not use is left out.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool

from ..message_classes import message_class

__all__ = ["PATHS", "Request", "Response"]

#: The method, newest version first.
PATHS = (
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)

_PACKAGE = "faust_grpc.reflection"
_BYTES = FieldDescriptorProto.TYPE_BYTES
_INT32 = FieldDescriptorProto.TYPE_INT32
_STRING = FieldDescriptorProto.TYPE_STRING


def _message(file: FileDescriptorProto, name: str) -> DescriptorProto:
    return file.message_type.add(name=name)


def _field(
    message: DescriptorProto,
    number: int,
    name: str,
    kind: Any,
    *,
    repeated: bool = False,
    in_oneof: bool = False,
) -> None:
    """Add a field; ``kind`` is a scalar type, or the name of another message."""
    field = message.field.add(name=name, number=number)
    field.label = (
        FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    )
    if isinstance(kind, str):
        field.type = FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{_PACKAGE}.{kind}"
    else:
        field.type = kind
    if in_oneof:
        field.oneof_index = 0


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="reflection.proto", package=_PACKAGE, syntax="proto3")
    request = _message(file, "Request")
    request.oneof_decl.add(name="question")
    _field(request, 3, "file_by_filename", _STRING, in_oneof=True)
    _field(request, 4, "file_containing_symbol", _STRING, in_oneof=True)
    _field(request, 7, "list_services", _STRING, in_oneof=True)
    response = _message(file, "Response")
    response.oneof_decl.add(name="answer")
    _field(response, 4, "file_descriptor_response", "Files", in_oneof=True)
    _field(response, 6, "list_services_response", "Services", in_oneof=True)
    _field(response, 7, "error_response", "Error", in_oneof=True)
    _field(_message(file, "Files"), 1, "file_descriptor_proto", _BYTES, repeated=True)
    _field(_message(file, "Services"), 1, "service", "Service", repeated=True)
    _field(_message(file, "Service"), 1, "name", _STRING)
    error = _message(file, "Error")
    _field(error, 1, "error_code", _INT32)
    _field(error, 2, "error_message", _STRING)
    return file


_pool = DescriptorPool()
_pool.Add(_file())
Request: Any = message_class(_pool.FindMessageTypeByName(f"{_PACKAGE}.Request"))
Response: Any = message_class(_pool.FindMessageTypeByName(f"{_PACKAGE}.Response"))
