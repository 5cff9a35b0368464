"""Server reflection against real servers: one with grpc's own service, others that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection
from support.messages import SETS
from support.reflection import V1, V1ALPHA, Answer, Scripted, files, serving

from faust_grpc.exceptions import ReflectionFailed, SchemaError
from faust_grpc.schema import DescriptorSet, ReflectionSchema

BILLS = "cases.uses.Bills"
WATCH = f"{BILLS}/Watch"


async def failure(channel: grpc.aio.Channel, **options: Any) -> ReflectionFailed:
    with pytest.raises(ReflectionFailed) as raised:
        await ReflectionSchema(**options).fetch(WATCH, channel)
    assert "\n" not in str(raised.value)
    return raised.value


async def test_grpcs_own_reflection_service() -> None:
    pool = DescriptorSet(SETS / "wkt.binpb").pool
    for file in files("feed").values():
        if not file.name.startswith("google/"):
            pool.Add(file)

    def add(server: grpc.aio.Server) -> None:
        reflection.enable_server_reflection(["cases.feed.v1.Feed"], server, pool)

    schema = ReflectionSchema()
    async with serving({}, add) as channel:
        method = await schema.fetch("cases.feed.v1.Feed/Ticks", channel)
        assert await schema.fetch_services(channel) == ["cases.feed.v1.Feed"]
    assert method.output.full_name == "cases.feed.v1.Tick"
    assert method.output.fields_by_name["at"].message_type is not None
    assert schema.services() == ["cases.feed.v1.Feed"]
    assert schema.method("cases.feed.v1.Feed/Ticks") == method


@pytest.mark.parametrize("version", [V1, V1ALPHA])
async def test_both_versions_of_the_service(version: str) -> None:
    script = Scripted(symbols=files("uses_common").values())
    async with serving({version: script.handle}) as channel:
        method = await ReflectionSchema().fetch(WATCH, channel)
    assert method.output.fields_by_name["total"].message_type.full_name == "cases.common.Money"
    assert script.asked == [f"file_containing_symbol {BILLS}"]


async def test_imports_that_were_left_out_are_asked_for() -> None:
    known = files("uses_pub")
    last = next(file for file in known.values() if file.service)
    script = Scripted(symbols=[last], by_name=known)
    async with serving({V1: script.handle}) as channel:
        method = await ReflectionSchema().fetch("cases.usespub.Bills2/Watch", channel)
    assert method.output.full_name == "cases.usespub.Bill2"
    assert script.asked[1:] == [
        "file_by_filename cycle_pub.proto",
        "file_by_filename common_a.proto",
    ]


async def test_well_known_files_are_never_asked_for() -> None:
    (feed,) = (file for file in files("feed").values() if file.service)
    script = Scripted(symbols=[feed])
    async with serving({V1: script.handle}) as channel:
        await ReflectionSchema().fetch("cases.feed.v1.Feed/Ticks", channel)
    assert len(script.asked) == 1


async def test_a_method_that_no_source_can_read() -> None:
    script = Scripted(symbols=files("feed").values())
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(SchemaError, match=r"Feed/Get is unary"):
            await ReflectionSchema().fetch("cases.feed.v1.Feed/Get", channel)
        with pytest.raises(SchemaError, match=r"no method 'Tick': did you mean 'Ticks'"):
            await ReflectionSchema().fetch("cases.feed.v1.Feed/Tick", channel)


async def test_an_unknown_service_names_the_nearest() -> None:
    script = Scripted(services=[V1, "cases.uses.Bill", "other.Service"])
    async with serving({V1: script.handle}) as channel:
        with pytest.raises(
            SchemaError, match=r"no service 'cases.uses.Bills': did you mean 'cases.u"
        ):
            await ReflectionSchema().fetch(WATCH, channel)


async def test_a_service_that_is_listed_and_not_described() -> None:
    script = Scripted(services=[BILLS])
    async with serving({V1: script.handle}) as channel:
        error = await failure(channel)
    assert not error.retryable
    assert f"lists {BILLS} but has no description of it: give schema=" in str(error)


async def test_an_import_that_nobody_has() -> None:
    script = Scripted(symbols=[files("uses_common")["uses_common.proto"]])
    async with serving({V1: script.handle}) as channel:
        error = await failure(channel)
    assert not error.retryable
    assert "has no common_a.proto (imported by uses_common.proto): give schema=" in str(error)


async def test_an_import_that_is_only_a_placeholder() -> None:
    placeholder = FileDescriptorProto(name="common_a.proto")
    script = Scripted(symbols=[placeholder, files("uses_common")["uses_common.proto"]])
    async with serving({V1: script.handle}) as channel:
        error = await failure(channel)
    assert not error.retryable
    assert "server reflection has common_a.proto only as an empty file; give schema=" in str(error)


async def test_a_server_that_invents_ever_new_imports() -> None:
    class Endless(dict[str, FileDescriptorProto]):
        def __contains__(self, name: object) -> bool:
            return True

        def __missing__(self, name: str) -> FileDescriptorProto:
            imports = [f"{int(name) * 50 + number}" for number in range(1, 51)]
            return FileDescriptorProto(name=name, dependency=imports)

    script = Scripted(symbols=[FileDescriptorProto(name="0", dependency=["1"])])
    script.by_name = Endless()
    async with serving({V1: script.handle}) as channel:
        error = await failure(channel, timeout_seconds=60)
    assert not error.retryable
    assert "more than 1000 files" in str(error)


async def test_a_server_without_reflection() -> None:
    async with serving({}) as channel:
        error = await failure(channel)
    assert not error.retryable
    assert "does not offer reflection: give schema= a generated module or a descriptor set" in str(
        error
    )


async def test_a_server_that_is_down() -> None:
    with socket.socket() as bound:
        # Bound and not listening: nobody else gets the port, and nobody answers on it.
        bound.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{bound.getsockname()[1]}"
        async with grpc.aio.insecure_channel(target) as channel:
            error = await failure(channel)
    assert error.retryable
    assert "UNAVAILABLE" in str(error)


async def test_a_server_that_does_not_answer() -> None:
    async def silent(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield Answer()

    async with serving({V1: silent}) as channel:
        error = await failure(channel, timeout_seconds=0.2)
    assert error.retryable
    assert "no answer within 0.2 s" in str(error)


async def test_a_server_that_answers_nothing() -> None:
    async def mute(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async for _ in requests:
            return
        yield Answer()

    async with serving({V1: mute}) as channel:
        assert "no answer and no error" in str(await failure(channel))


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        (grpc.StatusCode.UNAVAILABLE, True),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, True),
        (grpc.StatusCode.UNAUTHENTICATED, False),
        (grpc.StatusCode.PERMISSION_DENIED, False),
    ],
)
async def test_a_refusal_is_retryable_by_its_code(code: grpc.StatusCode, retryable: bool) -> None:
    async def refuse(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        await context.abort(code, "as scripted")
        yield Answer()

    async with serving({V1: refuse}) as channel:
        error = await failure(channel)
    assert error.retryable is retryable
    assert f"{code.name}: as scripted" in str(error)


async def test_an_answer_that_is_no_file() -> None:
    async def nonsense(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        async for _ in requests:
            yield Answer(file_descriptor_response={"file_descriptor_proto": [b"\xff\xff"]})

    async with serving({V1: nonsense}) as channel:
        assert "sent no file descriptor" in str(await failure(channel))


async def test_metadata_goes_with_every_question() -> None:
    known = files("uses_common")
    script = Scripted(symbols=[known["uses_common.proto"]], by_name=known)
    async with serving({V1: script.handle}) as channel:
        await ReflectionSchema().fetch(WATCH, channel, (("authorization", "Bearer x"),))
    assert [sent["authorization"] for sent in script.metadata] == ["Bearer x", "Bearer x"]


async def test_every_fetch_asks_anew() -> None:
    script = Scripted(symbols=files("uses_common").values())
    schema = ReflectionSchema()
    async with serving({V1: script.handle}) as channel:
        first = await schema.fetch(WATCH, channel)
        script.symbols = files("odd_duplicate_files_equal").values()
        second = await schema.fetch(WATCH, channel)
    assert first.output is not second.output


async def test_cancelling_a_fetch_ends_its_call() -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def silent(requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        yield Answer()

    async with serving({V1: silent}) as channel:
        task = asyncio.create_task(ReflectionSchema().fetch(WATCH, channel))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 10)


async def test_the_fallback_to_the_older_version_never_fails_by_chance() -> None:
    """A bidirectional call that is refused at once is what grpc.aio sometimes loses."""
    script = Scripted(symbols=files("uses_common").values())
    async with serving({V1ALPHA: script.handle}) as channel:
        for _ in range(100):
            await ReflectionSchema().fetch(WATCH, channel)
