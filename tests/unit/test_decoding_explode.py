"""``explode=`` and ``skip=`` with several paths, nested repeated fields, and maps."""

from __future__ import annotations

from typing import Any, NamedTuple

import faust
import pytest
from support.messages import message_class, streaming

from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ConfigurationError, ConversionError
from faust_grpc.types import Record

Batch = message_class("feed", "cases.feed.v1.Batch")
Frame = message_class("feed", "cases.feed.v1.Frame")
Node = message_class("deep", "cases.deep.Node")
Maps = message_class("maps", "cases.maps.M")


class Tick(faust.Record):
    seq: int
    sym: str


class LastTick(faust.Record):
    key: str
    value: Tick


class Numbered(NamedTuple):
    key: int
    value: str


def records(message: Any, **options: Any) -> tuple[Record, ...]:
    return build_decoder(streaming(type(message)), **options).records(message)


def test_brackets_go_through_all_elements_on_the_way() -> None:
    tree = Node(kids=[{"kids": [{"n": 1}, {"n": 2}]}, {}, {"kids": [{"n": 3, "kids": [{"n": 4}]}]}])
    assert [r.key for r in records(tree, explode="kids[].kids", key="n")] == [1, 2, 3]
    assert [r.key for r in records(tree, explode="kids[].kids[].kids[]", key="n")] == [4]
    below = Node(kids=[{"next": {"kids": [{"n": 5}]}}, {"next": {}}, {}])
    assert [r.key for r in records(below, explode="kids[].next.kids", key="n")] == [5]
    assert records(Node(), explode="kids[].kids", key="n") == ()


def test_elements_of_a_map_are_pairs_in_the_order_of_their_keys() -> None:
    batch = Batch(last={"B": {"seq": 2}, "A": {"seq": 1, "at": {"seconds": 7}}})
    found = records(batch, explode="last", key="key", timestamp="value.at")
    assert [(r.key, r.timestamp) for r in found] == [("A", 7.0), ("B", None)]
    name, tick = found[0].value
    assert (name, tick.seq) == ("A", 1)
    assert (found[1].value.key, found[1].value.value.seq) == ("B", 2)
    assert records(Batch(), explode="last", key="key") == ()


def test_elements_of_a_map_as_values() -> None:
    batch = Batch(last={"A": {"seq": 1, "sym": "a"}})
    (plain,) = records(batch, explode="last", value_type=dict)
    assert plain.value == {"key": "A", "value": {"seq": 1, "sym": "a", "px": 0.0, "at": None}}
    (record,) = records(batch, explode="last", value_type=LastTick)
    assert record.value == LastTick(key="A", value=Tick(seq=1, sym="a"))
    (called,) = records(batch, explode="last", value_type=lambda entry: entry.value.seq)
    assert called.value == 1
    maps = Maps(by_int={2: "two", -1: "minus"})
    found = records(maps, explode="by_int", key="key", value_type=Numbered)
    assert [(r.key, r.value) for r in found] == [(-1, Numbered(-1, "minus")), (2, (2, "two"))]


def test_brackets_go_through_the_values_of_a_map() -> None:
    with pytest.raises(ConfigurationError, match=r"explode='last\[\]\.value': it is message"):
        records(Batch(), explode="last[].value")


def test_several_paths_one_after_the_other() -> None:
    tree = Node(kids=[{"n": 1}, {"n": 2, "kids": [{"n": 3}]}], n=9)
    found = records(tree, explode=["kids[].kids", "kids"], key="n", timestamp="/n")
    assert [(r.key, r.timestamp) for r in found] == [(3, 9.0), (1, 9.0), (2, 9.0)]
    assert records(Node(), explode=("kids", "next.kids")) == ()


def test_several_paths_of_different_types() -> None:
    batch = Batch(ticks=[{"seq": 2, "sym": "b"}], last={"a": {"seq": 1}})
    found = records(
        batch,
        explode=("ticks", "last"),
        value_type={"ticks": Tick, "last": LastTick},
        key={"ticks": "sym", "last": "key"},
        timestamp={"ticks": ("seq", "ms")},
    )
    assert [(r.key, type(r.value), r.timestamp) for r in found] == [
        ("b", Tick, 0.002),
        ("a", LastTick, None),
    ]


@pytest.mark.parametrize(
    ("message", "skipped"),
    [
        (Frame(ping={}), True),
        (Frame(live=False), True),
        (Frame(fault={"code": 7}), True),
        (Frame(fault={"code": 8}), False),
        (Frame(tick={}), False),
        (Frame(), False),
    ],
    ids=repr,
)
def test_skip_with_several_paths(message: Any, skipped: bool) -> None:
    skip = ["ping", "live", lambda frame: frame.fault.code == 7]
    assert (records(message, skip=skip) == ()) is skipped


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"explode": 5}, "explode=5: give a field path, or a list of them"),
        ({"explode": ["ticks", 5]}, "explode=['ticks', 5]: give a field path, or a list of them"),
        ({"explode": ()}, "explode=(): is empty; leave it out"),
        ({"explode": "ticks[].seq"}, "explode='ticks[].seq': it is int in cases.feed.v1.Tick"),
        ({"explode": "ticks[].sq"}, "explode='ticks[].sq': cases.feed.v1.Tick has no field 'sq'"),
        (
            {"explode": ["ticks", "last"], "key": "seq"},
            "key='seq': cases.feed.v1.Batch.LastEntry has no field 'seq': there are: 'key'",
        ),
        (
            {"explode": ["ticks", "last"], "key": {"tick": "seq"}},
            "key: explode= has no path 'tick': did you mean 'ticks'?",
        ),
        (
            {"explode": "last", "value_type": Batch},
            "value_type=Batch: explode='last' is a map, whose elements are pairs",
        ),
        ({"skip": []}, "skip=[]: is empty; leave it out"),
        ({"skip": ["nxt"]}, "skip='nxt': cases.feed.v1.Batch has no field 'nxt'"),
        ({"skip": ["next", 5]}, "skip=5: give a field path or a callable"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_named(options: Any, text: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        records(Batch(), **options)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_path_through_a_repeated_field_says_how() -> None:
    with pytest.raises(ConfigurationError) as raised:
        records(Node(), explode="kids.kids")
    assert "'kids' is repeated" in str(raised.value)
    assert "write [] behind it" in str(raised.value)


def test_one_bad_element_makes_the_whole_message_a_dead_letter() -> None:
    batch = Batch(ticks=[{"seq": 1, "at": {"seconds": 1}}, {"seq": 2, "at": {"nanos": -1}}])
    with pytest.raises(ConversionError, match="out of range"):
        records(batch, explode="ticks", value_type=dict)
