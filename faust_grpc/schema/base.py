"""A method's name → its request and response types."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from ..exceptions import SchemaError, nearest
from ..message_classes import message_class

__all__ = ["ListedSchema", "Method", "Schema", "split_name"]


@dataclass(frozen=True)
class Method:
    """One gRPC method.

    Arguments:
        full_name: ``package.Service/Method``.
        request_class: class of the messages sent.
        response_class: class of the messages received.
        client_streaming: any number of requests per call.
        server_streaming: any number of responses per call.
    """

    full_name: str
    request_class: type[Message]
    response_class: type[Message]
    client_streaming: bool
    server_streaming: bool

    @property
    def path(self) -> str:
        """The name as gRPC sends it: ``/package.Service/Method``."""
        return "/" + self.full_name

    @property
    def input(self) -> Descriptor:
        """The request type."""
        return cast(Descriptor, self.request_class.DESCRIPTOR)

    @property
    def output(self) -> Descriptor:
        """The response type."""
        return cast(Descriptor, self.response_class.DESCRIPTOR)

    @classmethod
    def of(cls, descriptor: MethodDescriptor) -> Method:
        """Return the method that a descriptor describes."""
        service = descriptor.containing_service
        return cls(
            full_name=f"{service.full_name}/{descriptor.name}",
            request_class=message_class(descriptor.input_type),
            response_class=message_class(descriptor.output_type),
            client_streaming=descriptor.client_streaming,
            server_streaming=descriptor.server_streaming,
        )


def split_name(name: str) -> tuple[str, str]:
    """Return (service, method) of a method's name in any of its spellings.

    Arguments:
        name: ``pkg.Service/Method``, ``/pkg.Service/Method`` or ``pkg.Service.Method``.

    Raises:
        SchemaError: it is none of them.
    """
    bare = name.removeprefix("/")
    service, separator, method = bare.rpartition("/" if "/" in bare else ".")
    if not separator or not service or not method or "/" in service:
        raise SchemaError(f"method {name!r}: write it as 'package.Service/Method'")
    return service, method


class Schema(ABC):
    """Where the types of a source's method come from."""

    #: The types are here: :meth:`method` works at declaration, without a server.
    is_static: ClassVar[bool] = True

    @abstractmethod
    def services(self) -> list[str]:
        """Return the full names of the services known, sorted."""

    @abstractmethod
    def service(self, name: str) -> ServiceDescriptor:
        """Return a service by its full name.

        Raises:
            SchemaError: there is no such service; the text names the nearest.
        """

    def methods(self, service: str) -> list[Method]:
        """Return every method of a service, in its order, unary ones included.

        Raises:
            SchemaError: there is no such service.
        """
        return [Method.of(descriptor) for descriptor in self.service(service).methods]

    def find(self, name: str) -> Method:
        """Return a method of any kind.

        Arguments:
            name: ``pkg.Service/Method``, ``/pkg.Service/Method`` or ``pkg.Service.Method``.

        Raises:
            SchemaError: there is no such service or method; the text names the nearest.
        """
        service_name, method_name = split_name(name)
        service = self.service(service_name)
        descriptor = service.methods_by_name.get(method_name)
        if descriptor is None:
            clause = nearest(method_name, service.methods_by_name)
            raise SchemaError(f"{service_name} has no method {method_name!r}: {clause}")
        return Method.of(descriptor)

    def method(self, name: str) -> Method:
        """Return a method that a source can read: one whose server streams.

        Arguments:
            name: as for :meth:`find`.

        Raises:
            SchemaError: there is no such method, or it is unary or streams from the client only.
        """
        method = self.find(name)
        if method.server_streaming:
            return method
        kind = "client-streaming only" if method.client_streaming else "unary"
        service = method.full_name.rpartition("/")[0]
        streaming = [other.full_name for other in self.methods(service) if other.server_streaming]
        there = ", ".join(map(repr, streaming)) or "none"
        raise SchemaError(
            f"{method.full_name} is {kind}: a source needs a method whose response is a stream; "
            f"{service} has: {there}"
        )


class ListedSchema(Schema):
    """A schema whose services are all known from the start."""

    #: What an error calls it.
    _origin: str
    #: By full name.
    _services: Mapping[str, ServiceDescriptor]

    def services(self) -> list[str]:
        return sorted(self._services)

    def service(self, name: str) -> ServiceDescriptor:
        try:
            return self._services[name]
        except KeyError:
            clause = nearest(name, self._services)
            raise SchemaError(f"{self._origin} has no service {name!r}: {clause}") from None
