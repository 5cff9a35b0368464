"""Protobuf as a Faust serializer: what can be written, what is read, and what is refused."""

from __future__ import annotations

import dataclasses
import enum
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from importlib.metadata import entry_points
from typing import Any, NamedTuple
from uuid import UUID

import faust
import pytest
from faust.exceptions import ValueDecodeError
from faust.serializers.codecs import binary, get_codec
from google.protobuf import timestamp_pb2
from support.messages import CASES, SETS, case_bytes, message_class

from faust_grpc import AnyCodec, ProtobufCodec
from faust_grpc.exceptions import ConfigurationError, ConversionError, DecodeError, FieldError
from faust_grpc.schema import DescriptorSet

FEED = SETS / "feed.binpb"
Tick = message_class("feed", "cases.feed.v1.Tick")
AT = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)


class TickRecord(faust.Record):
    seq: int
    sym: str = ""
    px: float = 0.0
    at: datetime | None = None


class BatchRecord(faust.Record):
    ticks: list[TickRecord]
    last: dict[str, TickRecord]
    next: bytes = b""


@dataclasses.dataclass
class TickClass:
    number: int = dataclasses.field(default=0, metadata={"field": "seq"})
    sym: str = ""


class TickTuple(NamedTuple):
    seq: int
    at: float


def codec(message: str = "cases.feed.v1.Tick", **options: Any) -> ProtobufCodec:
    return ProtobufCodec(FEED, message, **options)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Tick(seq=1, sym="A"), {"seq": 1, "sym": "A"}),
        ({"seq": 1, "at": AT}, {"seq": 1, "at": AT}),
        ({"seq": 1, "sym": None}, {"seq": 1}),
        (TickRecord(seq=1, sym="A", at=AT), {"seq": 1, "sym": "A", "at": AT}),
        (TickClass(number=2, sym="B"), {"seq": 2, "sym": "B"}),
        (TickTuple(3, 1.5), {"seq": 3, "at": datetime.fromtimestamp(1.5, timezone.utc)}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_written(value: Any, expected: dict[str, Any]) -> None:
    made = codec()
    written = made.dumps(value)
    # The message out of another pool is of the same type.
    assert made.loads(written) == made.loads(made.dumps(expected))
    as_dict = codec(value_type=dict).loads(written)
    assert {name: as_dict[name] for name in expected} == expected


def test_models_in_models_go_round() -> None:
    batch = BatchRecord(ticks=[TickRecord(seq=1), TickRecord(seq=2, at=AT)], next=b"\xff", last={})
    batch.last["A"] = TickRecord(seq=3, sym="A")
    made = codec("cases.feed.v1.Batch", value_type=BatchRecord)
    assert made.loads(made.dumps(batch)) == batch
    app = faust.App("models", broker="kafka://127.0.0.1:9")
    written = app.serializers.dumps_value(BatchRecord, batch, serializer=made)
    assert app.serializers.loads_value(BatchRecord, written, serializer=made) == batch


def test_a_record_class_can_have_it_as_its_serializer() -> None:
    serializer: Any = codec(value_type=dict)

    class Tock(faust.Record, serializer=serializer):
        seq: int
        sym: str
        at: datetime | None = None

    app = faust.App("tock", broker="kafka://127.0.0.1:9")
    table: Any = app.Table("tocks", value_type=Tock)
    assert table.value_serializer is serializer
    tock = Tock(seq=1, sym="A", at=AT)
    written = app.serializers.dumps_value(Tock, tock)
    assert written == codec().dumps(tock)
    assert app.serializers.loads_value(Tock, written, serializer=serializer) == tock


def test_equal_values_have_equal_bytes() -> None:
    made = codec("cases.feed.v1.Batch")
    names = [f"k{number}" for number in range(50)]
    one = made.dumps({"last": {name: {"seq": 1} for name in names}})
    other = made.dumps({"last": {name: {"seq": 1} for name in reversed(names)}})
    assert one == other


def test_values_that_decoding_converts_are_converted_back() -> None:
    class Side(enum.Enum):
        BUY = "BUY"

    maps = ProtobufCodec(SETS / "maps.binpb", "cases.maps.M", value_type=dict)
    assert maps.loads(maps.dumps({"sides": {"a": Side.BUY, "b": 7, "c": "9"}}))["sides"] == {
        "a": "BUY",
        "b": 7,
        "c": 9,
    }
    number = UUID(int=5)
    assert maps.loads(maps.dumps({"blobs": {"a": number}}))["blobs"] == {"a": number.bytes}
    ticks = codec(value_type=dict)
    found = ticks.loads(ticks.dumps({"px": Decimal("0.5"), "sym": number, "seq": Decimal(3)}))
    assert (found["px"], found["sym"], found["seq"]) == (0.5, str(number), 3)
    wkt = ProtobufCodec(SETS / "wkt.binpb", "cases.wkt.Wkt", value_type=dict)
    assert wkt.loads(wkt.dumps({"took": 1.5}))["took"] == timedelta(seconds=1.5)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("wkt_any")])
def test_an_any_goes_round_as_a_dict(case: str) -> None:
    made = ProtobufCodec(SETS / CASES[case]["set"], CASES[case]["type"], value_type=dict)
    value = made.loads(case_bytes(case))
    assert made.loads(made.dumps(value)) == value


def test_names_that_python_keeps_for_itself() -> None:
    class Names(faust.Record):
        from_: str = ""
        class_: int = 0

    made = ProtobufCodec(SETS / "names.binpb", "cases.names.Names", value_type=Names)
    assert made.loads(made.dumps(Names(from_="a", class_=5))) == Names(from_="a", class_=5)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (5, ConversionError, "cases.feed.v1.Tick: cannot be made of a int: give a message, a dict"),
        (None, ConversionError, "cases.feed.v1.Tick: cannot be made of a NoneType"),
        ({"sek": 1}, FieldError, "cases.feed.v1.Tick.sek: cases.feed.v1.Tick has no such field"),
        ({"seq": "1"}, FieldError, "cases.feed.v1.Tick.seq is an int, and '1' is a str"),
        (timestamp_pb2.Timestamp(), FieldError, "it is a cases.feed.v1.Tick, and the message give"),
    ],
    ids=repr,
)
def test_what_cannot_be_written_is_named(value: Any, error: type, text: str) -> None:
    with pytest.raises(error) as raised:
        codec().dumps(value)
    assert text in str(raised.value)


def test_required_fields_are_asked_for() -> None:
    case = "legacy_missing_required"
    made = ProtobufCodec(SETS / CASES[case]["set"], CASES[case]["type"])
    with pytest.raises(ConversionError, match="without its required fields id"):
        made.dumps({})
    with pytest.raises(DecodeError, match="required"):
        made.loads(case_bytes(case))


def test_bytes_of_something_else_are_a_value_decode_error() -> None:
    app = faust.App("bad", broker="kafka://127.0.0.1:9")
    with pytest.raises(ValueDecodeError, match=r"are no cases\.feed\.v1\.Tick"):
        app.serializers.loads_value(None, b"\xff\xff", serializer=codec())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "ProtobufCodec: message= is missing: give the type's full name"),
        ((FEED,), "ProtobufCodec: message= is missing"),
        ((None, "cases.feed.v1.Tick"), "not reflection"),
        ((FEED, "cases.feed.v1.Tik"), "no message type 'cases.feed.v1.Tik' in the schema: did you"),
        ((Tick, "cases.feed.v1.Ask"), "and the class is cases.feed.v1.Tick: leave one out"),
        ((timestamp_pb2, "google.protobuf.Timestap"), "did you mean 'google.protobuf.Timestamp'?"),
        (("gone.binpb", "a.B"), "gone.binpb: no such file"),
    ],
    ids=repr,
)
def test_a_wrong_declaration_is_one_line(arguments: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        ProtobufCodec(*arguments)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_value_type_that_does_not_fit_is_told_at_declaration() -> None:
    with pytest.raises(ConfigurationError, match="has no field"):
        codec(value_type=BatchRecord)


def test_spellings_of_a_schema() -> None:
    ready = DescriptorSet(FEED)
    raw = FEED.read_bytes()
    for made in (
        ProtobufCodec(Tick),
        ProtobufCodec(ready, "cases.feed.v1.Tick"),
        ProtobufCodec(raw, "cases.feed.v1.Tick"),
        ProtobufCodec(schema=FEED, message="cases.feed.v1.Tick"),
    ):
        assert made.loads(b"\x08\x05").seq == 5
    made = ProtobufCodec(timestamp_pb2, "google.protobuf.Timestamp")
    assert made.message_class is timestamp_pb2.Timestamp


def test_it_can_be_chained_and_shown() -> None:
    chain = codec(value_type=dict) | binary()
    assert chain.loads(chain.dumps({"seq": 5}))["seq"] == 5
    assert repr(chain) == "ProtobufCodec('cases.feed.v1.Tick') | binary()"


def test_its_type_brings_it_to_tables_and_topics() -> None:
    app = faust.App("typed", broker="kafka://127.0.0.1:9")
    made = codec()
    table: Any = app.Table("ticks", value_type=made.type)
    assert table.value_serializer is made
    topic: Any = app.topic("ticks", value_type=made.type)
    assert topic.schema.value_serializer is made
    loaded = app.serializers.loads_value(made.type, b"\x08\x05", serializer=made)
    assert loaded.seq == 5
    assert app.serializers.loads_value(made.type, None, serializer=made) is None


def test_the_name_protobuf_is_registered() -> None:
    (entry,) = entry_points(group="faust.codecs", name="protobuf")
    assert entry.load() is AnyCodec
    registered = get_codec("protobuf")
    moment = timestamp_pb2.Timestamp(seconds=5)
    loaded = registered.loads(registered.dumps(moment))
    assert loaded == moment
    with pytest.raises(ConversionError, match="a dict does not say its message type"):
        registered.dumps({"seconds": 5})
    with pytest.raises(DecodeError, match=r"no generated module .* has 'cases\.feed\.v1\.Tick'"):
        registered.loads(registered.dumps(Tick(seq=1)))
    with pytest.raises(DecodeError, match=r"3 bytes are no google\.protobuf\.Any"):
        registered.loads(b"\xff\xff\xff")
