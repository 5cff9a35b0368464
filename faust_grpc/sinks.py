"""What a source's events become in a topic: key, value, headers, time and partition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import faust
from faust.models.base import Model
from faust.serializers.codecs import get_codec
from faust.types import TopicT
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from .codecs import AnyCodec, ProtobufCodec
from .decoding import Decoder, ExplodeOption
from .decoding.explode import Records, elements_at, new_record, paths_of
from .decoding.models import is_model, is_pydantic
from .decoding.plain import PlainConverters
from .encoding import serialized
from .exceptions import ConfigurationError, ConversionError, DataError
from .jsontext import json_text
from .types import CursorValue, Record

if TYPE_CHECKING:
    from .schema import Method

__all__ = ["RecordEncoder", "TopicSink", "cursor_header", "sink_from"]

PartitionBy = Literal["key", "split"]


@dataclass(frozen=True)
class TopicSink:
    """Where a source's events are written to, for agents anywhere to read.

    Arguments:
        topic: what ``app.topic(name, ...)`` returned. Its ``key_type``, ``value_type``,
            ``key_serializer`` and ``value_serializer`` say how records are written.
        partition_by: ``"key"``: equal keys share a partition, chosen as Kafka's own producers do;
            ``"split"``: a split's events share a partition, in the order of its stream. Default:
            by key when the source has ``key=``.
        headers: write headers that say where a record came from.
    """

    topic: TopicT
    partition_by: PartitionBy | None = None
    headers: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.topic, TopicT):
            raise ConfigurationError(
                f"sink={self.topic!r}: give a topic, app.topic(name), or TopicSink(topic, ...)"
            )
        if self.topic.pattern or len(self.topic.topics) != 1:
            raise ConfigurationError(
                f"sink={self.topic!s}: events are written to one topic; give app.topic(name)"
            )
        if self.partition_by not in (None, "key", "split"):
            raise ConfigurationError(
                f"TopicSink(partition_by={self.partition_by!r}): must be 'key' or 'split'"
            )

    @property
    def name(self) -> str:
        """The topic's name."""
        return self.topic.get_topic_name()


def sink_from(option: TopicT | TopicSink | None) -> TopicSink | None:
    """Return what ``sink=`` means.

    Raises:
        ConfigurationError: it is no topic.
    """
    if option is None or isinstance(option, TopicSink):
        return option
    return TopicSink(option)


class RecordEncoder:
    """Makes records of Kafka out of a source's events, as the topic's options say.

    Arguments:
        sink: where they go.
        source: what each record says of where it came from: headers by name.
        value_type: as the source declares it.
        explode: as the source declares it.

    Raises:
        ConfigurationError: the topic's serializer cannot write such values.
    """

    def __init__(
        self,
        sink: TopicSink,
        source: Mapping[str, bytes],
        *,
        value_type: Any = None,
        explode: ExplodeOption = None,
    ) -> None:
        self._topic = topic = sink.topic
        self._headers = dict(source) if sink.headers else None
        self._explode = explode
        self._schema: Any = topic.schema
        #: Most bytes of one record: what the broker would refuse must not stop the rest.
        self._limit: int = topic.app.conf.producer_max_request_size
        self._serializer = _serializer(topic)
        #: What the source's decoder is to make of a message.
        self.value_type = self._checked(value_type)

    def _checked(self, declared: Any) -> Any:
        name, serializer, wanted = self._topic, self._serializer, self._topic.value_type
        if serializer is None:
            if declared is None:
                return None  # the message, of which the bytes are taken
            if declared is dict or is_model(declared) or is_pydantic(declared):
                raise ConfigurationError(
                    f"sink={name!s}: serializer 'raw' writes bytes, and value_type="
                    f"{declared.__name__} has none: leave value_type= out for the message's own "
                    "bytes, or take another value_serializer= for the topic"
                )
            return declared
        if wanted is bytes and serializer is get_codec("json"):
            raise ConfigurationError(
                f"sink={name!s}: value_type=bytes is read as JSON unless the topic says "
                "value_serializer='raw' too"
            )
        if wanted is dict:
            raise ConfigurationError(
                f"sink={name!s}: value_type=dict is nothing that Faust can read: leave it out of "
                "the topic, whose JSON is read as dicts then"
            )
        if declared is not None or isinstance(serializer, (ProtobufCodec, AnyCodec)):
            return declared
        return wanted if is_model(wanted) or is_pydantic(wanted) else dict

    def decoder(self, decoder: Decoder, method: Method) -> Decoder:
        """Return a decoder whose events are records: bytes, and headers.

        Whatever cannot be written is bad data of that message, as what cannot be decoded.

        Arguments:
            decoder: makes events of messages.
            method: whose messages they are.
        """
        records = self._records(decoder.records, self._own_headers(method))
        return Decoder(
            method.response_class,
            records,
            value_is_message=False,
            bad_timestamps=decoder.bad_timestamps,
        )

    def _own_headers(self, method: Method) -> Mapping[str, bytes] | None:
        if self._headers is None:
            return None
        types = {elements_at(method.output, path)[0] for path in paths_of(self._explode)}
        if not types:
            types = {method.output}
        if len(types) > 1:
            return self._headers  # of several types no one is right for all
        return {**self._headers, "grpc-schema": types.pop().full_name.encode()}

    def _records(self, events: Records, own: Mapping[str, bytes] | None) -> Records:
        key_of, value_of, limit = self._key(), self._value(), self._limit
        plain = type(self._schema) is faust.Schema

        def encode(event: Record) -> Record:
            headers: Any = own
            if event.headers:
                headers = {**(own or {}), **event.headers}
            if not plain:  # a schema of the user's may add headers
                headers = dict(headers or {})
            key, value = key_of(event.key, headers), value_of(event.value, headers)
            if (len(value) if value is not None else 0) > limit:
                raise ConversionError(
                    f"value: {len(value)} bytes are more than producer_max_request_size={limit}"
                )
            return new_record(Record, (key, value, event.timestamp, headers))

        def records(message: Any) -> tuple[Record, ...]:
            try:
                return tuple([encode(event) for event in events(message)])
            except DataError:
                raise
            except Exception as exc:  # any of the user's codecs
                raise ConversionError(f"sink: {type(exc).__name__}: {exc}") from exc

        return records

    # One value in, bytes out; ``headers`` is what a schema of the user's may add to.

    def _key(self) -> Callable[[Any, Any], Any]:
        topic: Any = self._topic  # its interface lacks the headers argument
        codec = _codec(self._schema.key_serializer or topic.app.conf.key_serializer)
        text_is_enough = type(self._schema) is faust.Schema and codec in (None, get_codec("raw"))

        def write(key: Any, headers: Any) -> Any:
            if text_is_enough and not isinstance(key, Model):
                return _key_text(key)
            return topic.prepare_key(key, None, None, headers)[0]

        return write

    def _value(self) -> Callable[[Any, Any], Any]:
        topic: Any = self._topic
        is_json = self._serializer is get_codec("json") and type(self._schema) is faust.Schema
        is_raw = self._serializer is None
        plain = PlainConverters()  # for messages of other types than the source's own

        def write(value: Any, headers: Any) -> Any:
            if isinstance(value, Message):
                if is_raw:
                    # Through the class: a message may have a field of that name.
                    return type(value).SerializePartialToString(value)
                if is_json:
                    value = plain.message(cast(Descriptor, value.DESCRIPTOR))(value)
            elif value is None or type(value) is bytes:
                return value
            elif is_raw:
                value = _raw(value)
            if is_json and not isinstance(value, Model):
                return json_text(value)
            return topic.prepare_value(value, None, None, headers)[0]

        return write


def _serializer(topic: TopicT) -> Any:
    """Return the codec of a topic's values; ``None`` for bytes as they are."""
    codec = _codec(topic.schema.value_serializer or topic.app.conf.value_serializer)
    return None if codec is get_codec("raw") else codec


def _codec(serializer: Any) -> Any:
    try:
        return get_codec(serializer)
    except KeyError:
        raise ConfigurationError(f"serializer {serializer!r}: Faust has no such codec") from None


def _key_text(key: Any) -> bytes | None:
    """Return a key as Faust reads it back: text in UTF-8, numbers as text."""
    if key is None or type(key) is bytes:
        return key
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, bool):
        return b"true" if key else b"false"
    if isinstance(key, (int, float)):
        return str(key).encode()
    raise ConversionError(
        f"key: a {type(key).__name__} is neither text, a number nor bytes: give the topic a "
        "key_serializer="
    )


def _raw(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    data = serialized(value)
    if data is None:
        raise ConversionError(
            f"value: serializer 'raw' takes bytes, and this is a {type(value).__name__}"
        )
    return data


def cursor_header(cursor: CursorValue) -> bytes:
    """Return a cursor as a header: text, or the bytes that it is."""
    return cursor if isinstance(cursor, bytes) else str(cursor).encode()
