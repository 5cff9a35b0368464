"""``value_type=``: Records, dataclasses, pydantic models, other message classes, callables."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Dict, List, NamedTuple, Optional, TypedDict  # noqa: UP035 - as Faust's users write

import faust
import pydantic
import pytest
from faust.models.fields import StringField
from pydantic.alias_generators import to_camel
from support.messages import case_bytes, case_class, message_class, streaming

from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ConfigurationError, ConversionError

Batch = message_class("feed", "cases.feed.v1.Batch")
Tick = message_class("feed", "cases.feed.v1.Tick")
P = message_class("presence", "cases.presence.P")
M = message_class("maps", "cases.maps.M")
E = message_class("enums", "cases.enums.E")
N = message_class("numbers", "cases.numbers.N")
Wkt = message_class("wkt", "cases.wkt.Wkt")
Names = message_class("names", "cases.names.Names")
Node = message_class("deep", "cases.deep.Node")


class TickRecord(faust.Record):
    seq: int
    sym: str
    at: Optional[datetime]  # noqa: UP045
    px: float = 0.5


class BatchRecord(faust.Record):
    ticks: List[TickRecord]  # noqa: UP006
    last: Dict[str, TickRecord]  # noqa: UP006
    cursor: bytes = faust.models.fields.BytesField(input_name="next")


class NodeRecord(faust.Record):
    n: int
    next: Optional[NodeRecord] = None  # noqa: UP045


class TickTuple(NamedTuple):
    seq: int
    at: datetime | None
    price: float = 0.5


@dataclass(frozen=True)
class TickData:
    seq: int
    price: Decimal = field(metadata={"field": "px"})
    at: datetime | None = None
    note: list[str] = field(default_factory=list)


@dataclass
class BatchData:
    ticks: tuple[TickData, ...]
    last: Mapping[str, TickData]


@dataclass
class NodeData:
    n: int
    next: NodeData | None
    kids: list[NodeData]


class TickModel(pydantic.BaseModel):
    seq: int
    sym: str
    at: datetime | None


class BatchModel(pydantic.BaseModel):
    ticks: list[TickModel]


class Alias(enum.Enum):
    ZERO = "zero"
    STARTED = "started"
    NEG = "neg"


def convert(value_type: Any, message: Any) -> Any:
    decoder = build_decoder(streaming(type(message)), value_type=value_type)
    assert not decoder.value_is_message
    return decoder.records(message)[0].value


MESSAGE = Batch(
    ticks=[{"seq": 1, "sym": "A", "px": 2.5, "at": {"seconds": 1}}, {"seq": 2}],
    next=b"\xff",
    last={"A": {"seq": 3}},
)
AT = datetime(1970, 1, 1, 0, 0, 1, tzinfo=timezone.utc)


def test_a_record_with_records_in_it() -> None:
    batch = convert(BatchRecord, MESSAGE)
    assert batch == BatchRecord(
        ticks=[
            TickRecord(seq=1, sym="A", px=2.5, at=AT),
            TickRecord(seq=2, sym="", px=0.0, at=None),
        ],
        cursor=b"\xff",
        last={"A": TickRecord(seq=3, sym="", px=0.0, at=None)},
    )
    assert isinstance(batch.ticks[0], TickRecord)
    assert batch.last["A"].seq == 3
    assert "TickRecord" in repr(batch)


def test_a_record_is_as_faust_makes_it() -> None:
    """Records are made around their constructor: nothing may tell."""
    ours = convert(TickRecord, MESSAGE.ticks[0])
    fausts = TickRecord(seq=1, sym="A", px=2.5, at=AT)
    assert ours == fausts
    assert vars(ours) == vars(fausts)
    assert hash(ours) == hash(fausts)
    assert ours.asdict() == fausts.asdict()
    assert ours.to_representation() == fausts.to_representation()
    assert ours.derive(seq=5).seq == 5
    assert TickRecord.loads(ours.dumps(serializer="json"), serializer="json").seq == 1
    assert ours.validate() == []
    ours.seq = 9
    assert ours.seq == 9


def test_two_records_share_nothing() -> None:
    first, second = (convert(BatchRecord, MESSAGE) for _ in range(2))
    first.ticks.append(1)
    assert len(second.ticks) == 2
    assert vars(first)["__evaluated_fields__"] is not vars(second)["__evaluated_fields__"]


def test_a_record_with_a_constructor_of_its_own_is_constructed() -> None:
    class Counted(faust.Record):
        seq: int

        def __post_init__(self) -> None:
            self.twice = 2 * self.seq

    class Coerced(faust.Record, coerce=True):
        seq: int
        sym: str

    class Strict(faust.Record, validation=True):
        sym: str = StringField(max_length=1)

    assert convert(Counted, Tick(seq=4)).twice == 8
    assert convert(Coerced, Tick(seq=4)).seq == 4
    assert convert(Strict, Tick(sym="a")).sym == "a"
    with pytest.raises(ConversionError, match="ValidationError"):
        convert(Strict, Tick(sym="long"))


def test_a_record_with_enums_and_decimals() -> None:
    class Rich(faust.Record):
        one: Alias
        many: List[Alias]  # noqa: UP006

    rich = convert(Rich, E(one=1, many=[0]))
    assert (rich.one, rich.many) == (Alias.STARTED, [Alias.ZERO])


def test_unset_fields_take_the_default_of_the_class() -> None:
    class Defaults(faust.Record):
        opt_i: int = 7
        opt_s: Optional[str] = None  # noqa: UP045

    found = convert(Defaults, P())
    assert (found.opt_i, found.opt_s) == (7, None)
    found = convert(Defaults, P(opt_i=0, opt_s=""))
    assert (found.opt_i, found.opt_s) == (0, "")


def test_dataclasses() -> None:
    batch = convert(BatchData, MESSAGE)
    assert batch.ticks == (TickData(1, Decimal("2.5"), AT), TickData(2, Decimal("0.0")))
    assert batch.last == {"A": TickData(3, Decimal("0.0"))}


def test_named_tuples() -> None:
    assert convert(TickTuple, Tick(seq=3)) == TickTuple(3, None, 0.5)


def test_an_annotation_that_cannot_be_read() -> None:
    @dataclass
    class Lost:
        seq: Nowhere  # type: ignore[name-defined]  # noqa: F821 - that is the point

    with pytest.raises(ConfigurationError, match="value_type=Lost: an annotation cannot be read"):
        convert(Lost, Tick())


def test_recursive_types() -> None:
    message = Node(n=1, next={"n": 2}, kids=[{"n": 3}])
    assert convert(NodeData, message) == NodeData(1, NodeData(2, None, []), [NodeData(3, None, [])])
    assert convert(NodeRecord, message).next.n == 2
    assert convert(dict, message)["kids"][0]["n"] == 3


def test_pydantic_models() -> None:
    batch = convert(BatchModel, MESSAGE)
    assert batch == BatchModel(
        ticks=[TickModel(seq=1, sym="A", at=AT), TickModel(seq=2, sym="", at=None)]
    )


def test_what_pydantic_refuses_is_a_conversion_error() -> None:
    class Positive(pydantic.BaseModel):
        seq: pydantic.PositiveInt

    with pytest.raises(ConversionError, match="Positive: 1 validation error") as raised:
        convert(Positive, Tick())
    assert "\n" not in str(raised.value)


def test_pydantic_models_with_names_of_their_own() -> None:
    class Inner(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(alias_generator=to_camel)

        opt_i: int | None
        sub: Inner | None = None

    class Outer(pydantic.BaseModel):
        from_: str
        number: int = pydantic.Field(alias="class")

    class Many(pydantic.BaseModel):
        ticks: list[TickModel]
        last: dict[str, Renamed]
        cursor: bytes = pydantic.Field(alias="next")

    class Renamed(pydantic.BaseModel):
        number: int = pydantic.Field(alias="seq")

    Many.model_rebuild()
    assert convert(Outer, Names(**{"from": "f", "class": 3})).model_dump() == {
        "from_": "f",
        "number": 3,
    }
    found = convert(Inner, P(opt_i=1, sub={"opt_i": 2}))
    assert (found.opt_i, found.sub.opt_i, found.sub.sub) == (1, 2, None)

    class Elsewhere(pydantic.BaseModel):
        from_: str = pydantic.Field(validation_alias=pydantic.AliasChoices("nowhere", "from"))

    assert convert(Elsewhere, Names(**{"from": "f"})).from_ == "f"
    with pytest.raises(ConfigurationError, match="has no field 'nowhere'"):
        convert(pydantic.create_model("Lost", x=(int, pydantic.Field(alias="nowhere"))), P())
    many = convert(Many, MESSAGE)
    assert (many.last["A"].number, many.cursor, many.ticks[0].seq) == (3, b"\xff", 1)


def test_names_that_python_keeps_for_itself() -> None:
    @dataclass
    class Kept:
        from_: str
        class_: int

    assert convert(Kept, Names(**{"from": "f", "class": 3})) == Kept("f", 3)


def test_typed_dict_is_a_dict() -> None:
    class Shape(TypedDict):
        seq: int

    assert convert(Shape, Tick(seq=3))["seq"] == 3


def test_a_generated_class_of_another_pool() -> None:
    other = message_class("feed", "cases.feed.v1.Tick")
    found = convert(other, Tick(seq=3))
    assert isinstance(found, other)
    assert found.seq == 3
    assert build_decoder(streaming(Tick), value_type=Tick).value_is_message


@pytest.mark.parametrize("name", ["FromString", "deserialize"])
def test_a_class_of_another_protobuf_library(name: str) -> None:
    foreign = type("Foreign", (), {name: staticmethod(lambda raw: (name, raw))})
    assert convert(foreign, Tick(seq=3)) == (name, Tick(seq=3).SerializeToString())


def test_any_callable() -> None:
    assert convert(lambda tick: tick.seq + 1, Tick(seq=3)) == 4


def test_what_a_callable_raises_is_a_conversion_error() -> None:
    with pytest.raises(ConversionError, match="value_type: ZeroDivisionError: "):
        convert(lambda tick: 1 / 0, Tick())


@pytest.mark.parametrize("value_type", [TickRecord, TickData, TickModel])
def test_fields_that_the_message_lacks(value_type: Any) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build_decoder(streaming(Node), value_type=value_type)
    text = str(raised.value)
    assert f"value_type={value_type.__name__}: cases.deep.Node has no field 'seq'" in text
    assert f"{value_type.__name__} has: seq, " in text
    assert "the message has: n, next, kids" in text


def test_a_message_class_of_another_type_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"it is a cases\.deep\.Node, and the messages"):
        build_decoder(streaming(Tick), value_type=Node)


@pytest.mark.parametrize("value_type", ["dict", 5, {}])
def test_what_is_no_value_type(value_type: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"value_type=.*: give None, dict, ProtoJson, a faust\.Record"
    ):
        build_decoder(streaming(Tick), value_type=value_type)


def test_an_abstract_record_is_refused() -> None:
    class Base(faust.Record, abstract=True):
        seq: int

    with pytest.raises(ConfigurationError, match="value_type=Base: the Record is abstract"):
        build_decoder(streaming(Tick), value_type=Base)


def test_extremes_survive_in_a_record() -> None:
    class Extremes(faust.Record):
        i64: int
        u64: int
        by: bytes

    cls = case_class("numbers_extremes")
    message = cls.FromString(case_bytes("numbers_extremes"))
    found = convert(Extremes, message)
    assert (found.i64, found.u64, found.by) == (-(2**63), 2**64 - 1, b"")
