"""The acceptance cases about server reflection, by their names, against servers that do it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from support.messages import DATA, SETS
from support.reflection import V1, V1ALPHA, Answer, Scripted, files, serving

from faust_grpc import Reflection
from faust_grpc.decoding import build_decoder
from faust_grpc.exceptions import ReflectionFailed, SchemaError
from faust_grpc.schema import ReflectionSchema, schema_from
from faust_grpc.schema.files import WELL_KNOWN

BILLS = "cases.uses.Bills"
WATCH = f"{BILLS}/Watch"
USES = SETS / "uses_common.binpb"


def asking(fallback: Any = None) -> ReflectionSchema:
    schema = schema_from(Reflection(fallback=fallback))
    assert isinstance(schema, ReflectionSchema)
    return schema


def lonely() -> Iterable[FileDescriptorProto]:
    return [files("uses_common")["uses_common.proto"]]


async def test_S03_files_that_the_runtime_has_already() -> None:
    """The server sends descriptor.proto and its own reflection.proto; both are known here."""
    import grpc_reflection.v1alpha.reflection_pb2 as theirs

    reflection_file = FileDescriptorProto.FromString(theirs.DESCRIPTOR.serialized_pb)
    known = [*files("opts").values(), *WELL_KNOWN.values(), reflection_file]
    script = Scripted(symbols=known)
    async with serving({V1: script.handle}) as channel:
        method = await asking().fetch("cases.opts.Os/Watch", channel)
    decoder = build_decoder(method, value_type=dict)
    assert decoder.records(decoder.parse(b"\x0a\x01x"))[0].value == {"token": "x", "name": ""}


async def test_S06_an_import_that_the_server_lacks() -> None:
    script = Scripted(services=[BILLS], symbols=lonely())
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(ReflectionFailed) as raised:
            await asking().fetch(WATCH, channel)
        assert not raised.value.retryable
        assert (
            "server reflection has no common_a.proto (imported by uses_common.proto): give schema="
        ) in str(raised.value)
        # With it, or the whole, from elsewhere:
        for fallback in (SETS / "common_a.binpb", USES, str(USES), USES.read_bytes()):
            method = await asking(fallback).fetch(WATCH, channel)
            assert method.output.fields_by_name["total"].message_type.name == "Money"


async def test_S06_an_import_that_is_only_a_placeholder() -> None:
    placeholder = FileDescriptorProto(name="common_a.proto")
    script = Scripted(symbols=[placeholder, *lonely()])
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(ReflectionFailed, match=r"has common_a\.proto only as an empty"):
            await asking().fetch(WATCH, channel)
        method = await asking(SETS / "common_a.binpb").fetch(WATCH, channel)
    assert method.output.fields_by_name["total"].message_type.fields_by_name["units"]


async def test_S06_the_fallback_is_used_where_there_is_no_reflection() -> None:
    async with serving({}) as channel:
        assert (await asking(USES).fetch(WATCH, channel)).full_name == WATCH
        with pytest.raises(SchemaError, match=r"not offer reflection.*; nor has the fallback a"):
            await asking(SETS / "feed.binpb").fetch(WATCH, channel)


async def test_S06_the_fallback_does_not_hide_that_the_server_is_down() -> None:
    async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "as scripted")
        yield Answer()

    async with serving({V1: refuse}) as channel:
        with pytest.raises(ReflectionFailed) as raised:
            await asking(USES).fetch(WATCH, channel)
    assert raised.value.retryable


def test_S06_a_fallback_that_is_none() -> None:
    with pytest.raises(SchemaError, match="no such file"):
        asking("nowhere.binpb")
    with pytest.raises(SchemaError, match="the fallback of reflection cannot be reflection too"):
        asking(Reflection())


async def test_S07_every_symbol_is_unknown() -> None:
    script = Scripted(services=[BILLS])
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(ReflectionFailed) as raised:
            await asking().fetch(WATCH, channel)
        assert not raised.value.retryable
        assert f"server reflection lists {BILLS} but has no description of it: give schema=" in str(
            raised.value
        )
        script.services = ["other.Service"]
        with pytest.raises(SchemaError, match=r"no service .*: there are: 'other.Service'"):
            await asking().fetch(WATCH, channel)
        assert (await asking(USES).fetch(WATCH, channel)).full_name == WATCH


async def test_S07_an_answer_without_files() -> None:
    script = Scripted(services=[BILLS], symbols=[])
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(ReflectionFailed, match="has no description of it"):
            await asking().fetch(WATCH, channel)


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_S09_one_file_per_answer(version: str) -> None:
    known = files("uses_pub")
    script = Scripted(symbols=[known["uses_pub.proto"]], by_name=known)
    async with serving({version: script.handle}) as channel:
        await asking().fetch("cases.usespub.Bills2/Watch", channel)
    assert script.asked[1:] == [
        "file_by_filename cycle_pub.proto",
        "file_by_filename common_a.proto",
    ]


async def test_S09_files_that_import_each_other_are_asked_for_once() -> None:
    one = FileDescriptorProto(name="a.proto", dependency=["b.proto"])
    other = FileDescriptorProto(name="b.proto", dependency=["a.proto"])
    script = Scripted(symbols=[one], by_name={"a.proto": one, "b.proto": other})
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(ReflectionFailed, match=r"a\.proto imports itself through b\.proto"):
            await asking().fetch(WATCH, channel)
    assert len(script.asked) == 2


async def test_S16_the_server_changed_while_we_ran() -> None:
    script = Scripted(symbols=files("uses_common").values())
    schema = asking()
    async with serving({V1: script.handle}) as channel:
        method = await schema.fetch(WATCH, channel)
        assert (await schema.drift(method, channel)).lines == []
        changed = {**files("uses_common"), **files("odd_other_money")}
        script.symbols = changed.values()
        drift = await schema.drift(method, channel)
        assert drift.lines == [
            "cases.common.Money: 'int64 units = 1' is now 'string cur = 1'",
            "cases.common.Money: 'string cur = 2' is now 'int64 units = 2'",
            "cases.common.Money: new field 'int32 nanos = 3'",
        ]
        assert drift.method is not None
        assert "nanos" in drift.method.output.fields_by_name["total"].message_type.fields_by_name
        script.symbols, script.services = None, ["other.Service"]
        drift = await schema.drift(method, channel)
        assert "the server has no service 'cases.uses.Bills'" in drift.lines[0]
        assert drift.method is None
    # What is known stays.
    assert schema.method(WATCH) == method


async def test_M05_reflection_has_the_metadata_of_the_call() -> None:
    script = Scripted(symbols=files("uses_common").values())

    async def guarded(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        if dict(context.invocation_metadata() or ()).get("authorization") != "Bearer x":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        async for answer in script.handle(requests, context):
            yield answer

    async with serving({V1: guarded}) as channel:
        with pytest.raises(ReflectionFailed) as raised:
            await asking().fetch(WATCH, channel)
        text = str(raised.value)
        assert text.startswith("server reflection: UNAUTHENTICATED: no token; metadata= is sent")
        assert not raised.value.retryable
        method = await asking().fetch(WATCH, channel, (("authorization", "Bearer x"),))
    assert method.full_name == WATCH


ORDERS = Path(__file__).parents[2] / "examples" / "orders"
STREAM = "shop.v1.OrderService/StreamOrders"


def buf_image(raw: bytes, folder: Path) -> Path:
    """Write a set as buf writes its images: files with an extension that protobuf lacks."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    image = FileDescriptorSet()
    for file in FileDescriptorSet.FromString(raw).file:
        # buf.alpha.image.v1.ImageFileExtension: number 8042, with is_import in it.
        extension = b"\xd2\xf6\x03\x02\x08\x00"
        image.file.add().ParseFromString(file.SerializeToString() + extension)
    path = folder / "image.binpb"
    path.write_bytes(image.SerializeToString())
    return path


@pytest.mark.parametrize("start", ["start_order_server", "start_go_order_server"])
async def test_a_real_service_described_in_every_way(
    start: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """grpc-go's reflection and ours in Python, a buf image, .proto files: the same values."""
    server = request.getfixturevalue(start)()
    image = buf_image((ORDERS / "orders.binpb").read_bytes(), tmp_path)
    found = []
    async with grpc.aio.insecure_channel(server.target) as channel:
        await channel.channel_ready()
        for option in (None, image, ORDERS / "orders.proto", ORDERS):
            schema = schema_from(option)
            if isinstance(schema, ReflectionSchema):
                method = await schema.fetch(STREAM, channel)
            else:
                method = schema.method(STREAM)
            decoder = build_decoder(method, value_type=dict, key="order_id")
            asked = method.request_class(region="north")  # type: ignore[call-arg]  # dynamic
            call = channel.unary_stream(method.path)(asked.SerializeToString())  # type: ignore[arg-type]  # raw bytes
            found.append([decoder.records(decoder.parse(await call.read()))[0] for _ in range(5)])
            call.cancel()
    assert all(orders == found[0] for orders in found)
    assert found[0][0].value["order_id"] == found[0][0].key


async def test_a_python_server_with_grpcios_own_reflection() -> None:
    from grpc_reflection.v1alpha import reflection

    schema = schema_from(DATA / "proto" / "feed.proto")
    pool = schema.pool  # type: ignore[attr-defined]  # of a set
    sent = schema.method("cases.feed.v1.Feed/Ticks").response_class(seq=7)  # type: ignore[call-arg]

    async def ticks(_: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        yield sent.SerializeToString()

    def add(server: grpc.aio.Server) -> None:
        reflection.enable_server_reflection(["cases.feed.v1.Feed"], server, pool)
        handler = grpc.unary_stream_rpc_method_handler(ticks)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("cases.feed.v1.Feed", {"Ticks": handler}),)
        )

    async with serving({}, add) as channel:
        method = await asking().fetch("cases.feed.v1.Feed/Ticks", channel)
        decoder = build_decoder(method, value_type=dict)
        call = channel.unary_stream(method.path)(b"")  # type: ignore[arg-type]  # raw bytes
        values = [decoder.records(decoder.parse(raw))[0].value async for raw in call]
    assert values == [{"seq": 7, "sym": "", "px": 0.0, "at": None}]
