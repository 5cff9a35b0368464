"""Server reflection: the server itself tells the types of its methods."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, get_args

import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from ..exceptions import ReflectionFailed, SchemaError, nearest
from ..types import Metadata
from .base import Method, Schema, split_name
from .differences import differences
from .drift import Drift
from .files import PoolSchema, missing_imports
from .reflection_calls import REMEDY, Conversation

__all__ = ["Reflection", "ReflectionSchema"]

_Answer = TypeVar("_Answer")
#: What a worker does when the server's types are others than those it reads with.
OnDrift: TypeAlias = Literal["warn", "reload"]
_Files = Mapping[str, FileDescriptorProto]

logger = logging.getLogger(__name__)

#: More imports than any real API has; a server that invents ever new ones ends here.
_MAX_FILES = 1000


@dataclass(frozen=True, kw_only=True)
class Reflection:
    """Ask the server for its types, in a way of one's own. Give it as ``schema``.

    Arguments:
        fallback: any other schema. Files that the server's reflection lacks are taken from it;
            where reflection does not describe the method at all, it is used instead.
        timeout_seconds: for all the questions together.
        on_drift: when the server's types change while a worker reads them: ``"warn"`` of it and
            go on with the known ones, or ``"reload"`` them, if the source's options fit them.
    """

    fallback: Any = None
    timeout_seconds: float = 10.0
    on_drift: OnDrift = "warn"


class ReflectionSchema(Schema):
    """The types that a server tells, fetched when a worker runs.

    Before :meth:`fetch` it knows no service.

    Arguments:
        timeout_seconds: for all the questions of one fetch together.
        fallback: what the server does not tell.
        on_drift: see :class:`Reflection`.
    """

    is_static: ClassVar[bool] = False

    def __init__(
        self,
        *,
        timeout_seconds: float = 10.0,
        fallback: Schema | None = None,
        on_drift: OnDrift = "warn",
    ) -> None:
        if fallback is not None and not fallback.is_static:
            raise SchemaError("schema: the fallback of reflection cannot be reflection too")
        if on_drift not in get_args(OnDrift):
            raise SchemaError(
                f"schema: Reflection(on_drift={on_drift!r}): must be one of 'warn', 'reload'"
            )
        self.timeout_seconds = timeout_seconds
        self.fallback = fallback
        self.on_drift: OnDrift = on_drift
        #: Between two looks whether the server's types changed: soon, where that is of use.
        self.drift_interval_seconds = 60.0 if on_drift == "reload" else 3600.0
        self._fetched: Schema | None = None

    def services(self) -> list[str]:
        return self._fetched.services() if self._fetched is not None else []

    def service(self, name: str) -> ServiceDescriptor:
        if self._fetched is None:
            raise SchemaError(f"{name}: server reflection was not asked yet; {REMEDY}")
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
        asking = self._service(Conversation(grpc_channel, metadata), service)
        try:
            self._fetched = await self._in_time(asking)
        except (ReflectionFailed, SchemaError) as exc:
            self._fetched = self._instead(service, exc)
        return self._fetched.service(service)

    async def fetch_services(
        self, grpc_channel: grpc.aio.Channel, metadata: Metadata = ()
    ) -> list[str]:
        """Ask the server for the names of its services, sorted; raises ReflectionFailed."""
        conversation = Conversation(grpc_channel, metadata)
        return await self._in_time(conversation.services())

    async def drift(
        self, known: Method, grpc_channel: grpc.aio.Channel, metadata: Metadata = ()
    ) -> Drift:
        """Ask the server again, and return how its types of a method differ from those in use.

        Arguments:
            known: the method as it is in use; it stays as it is.
            grpc_channel: where to ask.
            metadata: sent with each question.

        Raises:
            ReflectionFailed: the server did not answer.
        """
        asked = ReflectionSchema(timeout_seconds=self.timeout_seconds, fallback=self.fallback)
        try:
            method = await asked.fetch(known.full_name, grpc_channel, metadata)
        except SchemaError as exc:
            return Drift([str(exc)])
        return Drift(differences(known, method), method)

    async def _in_time(self, asking: Awaitable[_Answer]) -> _Answer:
        try:
            return await asyncio.wait_for(asking, self.timeout_seconds)
        except asyncio.TimeoutError:
            raise ReflectionFailed(
                f"server reflection: no answer within {self.timeout_seconds:g} s", retryable=True
            ) from None

    async def _service(self, conversation: Conversation, service: str) -> PoolSchema:
        files = await conversation.files(file_containing_symbol=service)
        if files is None:
            raise await _unknown_service(conversation, service)
        # Those of a set can stand in one by one, those of generated code only as a whole.
        known = self.fallback.files if isinstance(self.fallback, PoolSchema) else {}
        await _complete(conversation, files, known)
        try:
            return PoolSchema(files.values(), origin="server reflection", remedy=REMEDY)
        except SchemaError as exc:
            hollow = next((name for name in files if _is_placeholder(files[name])), None)
            reason = f"server reflection has {hollow} only as an empty file" if hollow else exc
            raise ReflectionFailed(f"{reason}; {REMEDY}") from exc

    def _instead(self, service: str, error: ReflectionFailed | SchemaError) -> Schema:
        """Return the fallback where the server's answer is final, else raise the error."""
        fallback = self.fallback
        if fallback is None or getattr(error, "retryable", False):
            raise error
        if service not in fallback.services():
            raise SchemaError(f"{error}; nor has the fallback a service {service!r}") from error
        logger.warning("%s: the fallback is used", error)
        return fallback


async def _unknown_service(
    conversation: Conversation, service: str
) -> SchemaError | ReflectionFailed:
    listed = await conversation.services()
    if service in listed:
        return ReflectionFailed(
            f"server reflection lists {service} but has no description of it: {REMEDY}"
        )
    return SchemaError(f"the server has no service {service!r}: {nearest(service, listed)}")


async def _complete(
    conversation: Conversation, files: dict[str, FileDescriptorProto], known: _Files
) -> None:
    """Ask for imports that came without their files, until none is missing.

    Arguments:
        conversation: asks.
        files: what came; completed in place.
        known: files that stand in for those the server does not have.
    """
    _fill(files, known)
    while missing := missing_imports(files.values()):
        for name in missing:
            found = await conversation.files(file_by_filename=name)
            if found is None or name not in found:
                found = {name: known[name]} if name in known else None
            if found is None:
                importer = next(file.name for file in files.values() if name in file.dependency)
                raise ReflectionFailed(
                    f"server reflection has no {name} (imported by {importer}): {REMEDY}, or "
                    "Reflection(fallback=...) one with this file"
                )
            files.update(found)
            if len(files) > _MAX_FILES:
                raise ReflectionFailed(f"server reflection: more than {_MAX_FILES} files: {REMEDY}")
        _fill(files, known)


def _fill(files: dict[str, FileDescriptorProto], known: _Files) -> None:
    for name, file in files.items():
        if name in known and _is_placeholder(file):
            files[name] = known[name]


def _is_placeholder(file: FileDescriptorProto) -> bool:
    """Whether a file says nothing: what some servers send for one that they do not have."""
    return not (
        file.message_type or file.enum_type or file.service or file.extension or file.dependency
    )
