"""Questions to a server's reflection service, and what its answers mean."""

from __future__ import annotations

from typing import Any, cast

import grpc
import grpc.aio
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError

from ..credentials import hide
from ..exceptions import ReflectionFailed
from ..types import Metadata
from .reflection_messages import PATHS, Request, Response

__all__ = ["REMEDY", "Conversation"]

#: The way out of every failure that asking again will not mend.
REMEDY = "give schema= a generated module or a descriptor set"
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
_UNAUTHORIZED = frozenset({grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED})


class Conversation:
    """Questions to one server: each a call of its own.

    On a shared call some servers leave out what they sent before, others mix answers up.

    Arguments:
        grpc_channel: where to ask.
        metadata: sent with each question.

    Every method raises ReflectionFailed when the server does not answer, or not as it should.
    """

    def __init__(self, grpc_channel: grpc.aio.Channel, metadata: Metadata) -> None:
        self._channel = grpc_channel
        self._metadata = metadata
        self._paths = list(PATHS)

    async def services(self) -> list[str]:
        """Return the names of the server's services, sorted."""
        response = await self._ask(Request(list_services="*"))
        if not response.HasField("list_services_response"):
            raise ReflectionFailed(f"server reflection does not list services: {REMEDY}")
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
            # Some servers answer with no file instead of an error.
            return {file.name: file for file in files} or None
        except (DecodeError, ValueError) as exc:
            raise ReflectionFailed(f"server reflection sent no file descriptor: {REMEDY}") from exc

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
                    # A server may repeat a token, and gRPC's own error would be shown with ours.
                    raise _failure(code, hide(details, self._metadata)) from None

    async def _call(self, path: str, raw: bytes) -> bytes:
        # Bytes in, bytes out: the stubs ask for the serializers that this leaves out.
        method = cast(Any, self._channel).stream_stream(path)
        call = method([raw], metadata=self._metadata)
        try:
            async for answer in call:
                return bytes(answer)
        finally:
            call.cancel()
        raise ReflectionFailed(f"server reflection: no answer and no error: {REMEDY}")


def _failure(code: grpc.StatusCode, details: str) -> ReflectionFailed:
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return ReflectionFailed(f"the server does not offer reflection: {REMEDY}")
    retryable = code in _RETRYABLE
    hint = "" if retryable else f"; {REMEDY}"
    if code in _UNAUTHORIZED:
        hint = f"; metadata= is sent with it: allow reflection to it, or {REMEDY}"
    return ReflectionFailed(f"server reflection: {code.name}: {details}{hint}", retryable=retryable)
