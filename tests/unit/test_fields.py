"""Field paths, read and written on the messages of small .proto files."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass
from support.messages import message_class

from faust_grpc.exceptions import FieldError
from faust_grpc.fields import (
    check_value,
    getter,
    has_presence,
    in_oneof,
    is_shadowed,
    kind_of,
    message_at,
    setter,
)
from faust_grpc.requests import build_request
from faust_grpc.schema import DescriptorSet

Batch = message_class("feed", "cases.feed.v1.Batch")
Frame = message_class("feed", "cases.feed.v1.Frame")
P = message_class("presence", "cases.presence.P")
M = message_class("maps", "cases.maps.M")
E = message_class("enums", "cases.enums.E")
N = message_class("numbers", "cases.numbers.N")
Legacy = message_class("legacy", "cases.legacy.L")
Names = message_class("names", "cases.names.Names")


def read(message: Any, path: str) -> Any:
    return getter(message.DESCRIPTOR, path)(message)


def write(message: Any, path: str, value: Any) -> Any:
    setter(message.DESCRIPTOR, path)(message, value)
    return message


@pytest.mark.parametrize(
    ("message", "path", "value"),
    [
        (Frame(), "tick.seq", None),
        (Frame(tick={}), "tick.seq", 0),
        (Frame(tick={"seq": 7}), "tick.seq", 7),
        (Frame(tick={"at": {"seconds": 5}}), "tick.at.seconds", 5),
        (Frame(tick={}), "tick.at.seconds", None),
        (Frame(live=False), "live", False),
        (Frame(), "live", None),
        (P(), "imp_i", 0),
        (P(), "opt_i", None),
        (P(opt_i=0), "opt_i", 0),
        (P(), "sub", None),
        (P(sub={"sub": {"imp_s": "x"}}), "sub.sub.imp_s", "x"),
        (P(sub={}), "sub.opt_i", None),
        (P(r=[4, 5]), "r[0]", 4),
        (P(r=[4, 5]), "r[-1]", 5),
        (P(r=[4, 5]), "r[2]", None),
        (P(r=[4, 5]), "r[-3]", None),
        (Batch(), "ticks[0].seq", None),
        (Batch(ticks=[{"seq": 1}, {"seq": 2}]), "ticks[-1].seq", 2),
        (Batch(ticks=[{"at": {"nanos": 3}}]), "ticks[0].at.nanos", 3),
        (Batch(last={"A": {"seq": 3}}), "last.A.seq", 3),
        (Batch(last={"a.b": {"seq": 3}}), "last[a.b].seq", 3),
        (Batch(last={"A": {"seq": 3}}), "last.B.seq", None),
        (M(by_int={-1: "x"}), "by_int[-1]", "x"),
        (M(by_int={-1: "x"}), "by_int.0", None),
        (M(by_bool={True: "x"}), "by_bool.true", "x"),
        (Legacy(), "name", "nobody"),
        (Legacy(), "loose", None),
        (Legacy(pos={"x": 3}), "pos.x", 3),
        (Names(**{"from": "f"}), "from", "f"),
    ],
    ids=repr,
)
def test_getter_honours_presence(message: Any, path: str, value: Any) -> None:
    found = read(message, path)
    assert found == value
    assert type(found) is type(value)


def test_reading_leaves_the_message_alone() -> None:
    batch = Batch()
    read(batch, "last.A.seq")
    read(Frame(), "tick.seq")
    assert not batch.ListFields()


def test_getter_may_end_on_a_message_or_container() -> None:
    batch = Batch(ticks=[{"seq": 1}])
    assert list(read(batch, "ticks")) == [batch.ticks[0]]
    assert read(batch, "ticks[0]") == batch.ticks[0]
    assert read(Frame(tick={"seq": 1}), "tick").seq == 1


@pytest.mark.parametrize(
    ("cls", "path", "text"),
    [
        (Batch, "tikcs", "cases.feed.v1.Batch has no field 'tikcs': did you mean 'ticks'?"),
        (
            Batch,
            "ticks[0].sq",
            "cases.feed.v1.Tick has no field 'sq' (in 'ticks[0].sq'): did you mean 'seq'?",
        ),
        (Batch, "ticks.seq", "'ticks' is repeated: write ticks[0] or ticks[-1]"),
        (Batch, "ticks[x]", "'ticks' is repeated: write ticks[0] or ticks[-1]"),
        (Batch, "next.x", "'next' is a bytes: nothing can follow it"),
        (Batch, "next[0]", "'next' is a bytes: nothing can follow it"),
        (Frame, "tick[0]", "'tick' is a message: nothing can follow it"),
        (M, "by_int.x", "the keys of 'by_int' are int, not 'x'"),
        (M, "by_bool.1", "the keys of 'by_bool' are bool, not '1'"),
        (Batch, "", "an empty path names no field of cases.feed.v1.Batch"),
        (Batch, ".ticks", "cannot be read from '.ticks' on"),
        (Batch, "ticks..seq", "cannot be read from '..seq' on"),
        (Batch, "ticks[0", "cannot be read from '[0' on"),
        (Batch, "ticks[0]seq", "cannot be read from 'seq' on"),
    ],
)
def test_a_wrong_path_says_what_is_there(cls: Any, path: str, text: str) -> None:
    with pytest.raises(FieldError) as raised:
        getter(cls.DESCRIPTOR, path)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("cls", "path", "kind"),
    [
        (N, "i32", "int"),
        (N, "f64", "int"),
        (N, "db", "float"),
        (N, "bo", "bool"),
        (N, "by", "bytes"),
        (N, "st", "str"),
        (N, "ds", "repeated"),
        (N, "ds[0]", "float"),
        (E, "one", "enum"),
        (M, "by_u64", "map"),
        (M, "by_u64.1", "message"),
        (M, "by_u64.1.n", "int"),
        (M, "sides.x", "enum"),
        (Legacy, "pos", "message"),
    ],
)
def test_kind_of(cls: Any, path: str, kind: str) -> None:
    assert kind_of(cls.DESCRIPTOR, path) == kind


def test_message_at_tells_the_type_of_an_element() -> None:
    found = message_at(Batch.DESCRIPTOR, "ticks")
    assert found is not None
    assert found.full_name == "cases.feed.v1.Tick"
    assert message_at(Batch.DESCRIPTOR, "next") is None


def test_presence_and_oneofs() -> None:
    fields = P.DESCRIPTOR.fields_by_name
    assert [name for name in fields if has_presence(fields[name])] == [
        "opt_i", "opt_s", "a", "b", "c", "sub", "opt_b",
    ]  # fmt: skip
    assert [name for name in fields if in_oneof(fields[name])] == ["a", "b", "c"]


def test_setter_creates_parents() -> None:
    assert write(P(), "sub.sub.imp_i", 3) == P(sub={"sub": {"imp_i": 3}})


def test_setting_a_zero_sets_its_parents() -> None:
    assert write(P(), "sub.imp_i", 0).HasField("sub")


def test_setter_switches_a_oneof() -> None:
    frame = write(Frame(ping={"id": 3}), "tick.seq", 4)
    assert frame.WhichOneof("body") == "tick"
    assert write(frame, "live", False).WhichOneof("body") == "live"


def test_setter_copies_a_message() -> None:
    tick = Frame(tick={"seq": 3}).tick
    frame = write(Frame(), "tick", tick)
    tick.seq = 4
    assert frame.tick.seq == 3


def test_setting_an_empty_message_sets_it() -> None:
    assert write(Frame(live=True), "tick", Frame().tick).WhichOneof("body") == "tick"


def test_setter_takes_the_same_type_of_another_pool() -> None:
    other = message_class("feed", "cases.feed.v1.Tick")
    assert write(Frame(), "tick", other(seq=3)).tick.seq == 3


def test_setter_writes_map_entries() -> None:
    assert write(M(), "by_int[-3]", "x") == M(by_int={-3: "x"})
    assert write(M(), "by_u64.3.n", 4) == M(by_u64={3: {"n": 4}})


def test_setter_takes_an_enum_by_name_or_number() -> None:
    assert write(E(), "one", "RUNNING").one == 1
    assert write(E(), "one", 99).one == 99


@pytest.mark.parametrize(
    ("cls", "path", "value", "text"),
    [
        (N, "i64", "5", "i64 is an int, and '5' is a str"),
        (N, "i64", 5.0, "i64 is an int, and 5.0 is a float"),
        (N, "i64", True, "i64 is an int, and True is a bool"),
        (N, "bo", 1, "bo is a bool, and 1 is an int"),
        (N, "db", "1", "db is a float, and '1' is a str"),
        (N, "st", b"x", "st is a str, and b'x' is a bytes"),
        (N, "by", "x", "by is a bytes, and 'x' is a str"),
        (N, "u32", -1, "u32=-1: "),
        (N, "i32", 2**31, "i32=2147483648: "),
        (E, "one", "RUNING", "cases.enums.Alias has no such value: did you mean 'RUNNING'?"),
        (E, "one", 1.0, "one is a cases.enums.Alias, and 1.0 is neither a name nor a number"),
        (Frame, "tick", Frame(), "a cases.feed.v1.Tick, and the value is a cases.feed.v1.Frame"),
        (Frame, "tick", {}, "tick is a cases.feed.v1.Tick, and the value is a dict"),
        (Frame, "ping.id", "x", "ping.id is an int, and 'x' is a str"),
    ],
)
def test_setter_converts_nothing_silently(cls: Any, path: str, value: Any, text: str) -> None:
    with pytest.raises(FieldError) as raised:
        write(cls(), path, value)
    assert text in str(raised.value)


@pytest.mark.parametrize("path", ["ticks", "ticks[0].seq", "last"])
def test_setter_refuses_repeated_fields_when_made(path: str) -> None:
    with pytest.raises(FieldError, match="is repeated and cannot be set by a path"):
        setter(Batch.DESCRIPTOR, path)


def test_check_value_names_the_field() -> None:
    field = N.DESCRIPTOR.fields_by_name["i64"]
    assert check_value(field, 5) == 5
    with pytest.raises(FieldError, match="i64 is an int"):
        check_value(field, None)


def test_what_a_method_of_messages_hides_is_written_or_refused() -> None:
    """Pure Python finds its own method: scalars are set around it, containers cannot be."""
    file = FileDescriptorProto(name="hidden.proto", package="hidden", syntax="proto3")
    hidden = file.message_type.add(name="Hidden")
    hidden.field.add(name="HasField", number=1, type="TYPE_INT64", label="LABEL_OPTIONAL")
    hidden.field.add(name="Clear", number=2, type="TYPE_STRING", label="LABEL_REPEATED")
    inner = hidden.field.add(name="ByteSize", number=3, type="TYPE_MESSAGE", label="LABEL_OPTIONAL")
    inner.type_name = ".hidden.Hidden"
    pool = DescriptorSet(FileDescriptorSet(file=[file]).SerializeToString()).pool
    cls = GetMessageClass(pool.FindMessageTypeByName("hidden.Hidden"))
    message = build_request(cls, {"HasField": 5})
    setter(cls.DESCRIPTOR, "HasField")(message, 6)
    assert cls.SerializeToString(message) == b"\x08\x06"
    refused = "has a method of that name, and only single scalars"
    wanted: dict[str, Any] = {"Clear": ["a"], "ByteSize": {"HasField": 1}}
    for name, value in wanted.items():
        if is_shadowed(cls.DESCRIPTOR.fields_by_name[name]):
            with pytest.raises(FieldError, match=rf"^request\.{name}: .*{refused}"):
                build_request(cls, {name: value})
        else:
            assert len(cls.SerializeToString(build_request(cls, {name: value}))) > 2
    if is_shadowed(cls.DESCRIPTOR.fields_by_name["ByteSize"]):
        with pytest.raises(FieldError, match=rf"Hidden\.ByteSize\.HasField: .*{refused}"):
            setter(cls.DESCRIPTOR, "ByteSize.HasField")
