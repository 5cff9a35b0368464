"""Everything with a name that a server or a descriptor set has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import grpc.aio
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)

from ..exceptions import SchemaError, nearest
from ..schema import Method, ReflectionSchema, Schema, proto_text
from ..types import Metadata

__all__ = ["Catalogue", "Named"]

Type: TypeAlias = "Descriptor | EnumDescriptor"

#: The service that answers us is no news.
_PLUMBING = "grpc.reflection."


@dataclass(frozen=True)
class Named:
    """Something that was found by its name."""

    descriptor: ServiceDescriptor | MethodDescriptor | Descriptor | EnumDescriptor

    @property
    def method(self) -> Method | None:
        """The method, if it is one that a source can read."""
        if isinstance(self.descriptor, MethodDescriptor) and self.descriptor.server_streaming:
            return Method.of(self.descriptor)
        return None

    def text(self) -> str:
        """Return it as a .proto file has it, with the types that it needs."""
        described = self.descriptor
        if isinstance(described, ServiceDescriptor):
            return _file(described.file.package, [proto_text(described)])
        if isinstance(described, MethodDescriptor):
            types = _reached([described.input_type, described.output_type])
            service = described.containing_service
            blocks = [_method_text(described), *_type_texts(types, service.file.package)]
            return _file(service.file.package, blocks)
        package = described.file.package
        return _file(package, list(_type_texts(_reached([described]), package)))


class Catalogue:
    """Services, and what is reached from their methods.

    Arguments:
        services: the services.
    """

    def __init__(self, services: Iterable[ServiceDescriptor]) -> None:
        self._services = list(services)

    @classmethod
    def of(cls, schema: Schema) -> Catalogue:
        """Return what a static schema knows."""
        return cls(schema.service(name) for name in schema.services())

    @classmethod
    async def ask(
        cls, grpc_channel: grpc.aio.Channel, metadata: Metadata, name: str | None
    ) -> Catalogue:
        """Ask a server by reflection.

        Arguments:
            grpc_channel: where to ask.
            metadata: sent with each question.
            name: what will be looked for; of one service only that service is asked for.

        Raises:
            ReflectionFailed: the server cannot tell.
        """
        schema = ReflectionSchema()
        listed = await schema.fetch_services(grpc_channel, metadata)
        wanted = (name or "").strip("/").replace("/", ".")
        exact = [service for service in listed if f"{wanted}.".startswith(f"{service}.")]
        asked = exact or [service for service in listed if not service.startswith(_PLUMBING)]
        return cls(
            [await schema.fetch_service(service, grpc_channel, metadata) for service in asked]
        )

    @property
    def services(self) -> tuple[ServiceDescriptor, ...]:
        """The services."""
        return tuple(self._services)

    def overview(self) -> str:
        """Return the services with their methods, one line each."""
        blocks = [
            "\n".join([service.full_name, *_method_lines(service)]) for service in self._services
        ]
        return "\n\n".join(blocks) or "no services"

    def find(self, name: str) -> Named:
        """Return what has a name; the last parts of it do when only one thing ends in them.

        Raises:
            SchemaError: nothing has, or several things have; the text names them.
        """
        everything = dict(self._everything())
        wanted = _key(name)
        exact = {full: item for full, item in everything.items() if _key(full) == wanted}
        ending = {
            full: item for full, item in everything.items() if _key(full).endswith(f".{wanted}")
        }
        found = exact or ending
        if len(found) == 1:
            return Named(*found.values())
        if found:
            raise SchemaError(f"{name!r} is the end of several names: {', '.join(sorted(found))}")
        short = {full.replace("/", ".").rpartition(".")[2] for full in everything}
        known = short if "." not in wanted else everything
        raise SchemaError(f"nothing here has the name {name!r}: {nearest(name, known)}")

    def _everything(
        self,
    ) -> Iterator[tuple[str, ServiceDescriptor | MethodDescriptor | Descriptor | EnumDescriptor]]:
        for service in self._services:
            yield service.full_name, service
            for method in service.methods:
                yield f"{service.full_name}/{method.name}", method
                for described in _reached([method.input_type, method.output_type]):
                    yield described.full_name, described


def _key(name: str) -> str:
    return name.strip("/").replace("/", ".")


def _method_lines(service: ServiceDescriptor) -> Iterator[str]:
    width = max((len(method.name) for method in service.methods), default=0)
    package = service.file.package
    for method in service.methods:
        asked = _streamed(method.client_streaming, method.input_type, package)
        answered = _streamed(method.server_streaming, method.output_type, package)
        yield f"  {method.name:{width}}  {asked} -> {answered}"


def _streamed(streaming: bool, described: Descriptor, package: str) -> str:
    name = described.full_name.removeprefix(f"{package}.") if package else described.full_name
    return f"stream {name}" if streaming else name


def _method_text(method: MethodDescriptor) -> str:
    """Return the service with this method only."""
    service = method.containing_service
    wanted = f"  rpc {method.name}("
    lines = [line for line in proto_text(service).splitlines() if line.startswith(wanted)]
    if not method.server_streaming:
        lines.insert(0, "  // A source cannot read it: its response is not a stream.")
    return "\n".join([f"service {service.name} {{", *lines, "}"])


def _type_texts(types: Iterable[Type], package: str) -> Iterator[str]:
    for described in _outermost(types):
        text = proto_text(described)
        other = described.file.package
        yield text if other == package else f"// package {other or '(none)'}\n{text}"


def _file(package: str, blocks: list[str]) -> str:
    return "\n\n".join([f"package {package};"] * bool(package) + blocks)


def _reached(roots: Iterable[Type]) -> list[Type]:
    """Return types and all types that their fields lead to, but for protobuf's own."""
    found: dict[str, Type] = {}
    waiting = list(roots)
    while waiting:
        described = waiting.pop(0)
        name = described.full_name
        if name in found or name.startswith("google.protobuf."):
            continue
        found[name] = described
        if isinstance(described, Descriptor):
            used = (field.message_type or field.enum_type for field in described.fields)
            waiting += [inner for inner in used if inner is not None]
    return [described for described in found.values() if not _is_entry(described)]


def _is_entry(described: Type) -> bool:
    """Return whether a type is only how a map is sent."""
    return isinstance(described, Descriptor) and bool(described.GetOptions().map_entry)


def _outermost(types: Iterable[Type]) -> Iterator[Type]:
    """Yield the types that stand at the top of a file, for those inside them, once."""
    seen = set()
    for described in types:
        while described.containing_type is not None:
            described = described.containing_type
        if described.full_name not in seen:
            seen.add(described.full_name)
            yield described
