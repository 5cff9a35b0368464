"""The order servers: exact resume, and the same orders in Python and in Go."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from support import OrderServer, overlaps

from faust_grpc.testing import wait_until
from faust_grpc.testing.orders import FILES, OrderHistory, order_message

PROTO = Path(__file__).parents[2] / "examples" / "orders" / "orders.proto"
SERVERS = ["start_order_server", "start_go_order_server"]

Start = Callable[..., OrderServer]


@pytest.fixture(params=SERVERS, ids=["python", "go"])
def start(request: pytest.FixtureRequest) -> Start:
    chosen: Start = request.getfixturevalue(request.param)
    return chosen


@contextmanager
def streaming(server: OrderServer, region: str = "north", **fields: Any) -> Iterator[Any]:
    with grpc.insecure_channel(server.target) as channel:
        method = channel.unary_stream(
            "/shop.v1.OrderService/StreamOrders",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=order_message().FromString,
        )
        request = order_message("StreamOrdersRequest")(region=region, **fields)
        yield method(request, wait_for_ready=True, timeout=60)


def read(server: OrderServer, region: str = "north", **fields: Any) -> list[Any]:
    with streaming(server, region, **fields) as orders:
        return list(orders)


def progress(server: OrderServer) -> dict[str, int]:
    with grpc.insecure_channel(server.target) as channel:
        method = channel.unary_unary(
            "/shop.v1.OrderService/GetProgress",
            response_deserializer=order_message("Progress").FromString,
        )
        return dict(method(b"", wait_for_ready=True, timeout=10).sent)


@pytest.mark.parametrize("region", ["north", "Zürich"])
def test_orders_are_the_history(start: Start, region: str) -> None:
    history = OrderHistory(region)
    assert read(start(), region, limit=1100) == [history.order(n) for n in range(1, 1101)]


def test_orders_are_whole() -> None:
    order = OrderHistory("north").order(12)
    assert order.order_id == "north-000000012"
    assert order.created_at.ToJsonString() == "2026-01-01T00:00:01.200Z"
    assert order.total == pytest.approx(sum(item.quantity * item.price for item in order.items))
    assert order.status
    assert order.customer_id
    assert order.attributes["channel"]


def test_resumes_after_a_kill(start: Start) -> None:
    server = start("--rate", "500")
    seen: list[int] = []
    with streaming(server, reader="one") as orders:
        seen += [next(orders).sequence for _ in range(20)]
        server.kill()
        with pytest.raises(grpc.RpcError):
            seen.extend(order.sequence for order in orders)
    server.start()
    rest = read(server, after_sequence=seen[-1], limit=seen[-1] + 5)
    assert [*seen, *(order.sequence for order in rest)] == list(range(1, seen[-1] + 6))


def test_keeps_the_rate(start: Start) -> None:
    server = start()
    began = time.monotonic()
    read(server, rate=2000, limit=1001)
    assert time.monotonic() - began >= 0.5


def test_stays_open_at_the_end_of_its_history(start: Start) -> None:
    server = start("--count", "3")
    with streaming(server) as orders:
        assert [next(orders).sequence for _ in range(3)] == [1, 2, 3]
        assert progress(server) == {"north": 3}
        assert [entry["event"] for entry in server.calls()] == ["open"]
        orders.cancel()
    wait_until(lambda: [entry["event"] for entry in server.calls()] == ["open", "close"])


def test_logs_its_calls(start: Start) -> None:
    server = start()
    read(server, reader="worker-1", after_sequence=2, limit=5)
    wait_until(lambda: len(server.calls()) == 2)
    opened, closed = server.calls()
    assert abs(opened["time"] - time.time()) < 60
    assert {**opened, "time": 0} == {
        "time": 0,
        "event": "open",
        "call": 1,
        "reader": "worker-1",
        "region": "north",
        "after_sequence": 2,
        "sent": 0,
        "last_sequence": 2,
    }
    assert (closed["event"], closed["sent"], closed["last_sequence"]) == ("close", 3, 5)
    assert overlaps(server.calls()) == []


def test_overlaps_are_found(start: Start) -> None:
    server = start("--count", "1")
    with ExitStack() as ends:
        # Kept: a call that nobody holds is cancelled.
        calls = []
        for region in ("north", "south", "north"):
            calls.append(ends.enter_context(streaming(server, region)))
            next(calls[-1])
    ((first, second),) = overlaps(server.calls())
    assert (first["call"], second["call"]) == (1, 3)


def test_ends_its_streams_when_it_is_terminated(start: Start) -> None:
    server = start("--rate", "100")
    with streaming(server) as orders:
        next(orders)
        server.terminate()
        with pytest.raises(grpc.RpcError) as raised:
            list(orders)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert raised.value.details() == "the server is shutting down"
    assert server.wait() == 0


def test_refuses_an_empty_region(start: Start) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        read(start(), "")
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_answers_reflection(start: Start) -> None:
    server = start()
    with grpc.insecure_channel(server.target) as channel:
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
    assert "shop.v1.OrderService" in services


def test_python_keeps_its_progress_over_a_kill(start_order_server: Start, tmp_path: Path) -> None:
    server = start_order_server("--history", str(tmp_path / "history"))
    read(server, limit=1000)
    read(server, "south", limit=10)
    server.kill()
    server.start()
    assert progress(server) == {"north": 1000, "south": 10}
    read(server, "west", limit=1)
    read(server, "south", after_sequence=10, limit=12)
    server.kill()
    server.start()
    assert progress(server) == {"north": 1000, "south": 12, "west": 1}


def test_go_closes_old_connections(start_go_order_server: Start) -> None:
    server = start_go_order_server(
        *("--max-connection-age", "100ms", "--max-connection-age-grace", "100ms")
    )
    with streaming(server, rate=100) as orders, pytest.raises(grpc.RpcError) as raised:
        list(orders)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE


def test_descriptor_set_is_of_the_proto_file(tmp_path: Path) -> None:
    compiled = tmp_path / "orders.binpb"
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO.parent}", PROTO.name),
            *("--include_imports", f"--descriptor_set_out={compiled}"),
        ],
        check=True,
    )
    assert FILES.read_bytes() == compiled.read_bytes()
    assert PROTO.with_suffix(".binpb").read_bytes() == compiled.read_bytes()
