"""The acceptance cases about targets, proxies and names, each at a whole source, both ways."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import faust
import pytest
from consuming import CURSOR, TICKS, Kind, consuming, send_ticks
from h2_server import ErrorCodes, H2Server, Stream
from http_proxy import HttpProxy
from support.messages import SETS

from faust_grpc import GrpcSource, TargetError

PASSWORD = "hunter2"


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine's own environment says is no part of these cases."""
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections, and that nobody else gets."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


async def two(stream: Stream) -> None:
    """Send two messages, and stay."""
    await send_ticks(stream, 2)
    await stream.wait()


def source(target: Any) -> GrpcSource:
    """Declare a source."""
    app = faust.App("targets", broker="kafka://127.0.0.1:9", store="memory://")
    return GrpcSource(app, target, TICKS, schema=SETS / "feed.binpb")


# T09: a proxy in the environment.


async def test_T09_a_proxy_is_used_and_shown_without_its_password(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with H2Server(two) as server, HttpProxy() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:{PASSWORD}@{proxy.address}")
        async with consuming(server.target, kind) as rig:
            await rig.has_seen(1, 2)
            assert rig.source.status().proxy == f"{proxy.address} (http_proxy)"
        assert proxy.asked == [server.target]


async def test_T09_a_proxy_that_refuses_is_named_as_the_reason(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with H2Server(two) as server, HttpProxy("403 Forbidden") as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:{PASSWORD}@{proxy.address}")
        monkeypatch.setenv("no_proxy", "localhost")  # does not cover the address
        async with consuming(server.target, kind) as rig:
            await rig.until(lambda: rig.ended)
            reason = rig.ended[0].reason
            assert "the HTTP proxy refused to open a connection to the target" in reason
            assert f"goes through the HTTP proxy {proxy.address} (http_proxy)" in reason
            assert "proxy=False" in reason
            assert PASSWORD not in " ".join(rig.lines)


async def test_T09_a_dead_proxy(
    kind: Kind, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("grpc_proxy", f"http://127.0.0.1:{closed_port}")
    async with H2Server(two) as server, consuming(server.target, kind) as rig:
        await rig.until(lambda: rig.ended)
        assert f"the HTTP proxy 127.0.0.1:{closed_port} (grpc_proxy)" in rig.ended[0].reason


@pytest.mark.parametrize(
    ("options", "no_proxy"),
    [({"proxy": False}, ""), ({}, "127.0.0.0/8"), ({}, "127.0.0.1")],
    ids=["off", "network", "address"],
)
async def test_T09_around_the_proxy(
    kind: Kind,
    options: dict[str, Any],
    no_proxy: str,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("no_proxy", no_proxy)
    async with H2Server(two) as server, consuming(server.target, kind, **options) as rig:
        await rig.has_seen(1, 2)
        assert rig.source.status().proxy == ""


async def test_T09_a_proxy_of_the_source_s_own(
    kind: Kind, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    async with H2Server(two) as server, HttpProxy() as proxy:
        own = f"http://me:{PASSWORD}@{proxy.address}"
        async with consuming(server.target, kind, proxy=own) as rig:
            await rig.has_seen(1, 2)
            assert rig.source.status().proxy == f"{proxy.address} (proxy=)"
            assert PASSWORD not in repr(rig.source.declaration)
        assert proxy.asked == [server.target]


# T10: spellings.


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("localhost:50051/shop.Orders", "write 'localhost:50051'"),
        ("a:1,b:2", "target=['a:1', 'b:2']"),
        ("::1:50051", "goes in brackets: '[::1]:50051'"),
        ("dns://orders:50051", "write 'dns:///orders:50051'"),
        ("localhost", "write 'localhost:50051'"),
        (["a:1", "b"], "write 'b:50051'"),
    ],
    ids=str,
)
def test_T10_a_wrong_spelling_is_answered_with_the_right_one(target: Any, says: str) -> None:
    with pytest.raises(TargetError) as caught:
        source(target)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("target", "dialled"),
    [
        ("https://orders", "orders:443"),
        ("http://orders", "orders:80"),
        ("https://orders:8443/", "orders:8443"),
        ("ipv4:10.0.0.1:5,10.0.0.2:5", "ipv4:10.0.0.1:5,10.0.0.2:5"),
        (["a:1", "b:2"], "a:1, b:2"),
        ("[::1]:50051", "[::1]:50051"),
    ],
    ids=str,
)
def test_T10_what_is_dialled(target: Any, dialled: str) -> None:
    assert repr(source(target)).endswith(f"at {dialled}>")


async def test_T10_a_web_address_without_tls(kind: Kind) -> None:
    async with H2Server(two) as server, consuming(f"http://{server.target}/", kind) as rig:
        await rig.has_seen(1, 2)


# T11: unix sockets.


async def test_T11_a_unix_socket_at_a_strict_server(kind: Kind, tmp_path: Path) -> None:
    async def strict(stream: Stream) -> None:
        if "%" in stream.request_headers[":authority"]:
            await stream.reset(ErrorCodes.PROTOCOL_ERROR)
        else:
            await two(stream)

    async with H2Server(strict, at=str(tmp_path / "feed.sock")) as server:
        async with consuming(server.target, kind) as rig:
            await rig.has_seen(1, 2)
        assert server.streams[0].request_headers[":authority"] == "localhost"


async def test_T11_a_unix_socket_that_is_not_there(kind: Kind, tmp_path: Path) -> None:
    async with consuming(f"unix:{tmp_path}/feed.sock", kind) as rig:
        await rig.until(lambda: rig.ended)
        assert "the unix socket does not exist" in rig.ended[0].reason


# T12: a name that the system knows and gRPC does not.


async def test_T12_a_name_that_only_the_system_s_resolver_knows(
    kind: Kind, closed_port: int
) -> None:
    # Not a name in DNS; the system reads it as BSD always did.
    async with consuming(f"127.1:{closed_port}", kind) as rig:
        await rig.until(lambda: rig.ended)
        assert "the host name cannot be resolved" in rig.ended[0].reason
        assert "GRPC_DNS_RESOLVER=native" in rig.ended[0].reason
        await rig.until(lambda: "the system's resolver knows '127.1'" in rig.split.reason)
        assert "(127.0.0.1)" in rig.split.reason


async def test_T12_a_name_that_nobody_knows(kind: Kind) -> None:
    async with consuming("no-such-host.invalid:50051", kind) as rig:
        await rig.until(
            lambda: (
                "the system's resolver does not know 'no-such-host.invalid' either"
                in rig.split.reason
            )
        )


# T13: one name, two addresses, one of which answers.


async def test_T13_a_server_on_one_of_two_addresses(kind: Kind, closed_port: int) -> None:
    async with H2Server(two) as server:
        target = f"ipv4:127.0.0.1:{closed_port},{server.target}"
        async with consuming(target, kind) as rig:
            await rig.has_seen(1, 2)


#: What this machine's ``localhost`` stands for; the first is dialled first.
LOCALHOST = sorted({str(info[4][0]) for info in socket.getaddrinfo("localhost", 1)})


@pytest.mark.parametrize("at", LOCALHOST)
async def test_T13_localhost_on_one_family_only(kind: Kind, at: str) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(H2Server(two, at=at))
        rig = await stack.enter_async_context(consuming(f"localhost:{server.port}", kind))
        await rig.has_seen(1, 2)


async def test_T13_every_address_is_told(kind: Kind, closed_port: int) -> None:
    target = f"ipv4:127.0.0.1:{closed_port},127.0.0.2:{closed_port}"
    async with consuming(target, kind) as rig:
        await rig.until(lambda: "tried " in rig.split.reason)
        assert "nothing listens on this address and port" in rig.split.reason
        for address in ("127.0.0.1", "127.0.0.2"):
            assert f"{address}:{closed_port} (" in rig.split.reason


# T15: xDS and schemes that nobody has.


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("xds:///orders", "set GRPC_XDS_BOOTSTRAP"),
        ("consul:///orders", "no scheme 'consul'"),
        ("dsn:///orders:1", "did you mean"),
    ],
)
def test_T15_what_is_missing_or_unknown(
    target: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRPC_XDS_BOOTSTRAP", raising=False)
    monkeypatch.delenv("GRPC_XDS_BOOTSTRAP_CONFIG", raising=False)
    with pytest.raises(TargetError) as caught:
        source(target)
    assert says in str(caught.value)


# Several servers that serve the same (the answer to T14 is with many streams).


async def test_T14_the_next_server_takes_over(kind: Kind) -> None:
    async def ending(stream: Stream) -> None:
        await send_ticks(stream, 1)
        stream.peer.server.close()
        stream.fin()

    async with H2Server(ending) as first, H2Server(two) as second:
        targets: Any = [first.target, second.target]
        async with consuming(targets, kind, cursor=CURSOR) as rig:
            await rig.has_seen(1, 2)
        assert len(first.streams) == len(second.streams) == 1
