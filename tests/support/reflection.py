"""A reflection service whose answers are given: servers that misbehave in every way people met."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha import reflection_pb2

from .messages import SETS

__all__ = ["NOT_FOUND", "V1", "V1ALPHA", "Answer", "Scripted", "add_handlers", "files", "serving"]

V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
Answer = reflection_pb2.ServerReflectionResponse
Handler = Callable[[Any, grpc.aio.ServicerContext], Any]


def files(set_name: str) -> dict[str, FileDescriptorProto]:
    parsed = FileDescriptorSet.FromString((SETS / f"{set_name}.binpb").read_bytes())
    return {file.name: file for file in parsed.file}


def answer_files(found: Iterable[FileDescriptorProto]) -> Any:
    raw = [file.SerializeToString() for file in found]
    return Answer(file_descriptor_response={"file_descriptor_proto": raw})


def answer_services(*names: str) -> Any:
    return Answer(list_services_response={"service": [{"name": name} for name in names]})


NOT_FOUND = Answer(error_response={"error_code": 5, "error_message": "not here"})


class Scripted:
    """A reflection service whose answers are given; it remembers what it was asked."""

    def __init__(
        self,
        *,
        services: Iterable[str] = (),
        symbols: Iterable[FileDescriptorProto] | None = None,
        by_name: dict[str, FileDescriptorProto] | None = None,
    ) -> None:
        self.services = services
        self.symbols = symbols
        self.by_name = by_name or {}
        self.asked: list[str] = []
        self.metadata: list[dict[str, Any]] = []

    def answer(self, request: Any) -> Any:
        kind = request.WhichOneof("message_request")
        self.asked.append(f"{kind} {getattr(request, kind)}")
        if kind == "list_services":
            return answer_services(*self.services)
        if kind == "file_containing_symbol" and self.symbols is not None:
            return answer_files(self.symbols)
        if kind == "file_by_filename" and request.file_by_filename in self.by_name:
            return answer_files([self.by_name[request.file_by_filename]])
        return NOT_FOUND

    async def handle(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        async for request in requests:
            yield self.answer(request)


def add_handlers(server: grpc.aio.Server, handlers: dict[str, Handler]) -> None:
    """Let a server answer reflection by these handlers, by service name."""
    for service, handler in handlers.items():
        method = grpc.stream_stream_rpc_method_handler(
            handler,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=Answer.SerializeToString,
        )
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": method}),)
        )


@asynccontextmanager
async def serving(
    handlers: dict[str, Handler], add: Callable[[grpc.aio.Server], None] = lambda server: None
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve reflection handlers by service name; yield a channel to them."""
    server = grpc.aio.server()
    add_handlers(server, handlers)
    add(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)
