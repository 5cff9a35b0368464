"""What events become in a topic."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import faust
import pytest
from faust.serializers import codecs
from google.protobuf.message import Message

from faust_grpc import ConfigurationError, ProtobufCodec, ProtoJson
from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ConversionError
from faust_grpc.schema import schema_from
from faust_grpc.sinks import RecordEncoder, TopicSink, sink_from
from faust_grpc.types import Record

SCHEMA = schema_from("examples/orders/orders.binpb")
METHOD = SCHEMA.method("shop.v1.OrderService/StreamOrders")
HEADERS = {"grpc-target": b"localhost:50051", "grpc-method": b"shop.v1.OrderService/StreamOrders"}


class Order(faust.Record):
    order_id: str
    sequence: int
    status: int


class Item(faust.Record, serializer="json"):
    sku: str


@pytest.fixture
def app() -> faust.App:
    return faust.App("sinks", broker="kafka://localhost:1")


def order(**fields: Any) -> Message:
    fields = {"order_id": "o1", "sequence": 2**63, "status": 2, **fields}
    return METHOD.response_class(**fields)


def records(
    topic: Any, message: Message | None = None, *, own_headers: bool = True, **options: Any
) -> tuple[Record, ...]:
    own = {name: options[name] for name in ("value_type", "explode") if name in options}
    encoder = RecordEncoder(TopicSink(topic, headers=own_headers), HEADERS, **own)
    decoder = build_decoder(METHOD, **{**options, "value_type": encoder.value_type})
    return encoder.decoder(decoder, METHOD).records(message or order())


def value(topic: Any, message: Message | None = None, **options: Any) -> Any:
    (record,) = records(topic, message, **options)
    return record.value


# Values


def test_json_of_the_plain_dict_is_the_default(app: faust.App) -> None:
    written = json.loads(value(app.topic("t")))
    assert written["sequence"] == 2**63
    assert written["status"] == "STATUS_PAID"
    assert written == json.loads(value(app.topic("t"), value_type=dict))
    assert written == json.loads(value(app.topic("t", value_serializer="json")))


def test_a_record_of_the_topic_is_checked_and_read_back(app: faust.App) -> None:
    topic = app.topic("t", value_type=Order)
    read = app.serializers.loads_value(topic.value_type, value(topic))
    assert read == Order(order_id="o1", sequence=2**63, status=2)


def test_a_record_that_does_not_fit_is_refused_at_once(app: faust.App) -> None:
    class Wrong(faust.Record):
        colour: str

    with pytest.raises(ConfigurationError, match="colour"):
        records(app.topic("t", value_type=Wrong))


def test_the_source_has_the_first_word(app: faust.App) -> None:
    assert json.loads(value(app.topic("t"), value_type=ProtoJson))["sequence"] == str(2**63)
    assert value(app.topic("t"), value_type=lambda message: message.order_id) == b'"o1"'
    assert value(app.topic("t"), value_type=lambda message: b"raw") == b"raw"
    assert value(app.topic("t"), value_type=lambda message: None) is None


def test_raw_is_the_message(app: faust.App) -> None:
    topic = app.topic("t", value_type=bytes, value_serializer="raw")
    unknown = b"\xf2\x07\x03new"  # field 126
    raw = order().SerializeToString() + unknown
    message = METHOD.response_class.FromString(raw)
    again = METHOD.response_class.FromString(value(topic, message))
    assert again == message
    assert value(topic, message).endswith(unknown)


@pytest.mark.parametrize("value_type", [dict, Order])
def test_raw_of_what_has_no_bytes_is_refused(app: faust.App, value_type: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^sink=t: serializer 'raw' writes bytes, "):
        RecordEncoder(TopicSink(app.topic("t", value_serializer="raw")), {}, value_type=value_type)


def test_bytes_that_would_be_read_as_json_are_refused(app: faust.App) -> None:
    with pytest.raises(ConfigurationError, match="value_serializer='raw' too"):
        RecordEncoder(TopicSink(app.topic("t", value_type=bytes)), {})


def test_dict_is_no_type_of_a_topic(app: faust.App) -> None:
    with pytest.raises(ConfigurationError, match="leave it out of the topic"):
        RecordEncoder(TopicSink(app.topic("t", value_type=dict)), {})


def test_the_protobuf_codec(app: faust.App) -> None:
    codec = ProtobufCodec("examples/orders/orders.binpb", "shop.v1.Order")
    written = value(app.topic("t", value_serializer=codec))
    assert codec.loads(written).sequence == 2**63


@pytest.mark.parametrize("serializer", ["json|binary", "pickle_restricted"])
def test_any_other_codec_gets_the_plain_dict(app: faust.App, serializer: str) -> None:
    topic = app.topic("t", value_serializer=serializer)
    assert codecs.loads(serializer, value(topic))["order_id"] == "o1"


def test_an_unknown_codec_is_refused(app: faust.App) -> None:
    with pytest.raises(ConfigurationError, match="no such codec"):
        RecordEncoder(TopicSink(app.topic("t", value_serializer="yson")), {})


def test_what_cannot_be_written_is_bad_data_of_that_message(app: faust.App) -> None:
    with pytest.raises(ConversionError, match="cannot be JSON"):
        value(app.topic("t"), value_type=lambda message: object())
    with pytest.raises(ConversionError, match="more than producer_max_request_size"):
        value(app.topic("t"), order(order_id="x" * 1_100_000))


@pytest.mark.parametrize("total", [float("nan"), float("inf")])
def test_D03_numbers_that_json_lacks_are_text(app: faust.App, total: float) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = value(app.topic("t"), order(total=total))
    assert json.loads(text, parse_constant=refuse)["total"] == (
        "NaN" if total != total else "Infinity"
    )


# Keys


@pytest.mark.parametrize(
    ("options", "key", "written"),
    [
        ({}, "order_id", b"o1"),
        ({"key_type": str}, "order_id", b"o1"),
        ({"key_type": int}, "sequence", str(2**63).encode()),
        ({"key_serializer": "json"}, "order_id", b'"o1"'),
        ({}, lambda message: b"\x00", b"\x00"),
        ({}, lambda message: True, b"true"),
        ({}, lambda message: None, None),
        ({}, None, None),
        ({}, lambda message: Item(sku="a"), None),
    ],
)
def test_keys(app: faust.App, options: dict[str, Any], key: Any, written: bytes | None) -> None:
    topic = app.topic("t", **options)
    (record,) = records(topic, key=key)
    if isinstance(written, bytes) or key is None or key(order()) is None:
        assert record.key == written
    else:
        assert json.loads(record.key)["sku"] == "a"


@pytest.mark.parametrize("key", ["order_id", lambda message: b"\x00\xff"])
def test_keys_are_as_faust_writes_them(app: faust.App, key: Any) -> None:
    for options in ({}, {"key_serializer": "json"}, {"key_type": bytes}):
        topic: Any = app.topic("t", **options)
        (record,) = records(topic, key=key)
        made = order().order_id if key == "order_id" else key(order())  # type: ignore[attr-defined]
        assert record.key == topic.prepare_key(made, None, None, {})[0]


def test_a_key_that_is_no_scalar_needs_a_serializer(app: faust.App) -> None:
    with pytest.raises(ConversionError, match="give the topic a key_serializer="):
        records(app.topic("t"), key=lambda message: [1])


# Headers


def test_headers_tell_where_a_record_came_from(app: faust.App) -> None:
    (record,) = records(app.topic("t"))
    assert record.headers == {**HEADERS, "grpc-schema": b"shop.v1.Order"}
    (record,) = records(app.topic("t"), own_headers=False)
    assert record.headers is None


def test_the_element_is_the_schema(app: faust.App) -> None:
    item = {"sku": "a", "quantity": 1}
    written = records(app.topic("t"), order(items=[item, item]), explode="items")
    assert [record.headers["grpc-schema"] for record in written if record.headers] == [
        b"shop.v1.Item",
        b"shop.v1.Item",
    ]


class Signed(faust.Schema):
    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:
        headers["signature"] = b"s"
        return headers


def test_a_schema_of_ones_own_is_asked(app: faust.App) -> None:
    (record,) = records(app.topic("t", schema=Signed()), key="order_id")
    assert record.headers is not None
    assert record.headers["signature"] == b"s"
    assert record.headers["grpc-schema"] == b"shop.v1.Order"
    assert json.loads(record.value)["order_id"] == "o1"


# The option


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda app: sink_from("orders"), "give a topic"),
        (lambda app: sink_from(app.channel()), "give a topic"),
        (lambda app: sink_from(app.topic("a", "b")), "to one topic"),
        (lambda app: sink_from(app.topic(pattern="a.*")), "to one topic"),
        (lambda app: TopicSink(app.topic("a"), partition_by="hash"), "must be 'key' or 'split'"),
    ],
)
def test_wrong_sinks(app: faust.App, make: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        make(app)
