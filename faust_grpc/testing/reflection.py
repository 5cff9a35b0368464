"""Server reflection for generic servers: answers from a descriptor set.

Follows gRPC's ``reflection.proto``; the messages are built here, so that nothing is generated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

__all__ = ["VERSIONS", "ReflectionHandler"]

#: Both have the same messages; older servers know only the second.
VERSIONS = ("v1", "v1alpha")

_Field = descriptor_pb2.FieldDescriptorProto
#: message → (field, number, type or message name, repeated)
_MESSAGES: dict[str, list[tuple[str, int, int | str, bool]]] = {
    "Request": [
        ("file_by_filename", 3, _Field.TYPE_STRING, False),
        ("file_containing_symbol", 4, _Field.TYPE_STRING, False),
        ("list_services", 7, _Field.TYPE_STRING, False),
    ],
    "Response": [
        ("original_request", 2, "Request", False),
        ("file_descriptor_response", 4, "Files", False),
        ("list_services_response", 6, "Services", False),
        ("error_response", 7, "Error", False),
    ],
    "Files": [("file_descriptor_proto", 1, _Field.TYPE_BYTES, True)],
    "Services": [("service", 1, "Service", True)],
    "Service": [("name", 1, _Field.TYPE_STRING, False)],
    "Error": [
        ("error_code", 1, _Field.TYPE_INT32, False),
        ("error_message", 2, _Field.TYPE_STRING, False),
    ],
}
#: A question is one of these, even an empty one.
_QUESTIONS = "question"


def _message_classes() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="reflection.proto", package="faust_grpc.testing.reflection", syntax="proto3"
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        if message == "Request":
            described.oneof_decl.add(name=_QUESTIONS)
        for name, number, kind, repeated in fields:
            field = described.field.add(name=name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type = _Field.TYPE_MESSAGE
                field.type_name = f".{file.package}.{kind}"
            else:
                field.type = _Field.Type.ValueType(kind)
            if message == "Request":
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}"))
        for name in _MESSAGES
    }


class ReflectionHandler(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic only in the stubs
    """Answers reflection calls.

    Arguments:
        files: what the server knows, imports included.
        services: names to list; the services of ``files`` by default.
        versions: of the reflection protocol.
    """

    def __init__(
        self,
        files: descriptor_pb2.FileDescriptorSet,
        services: Iterable[str] | None = None,
        versions: Iterable[str] = VERSIONS,
    ) -> None:
        self._paths = {
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
            for version in versions
        }
        self._classes = _message_classes()
        self._files = {file.name: file for file in files.file}
        self._file_of = {symbol: file.name for file in files.file for symbol in _symbols(file)}
        declared = (
            _qualified(file, service.name) for file in files.file for service in file.service
        )
        self._services = sorted(declared if services is None else services)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Return the handler for a reflection call; ``None`` for every other."""
        if handler_call_details.method not in self._paths:
            return None
        return grpc.stream_stream_rpc_method_handler(
            self._answers,
            request_deserializer=self._classes["Request"].FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def _answers(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Message]:
        questions: dict[str, Callable[[str, Any], None]] = {
            "file_by_filename": self._by_name,
            "file_containing_symbol": self._by_symbol,
            "list_services": self._list,
        }
        for request in requests:
            response: Any = self._classes["Response"](original_request=request)
            question = request.WhichOneof(_QUESTIONS)
            if question in questions:
                questions[question](getattr(request, question), response)
            else:
                _refuse(response, grpc.StatusCode.UNIMPLEMENTED, "no such question here")
            yield response

    def _list(self, _: str, response: Any) -> None:
        for name in self._services:
            response.list_services_response.service.add(name=name)

    def _by_symbol(self, symbol: str, response: Any) -> None:
        if symbol in self._file_of:
            self._by_name(self._file_of[symbol], response)
        else:
            _refuse(response, grpc.StatusCode.NOT_FOUND, f"no symbol {symbol!r}")

    def _by_name(self, name: str, response: Any) -> None:
        if name not in self._files:
            _refuse(response, grpc.StatusCode.NOT_FOUND, f"no file {name!r}")
            return
        wire = self._files[name].SerializeToString()
        response.file_descriptor_response.file_descriptor_proto.append(wire)


def _refuse(response: Any, code: grpc.StatusCode, text: str) -> None:
    response.error_response.error_code = code.value[0]
    response.error_response.error_message = text


def _qualified(file: descriptor_pb2.FileDescriptorProto, name: str) -> str:
    return f"{file.package}.{name}" if file.package else name


def _symbols(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    for enum in file.enum_type:
        yield _qualified(file, enum.name)
    for service in file.service:
        yield _qualified(file, service.name)
        for method in service.method:
            yield f"{_qualified(file, service.name)}.{method.name}"
    for message in file.message_type:
        yield from _nested(_qualified(file, message.name), message)


def _nested(name: str, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
    yield name
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
    for inner in message.nested_type:
        yield from _nested(f"{name}.{inner.name}", inner)
