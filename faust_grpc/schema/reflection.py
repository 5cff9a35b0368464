"""Server reflection: the server itself tells the types of its methods."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, ClassVar, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError

from ..exceptions import ReflectionFailed, SchemaError, nearest
from ..types import Metadata
from .base import Method, Schema, split_name
from .files import PoolSchema, missing_imports
from .reflection_messages import PATHS, Request, Response

__all__ = ["ReflectionSchema"]

_Answer = TypeVar("_Answer")

#: The way out of every failure that asking again will not mend.
_REMEDY = "give schema= a generated module or a descriptor set"
#: More imports than any real API has; a server that invents ever new ones ends here.
_MAX_FILES = 1000
#: Core sometimes loses a bidirectional call as it opens and calls that INTERNAL.
_ATTEMPTS = 3
_LOST_BY_CORE = "Internal error from Core"

#: The answer may be another one later.
_RETRYABLE = frozenset(
    {
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.UNKNOWN,
    }
)


class ReflectionSchema(Schema):
    """The types that a server tells, fetched when a worker runs.

    Before :meth:`fetch` it knows no service.

    Arguments:
        timeout_seconds: for all the questions of one fetch together.
    """

    is_static: ClassVar[bool] = False

    def __init__(self, *, timeout_seconds: float = 10.0) -> None:
        self.timeout_seconds = timeout_seconds
        self._fetched: PoolSchema | None = None

    def services(self) -> list[str]:
        return self._fetched.services() if self._fetched is not None else []

    def service(self, name: str) -> ServiceDescriptor:
        if self._fetched is None:
            raise SchemaError(f"{name}: server reflection was not asked yet; {_REMEDY}")
        return self._fetched.service(name)

    async def fetch(
        self, name: str, grpc_channel: grpc.aio.Channel, metadata: Metadata = ()
    ) -> Method:
        """Ask the server for a method that a source can read. Every fetch asks anew.

        Arguments:
            name: ``pkg.Service/Method``, in any spelling.
            grpc_channel: where to ask.
            metadata: sent with each question.

        Raises:
            SchemaError: the server has no such service or method, or it is not server-streaming.
            ReflectionFailed: the server did not answer, or has no reflection, or an incomplete
                one.
        """
        await self.fetch_service(split_name(name)[0], grpc_channel, metadata)
        return self.method(name)

    async def fetch_service(
        self, service: str, grpc_channel: grpc.aio.Channel, metadata: Metadata = ()
    ) -> ServiceDescriptor:
        """Ask the server for a service, with all its types; raises as :meth:`fetch` does."""
        asking = self._service(_Conversation(grpc_channel, metadata), service)
        self._fetched = await self._in_time(asking)
        return self._fetched.service(service)

    async def fetch_services(
        self, grpc_channel: grpc.aio.Channel, metadata: Metadata = ()
    ) -> list[str]:
        """Ask the server for the names of its services, sorted; raises ReflectionFailed."""
        conversation = _Conversation(grpc_channel, metadata)
        return await self._in_time(conversation.services())

    async def _in_time(self, asking: Awaitable[_Answer]) -> _Answer:
        try:
            return await asyncio.wait_for(asking, self.timeout_seconds)
        except asyncio.TimeoutError:
            raise ReflectionFailed(
                f"server reflection: no answer within {self.timeout_seconds:g} s", retryable=True
            ) from None

    async def _service(self, conversation: _Conversation, service: str) -> PoolSchema:
        files = await conversation.files(file_containing_symbol=service)
        if files is None:
            raise await _unknown_service(conversation, service)
        await _complete(conversation, files)
        try:
            return PoolSchema(files.values(), origin="server reflection", remedy=_REMEDY)
        except SchemaError as exc:
            raise ReflectionFailed(f"{exc}; {_REMEDY}") from exc


async def _unknown_service(
    conversation: _Conversation, service: str
) -> SchemaError | ReflectionFailed:
    listed = await conversation.services()
    if service in listed:
        return ReflectionFailed(
            f"server reflection lists {service} but has no description of it: {_REMEDY}"
        )
    return SchemaError(f"the server has no service {service!r}: {nearest(service, listed)}")


async def _complete(conversation: _Conversation, files: dict[str, FileDescriptorProto]) -> None:
    """Ask for imports that came without their files, until none is missing."""
    while missing := missing_imports(files.values()):
        for name in missing:
            found = await conversation.files(file_by_filename=name)
            if found is None or name not in found:
                importer = next(file.name for file in files.values() if name in file.dependency)
                raise ReflectionFailed(
                    f"server reflection has no {name} (imported by {importer}): {_REMEDY}"
                )
            files.update(found)
            if len(files) > _MAX_FILES:
                raise ReflectionFailed(
                    f"server reflection: more than {_MAX_FILES} files: {_REMEDY}"
                )


class _Conversation:
    """Questions to one server: each a call of its own.

    On a shared call some servers leave out what they sent before, others mix answers up.
    """

    def __init__(self, grpc_channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self._channel = grpc_channel
        self._metadata = metadata
        self._paths = list(PATHS)

    async def services(self) -> list[str]:
        response = await self._ask(Request(list_services="*"))
        if not response.HasField("list_services_response"):
            raise ReflectionFailed(f"server reflection does not list services: {_REMEDY}")
        return sorted(service.name for service in response.list_services_response.service)

    async def files(self, **question: str) -> dict[str, FileDescriptorProto] | None:
        """Return files by name, or ``None`` when the server has no answer."""
        response = await self._ask(Request(**question))
        if not response.HasField("file_descriptor_response"):
            return None
        try:
            files = map(
                FileDescriptorProto.FromString,
                response.file_descriptor_response.file_descriptor_proto,
            )
            return {file.name: file for file in files}
        except (DecodeError, ValueError) as exc:
            raise ReflectionFailed(f"server reflection sent no file descriptor: {_REMEDY}") from exc

    async def _ask(self, request: Any) -> Any:
        raw = await self._exchange(request.SerializeToString())
        try:
            return Response.FromString(raw)
        except (DecodeError, ValueError) as exc:
            raise ReflectionFailed(f"server reflection: not an answer: {exc}") from exc

    async def _exchange(self, raw: bytes) -> bytes:
        attempt = 1
        while True:
            try:
                return await self._call(self._paths[0], raw)
            except grpc.aio.AioRpcError as exc:
                code, details = exc.code(), exc.details() or ""
                if code is grpc.StatusCode.UNIMPLEMENTED and len(self._paths) > 1:
                    # The server speaks an older version; so it will at the next question.
                    self._paths.pop(0)
                elif details == _LOST_BY_CORE and attempt < _ATTEMPTS:
                    attempt += 1
                else:
                    raise _failure(code, details) from exc

    async def _call(self, path: str, raw: bytes) -> bytes:
        # Bytes in, bytes out: the stubs ask for the serializers that this leaves out.
        method = cast(Any, self._channel).stream_stream(path)
        call = method([raw], metadata=self._metadata)
        try:
            async for answer in call:
                return bytes(answer)
        finally:
            call.cancel()
        raise ReflectionFailed(f"server reflection: no answer and no error: {_REMEDY}")


def _failure(code: grpc.StatusCode, details: str) -> ReflectionFailed:
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ReflectionFailed(f"the server does not offer reflection: {_REMEDY}")
    retryable = code in _RETRYABLE
    hint = "" if retryable else f"; {_REMEDY}"
    return ReflectionFailed(f"server reflection: {code.name}: {details}{hint}", retryable=retryable)
