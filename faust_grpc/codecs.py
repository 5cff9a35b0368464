"""Protobuf as a Faust serializer: topics and tables that carry messages."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from faust.serializers.codecs import Codec
from faust.types.codecs import CodecT
from google.protobuf import any_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message

from .decoding import message_decoder
from .encoding import encoder
from .exceptions import ConfigurationError, ConversionError, DecodeError, SchemaError, nearest
from .message_classes import message_class
from .schema import SchemaOption, schema_from
from .schema.files import PoolSchema

__all__ = ["AnyCodec", "ProtobufCodec"]


class ProtobufCodec(Codec):
    """Values as protobuf bytes of one message type.

    Give it as ``value_serializer`` (or ``key_serializer``) of a topic, or as ``serializer`` of a
    ``faust.Record`` class. A table has no such option: give it :attr:`type` as ``value_type``.

    What is written: a message, a dict of fields, or a Record, dataclass or other model with these
    fields. The bytes of equal values are equal (map entries are sorted), so they can be keys too.

    Arguments:
        schema: where the type comes from: a generated message class or module, a descriptor set
            (path or bytes), .proto files, or a ready schema. Not server reflection: what is in
            Kafka must be readable without the server.
        message: full name of the message type; not needed for a message class.
        value_type: what readers get, as for :class:`faust_grpc.GrpcSource`: ``None`` the message,
            ``dict``, a Record or other model class, or a callable.
        children: further codecs, as for :class:`faust.Codec`.

    Raises:
        ConfigurationError: there is no such type, or ``value_type`` does not fit it.
    """

    def __init__(
        self,
        schema: SchemaOption | type[Message] = None,
        message: str | None = None,
        *,
        value_type: Any = None,
        children: tuple[CodecT, ...] | None = None,
    ) -> None:
        super().__init__(children=children, schema=schema, message=message, value_type=value_type)
        #: Class of the messages.
        self.message_class = _message_class(schema, message)
        self._encode = encoder(self.message_class)
        self._parse, self._convert = message_decoder(self.message_class, value_type)
        # From the class: a message may have fields of these names.
        self._serialize = self.message_class.SerializePartialToString
        self._is_complete = self.message_class.IsInitialized

    @property
    def type(self) -> type:
        """A stand-in for ``value_type=`` of tables and topics: it brings this codec along."""
        return type(
            self.message_class.__name__,
            (),
            {
                "__doc__": f"Values are {self._name}, in protobuf.",
                "_options": SimpleNamespace(serializer=self, namespace=self._name),
                "from_data": staticmethod(_as_it_is),
            },
        )

    def _dumps(self, obj: Any) -> bytes:
        message = self._encode(obj)
        if not self._is_complete(message):
            missing = ", ".join(message.FindInitializationErrors())  # type: ignore[attr-defined]  # not in the stub
            raise ConversionError(f"{self._name}: without its required fields {missing}")
        return self._serialize(message, deterministic=True)

    def _loads(self, s: bytes) -> Any:
        return self._convert(self._parse(s))

    @property
    def _name(self) -> str:
        return cast(Descriptor, self.message_class.DESCRIPTOR).full_name

    def __repr__(self) -> str:
        chain = (node for node in self.nodes if node is not self)
        return " | ".join([f"ProtobufCodec({self._name!r})", *map(repr, chain)])


class AnyCodec(Codec):
    """Messages of generated classes, each with its type: as a ``google.protobuf.Any``.

    Faust knows it as ``"protobuf"``. The types are looked up among the generated modules that the
    program has imported.
    """

    def __init__(self, children: tuple[CodecT, ...] | None = None) -> None:
        super().__init__(children=children)
        self._parse, _ = message_decoder(any_pb2.Any, None)
        self._parsers: dict[str, Callable[[bytes], Message]] = {}

    def _dumps(self, obj: Any) -> bytes:
        if not isinstance(obj, Message):
            raise ConversionError(
                f"serializer 'protobuf': a {type(obj).__name__} does not say its message type: "
                "give a message, or use ProtobufCodec(schema, message)"
            )
        packed = any_pb2.Any()
        packed.Pack(obj, deterministic=True)
        return packed.SerializeToString()

    def _loads(self, s: bytes) -> Any:
        packed = cast(any_pb2.Any, self._parse(s))
        name = packed.TypeName()
        parse = self._parsers.get(name)
        if parse is None:
            parse = self._parsers[name] = self._parser(name)
        return parse(packed.value)

    def _parser(self, name: str) -> Callable[[bytes], Message]:
        try:
            described = descriptor_pool.Default().FindMessageTypeByName(name)
        except KeyError:
            raise DecodeError(
                f"serializer 'protobuf': no generated module that is imported has {name!r}: "
                "import it, or use ProtobufCodec(schema, message)"
            ) from None
        parse, _ = message_decoder(message_class(described), None)
        return parse


def _as_it_is(value: Any, *, preferred_type: Any = None) -> Any:
    """Stand for ``Model.from_data``: the codec made the value already."""
    return value


def _message_class(schema: Any, message: str | None) -> type[Message]:
    if isinstance(schema, type) and issubclass(schema, Message):
        if message not in (None, schema.DESCRIPTOR.full_name):
            raise ConfigurationError(
                f"ProtobufCodec: message={message!r}, and the class is "
                f"{schema.DESCRIPTOR.full_name}: leave one out"
            )
        return schema
    if message is None:
        raise ConfigurationError("ProtobufCodec: message= is missing: give the type's full name")
    pool, known = _pool(schema)
    try:
        return message_class(pool.FindMessageTypeByName(message))
    except KeyError:
        clause = nearest(message, known)
        raise SchemaError(
            f"ProtobufCodec: there is no message type {message!r} in the schema: {clause}"
        ) from None


def _pool(schema: Any) -> tuple[DescriptorPool, list[str]]:
    """Return where to look a type up, and the names of the types that are there."""
    if isinstance(schema, ModuleType) and isinstance(
        file := getattr(schema, "DESCRIPTOR", None), FileDescriptor
    ):
        return file.pool, [m.full_name for m in file.message_types_by_name.values()]
    found = schema_from(schema)
    if not found.is_static:
        raise ConfigurationError(
            "ProtobufCodec: what is in Kafka must be readable without a server: give a descriptor "
            "set, .proto files or a generated class, not reflection"
        )
    if isinstance(found, PoolSchema):
        return found.pool, [
            described.full_name
            for name in found.files
            for described in found.pool.FindFileByName(name).message_types_by_name.values()
        ]
    file = found.service(found.services()[0]).file
    return file.pool, [m.full_name for m in file.message_types_by_name.values()]
