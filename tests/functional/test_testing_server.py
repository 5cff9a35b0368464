"""The scripted server: what its callers see of each step, with the sync and the asyncio stack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from faust_grpc.exceptions import ConfigurationError
from faust_grpc.testing import (
    End,
    Fail,
    GoAway,
    Poison,
    Replay,
    Reset,
    ScriptedServer,
    Send,
    Stall,
    wait_until,
)

METHOD = "shop.v1.OrderService/StreamOrders"
ORDERS = Path(__file__).parents[2] / "examples" / "orders" / "orders.binpb"

Open = Callable[..., Any]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def channel(server: ScriptedServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.target) as channel:
        yield channel


@pytest.fixture
def stream(channel: grpc.Channel) -> Open:
    return channel.unary_stream(f"/{METHOD}")


def status_of(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as raised:
        list(call)
    return raised.value.code()


def test_sends_bytes_and_messages_and_ends(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, [Send(b"\xff poison", Timestamp(seconds=3)), End(), Send(b"never")])
    assert list(stream(b"request")) == [b"\xff poison", b"\x08\x03"]


def test_records_the_call(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, Send(b"one"))
    list(stream(b"request", metadata=[("who", "me"), ("token-bin", b"\x00\xff")]))
    (call,) = server.calls
    assert call.path == f"/{METHOD}"
    assert call.request == b"request"
    assert ("who", "me") in call.metadata
    assert ("token-bin", b"\x00\xff") in call.metadata
    assert call.sent == 1
    wait_until(lambda: call.over)


def test_scripts_follow_the_calls_and_the_last_stays(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, [Send(b"first")], [Send(b"later")])
    assert [list(stream(b"")) for _ in range(3)] == [[b"first"], [b"later"], [b"later"]]


def test_fails_with_code_details_and_metadata(server: ScriptedServer, stream: Open) -> None:
    trailing = (("why", "compacted"),)
    server.script(METHOD, [Send(b"one"), Fail(grpc.StatusCode.OUT_OF_RANGE, "gone", trailing)])
    call = stream(b"")
    assert next(call) == b"one"
    with pytest.raises(grpc.RpcError) as raised:
        next(call)
    assert (raised.value.code(), raised.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "gone")
    assert ("why", "compacted") in raised.value.trailing_metadata()


def test_reset_breaks_the_call_off(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, Reset())
    assert status_of(stream(b"")) is grpc.StatusCode.CANCELLED


def test_poison_is_no_message(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, [Poison(), Poison(b"\x0a\x05x")])
    for raw in stream(b""):
        with pytest.raises(DecodeError):
            Timestamp.FromString(raw)


def test_goaway_lets_the_call_go_on_and_the_next_one_comes_on_another_connection(
    server: ScriptedServer, stream: Open
) -> None:
    server.script(METHOD, [Send(b"one"), GoAway(60.0), Send(b"two"), Stall(), Send(b"three")])
    first = stream(b"", wait_for_ready=True)
    assert [next(first), next(first)] == [b"one", b"two"]
    second = stream(b"", wait_for_ready=True)
    assert next(second) == b"one"
    assert server.calls[0].peer != server.calls[1].peer
    server.calls[0].proceed()
    assert list(first) == [b"three"]
    server.stop()
    assert server.calls[1].over, "the other call is broken off, whatever was granted"


def test_goaway_is_not_for_ever(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, [GoAway(grace_seconds=0.1), Stall()])
    assert status_of(stream(b"", wait_for_ready=True)) in (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNAVAILABLE,
    )


def test_drop_closes_the_connections_and_is_back(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, Stall(), Send(b"again"))
    call = stream(b"")
    server.wait_for_calls(1)
    server.drop()
    assert status_of(call) in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
    assert list(stream(b"", wait_for_ready=True)) == [b"again"]
    assert server.calls[0].peer != server.calls[1].peer


def test_replays_what_comes_after_the_cursor(server: ScriptedServer, stream: Open) -> None:
    history = [b"a", b"b", b"c"]
    server.script(METHOD, Replay(history, after=lambda request: int(request or b"0")))
    assert list(stream(b"")) == history
    assert list(stream(b"2")) == [b"c"]
    history.append(b"d")
    assert list(stream(b"2")) == [b"c", b"d"]


def test_a_stalled_call_goes_on_by_hand(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, [Stall(), Send(b"last")])
    call = stream(b"")
    received = server.wait_for_calls(1)
    received.send(b"one", b"two")
    assert [next(call), next(call)] == [b"one", b"two"]
    received.proceed()
    assert list(call) == [b"last"]


def test_the_end_of_a_stalled_call_is_seen(server: ScriptedServer, stream: Open) -> None:
    server.script(METHOD, Stall())
    call = stream(b"")
    received = server.wait_for_calls(1)
    assert not received.over
    call.cancel()
    wait_until(lambda: received.over)


def test_records_a_stream_of_requests(server: ScriptedServer, channel: grpc.Channel) -> None:
    server.script(METHOD, [Stall(), Send(b"done")])
    call = channel.stream_stream(f"/{METHOD}")(iter([b"one", b"two", b"three"]))
    received = server.wait_for_calls(1)
    wait_until(lambda: received.requests == [b"one", b"two", b"three"])
    received.proceed()
    assert list(call) == [b"done"]


def test_stops_and_starts_on_the_same_port(server: ScriptedServer) -> None:
    server.script(METHOD, Stall(), Send(b"back"))
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_stream(f"/{METHOD}")(b"")
        server.wait_for_calls(1)
        server.stop()
        assert status_of(call) in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        assert status_of(channel.unary_stream(f"/{METHOD}")(b"")) is grpc.StatusCode.UNAVAILABLE
    server.start()
    with grpc.insecure_channel(server.target) as channel:
        again = channel.unary_stream(f"/{METHOD}")(b"", wait_for_ready=True)
        assert list(again) == [b"back"]


def test_an_unknown_method_is_unimplemented(server: ScriptedServer, stream: Open) -> None:
    server.script("shop.v1.OrderService/Other", Send(b"one"))
    assert status_of(stream(b"")) is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(ConfigurationError, match="at least one call"):
        server.script(METHOD)


async def test_serves_the_asyncio_stack(server: ScriptedServer) -> None:
    server.script(METHOD, [Send(*(b"%d" % n for n in range(100)))])
    async with grpc.aio.insecure_channel(server.target) as channel:
        messages = [message async for message in channel.unary_stream(f"/{METHOD}")(b"")]
    assert messages == [b"%d" % n for n in range(100)]


def test_serves_tls() -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    roots = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with ScriptedServer(credentials=grpc.ssl_server_credentials([pair])) as server:
        server.script(METHOD, Send(b"secret"))
        with grpc.secure_channel(server.target, roots) as channel:
            assert list(channel.unary_stream(f"/{METHOD}")(b"")) == [b"secret"]


def test_answers_reflection() -> None:
    with (
        ScriptedServer(files=ORDERS.read_bytes()) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        database = ProtoReflectionDescriptorDatabase(channel)
        assert list(database.get_services()) == ["shop.v1.OrderService"]
        pool = DescriptorPool(database)
        order = pool.FindMessageTypeByName("shop.v1.Order")
        assert order.fields_by_name["created_at"].message_type.full_name == (
            "google.protobuf.Timestamp"
        )
        assert pool.FindServiceByName("shop.v1.OrderService").methods_by_name["StreamOrders"]
        with pytest.raises(KeyError):
            pool.FindMessageTypeByName("shop.v1.Missing")
