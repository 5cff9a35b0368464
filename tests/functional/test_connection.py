"""One connection: what gRPC does with the options, and what is told when it fails."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from faust_grpc.config import TLS, Buffer
from faust_grpc.connection import Connection
from faust_grpc.exceptions import ConfigurationError, CredentialsError, TargetError
from faust_grpc.explain import explain
from faust_grpc.protocol.base import Call
from faust_grpc.readers import open_reader
from faust_grpc.types import Status

AUTHORITY = trustme.CA()
PATH = "/test.Feed/Watch"
CALL = Call(PATH, (b"",))


class Feed(grpc.GenericRpcHandler):
    """Answers every call with the peer's address."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        def watch(_: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            yield str(context.peer()).encode()

        return grpc.unary_stream_rpc_method_handler(watch)


@asynccontextmanager
async def serving(*addresses: str, certificate: trustme.LeafCert | None = None, **tls: Any) -> Any:
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Feed(),))
    ports = []
    for address in addresses or ("127.0.0.1:0",):
        if certificate is None:
            ports.append(server.add_insecure_port(address))
        else:
            chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
            pair = (certificate.private_key_pem.bytes(), chain)
            credentials = grpc.ssl_server_credentials([pair], **tls)
            ports.append(server.add_secure_port(address, credentials))
    server.start()
    try:
        yield ports[0]
    finally:
        await asyncio.to_thread(server.stop(None).wait)


async def read(connection: Connection, kind: Any = "aio") -> tuple[Status, list[bytes]]:
    """Make one call and close the connection."""
    changed = asyncio.Event()
    reader = open_reader(kind, connection, CALL, Buffer(), (), changed.set)
    while reader.status is None:
        await changed.wait()
        changed.clear()
    await reader.closed()
    await connection.close()
    return reader.status, reader.take(100)


def test_nothing_is_opened_by_declaring() -> None:
    connection = Connection("localhost:50051", tls=True)
    assert repr(connection) == "<Connection localhost:50051 TLS>"
    assert connection.channels == 0
    with pytest.raises(RuntimeError, match="no running event loop"):
        connection.acquire("aio")


def test_mistakes_are_told_at_declaration() -> None:
    with pytest.raises(TargetError):
        Connection("localhost")
    with pytest.raises(CredentialsError):
        Connection("localhost:50051", tls=TLS(roots="/no/such/file"))
    with pytest.raises(ConfigurationError, match="'https://'"):
        Connection("https://localhost:50051", tls=False)
    with pytest.raises(ConfigurationError, match="'http://'"):
        Connection("http://localhost:50051", tls=TLS())


async def test_closed_is_closed() -> None:
    connection = Connection("localhost:50051")
    await connection.close()
    await connection.close()
    with pytest.raises(RuntimeError, match="is closed"):
        connection.acquire("aio")


@pytest.mark.parametrize("kind", ["threaded", "aio"])
async def test_connections_do_not_share_a_socket(kind: str) -> None:
    async with serving() as port:
        peers = [(await read(Connection(f"127.0.0.1:{port}"), kind))[1] for _ in range(2)]
        first, second = Connection(f"127.0.0.1:{port}"), Connection(f"127.0.0.1:{port}")
        assert (await read(first, kind))[1] != (await read(second, kind))[1]
    assert all(peers)


@pytest.mark.parametrize("kind", ["threaded", "aio"])
async def test_unix_socket(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "feed.sock"
    async with serving(f"unix:{path}"):
        status, messages = await read(Connection(f"unix:{path}"), kind)
    assert status.code is grpc.StatusCode.OK
    assert len(messages) == 1


@pytest.mark.parametrize("kind", ["threaded", "aio"])
async def test_tls(kind: str) -> None:
    roots = AUTHORITY.cert_pem.bytes()
    async with serving(certificate=AUTHORITY.issue_cert("localhost")) as port:
        status, _ = await read(Connection(f"localhost:{port}", tls=TLS(roots=roots)), kind)
    assert status.code is grpc.StatusCode.OK


async def test_tls_under_another_name() -> None:
    tls = TLS(roots=AUTHORITY.cert_pem.bytes(), server_name="feed.example.org")
    async with serving(certificate=AUTHORITY.issue_cert("feed.example.org")) as port:
        status, _ = await read(Connection(f"127.0.0.1:{port}", tls=tls))
    assert status.code is grpc.StatusCode.OK


async def test_mutual_tls() -> None:
    roots = AUTHORITY.cert_pem.bytes()
    own = AUTHORITY.issue_cert("reader")
    mutual = {"root_certificates": roots, "require_client_auth": True}
    async with serving(certificate=AUTHORITY.issue_cert("localhost"), **mutual) as port:
        tls = TLS(
            roots=roots,
            certificate=own.cert_chain_pems[0].bytes(),
            key=own.private_key_pem.bytes(),
        )
        status, _ = await read(Connection(f"localhost:{port}", tls=tls))
        assert status.code is grpc.StatusCode.OK
        connection = Connection(f"localhost:{port}", tls=TLS(roots=roots))
        status, _ = await read(connection)
        assert status.code is grpc.StatusCode.UNAVAILABLE
        assert "client certificate" in connection.explain(status)


Failing = Callable[[], Any]


@asynccontextmanager
async def plaintext_to_tls() -> AsyncIterator[Connection]:
    async with serving(certificate=AUTHORITY.issue_cert("localhost")) as port:
        yield Connection(f"localhost:{port}")


@asynccontextmanager
async def tls_to_plaintext() -> AsyncIterator[Connection]:
    async with serving() as port:
        yield Connection(f"https://localhost:{port}")


@asynccontextmanager
async def wrong_roots() -> AsyncIterator[Connection]:
    async with serving(certificate=AUTHORITY.issue_cert("localhost")) as port:
        yield Connection(f"localhost:{port}", tls=TLS(roots=trustme.CA().cert_pem.bytes()))


@asynccontextmanager
async def wrong_name() -> AsyncIterator[Connection]:
    async with serving(certificate=AUTHORITY.issue_cert("example.org")) as port:
        yield Connection(f"localhost:{port}", tls=TLS(roots=AUTHORITY.cert_pem.bytes()))


@asynccontextmanager
async def nobody_there() -> AsyncIterator[Connection]:
    with socket.socket() as held:  # bound and not listening: refused, and nobody else gets it
        held.bind(("127.0.0.1", 0))
        yield Connection(f"127.0.0.1:{held.getsockname()[1]}")


@asynccontextmanager
async def no_such_name() -> AsyncIterator[Connection]:
    yield Connection("no-such-host.invalid:50051")


@asynccontextmanager
async def no_such_socket() -> AsyncIterator[Connection]:
    yield Connection("unix:///no/such/feed.sock")


@asynccontextmanager
async def http1_server() -> AsyncIterator[Connection]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with listening(answer) as port:
        yield Connection(f"127.0.0.1:{port}")


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("kind", ["threaded", "aio"])
@pytest.mark.parametrize(
    ("failing", "says"),
    [
        (plaintext_to_tls, "probably expects TLS"),
        (tls_to_plaintext, "does not speak TLS"),
        (wrong_roots, "not signed by a root that is trusted"),
        (wrong_name, "for another name"),
        (nobody_there, "nothing listens"),
        (no_such_name, "cannot be resolved"),
        (no_such_socket, "unix socket does not exist"),
        (http1_server, "not HTTP/2"),
    ],
)
async def test_what_is_probably_wrong(kind: str, failing: Failing, says: str) -> None:
    async with failing() as connection:
        status, _ = await read(connection, kind)
    assert status.code is grpc.StatusCode.UNAVAILABLE
    assert not status.ours
    assert says in connection.explain(status)


def test_a_proxy_is_named_where_it_may_be_the_reason() -> None:
    refused = Status(grpc.StatusCode.UNAVAILABLE, "… Failed to connect: Connection refused")
    assert "goes through the HTTP proxy proxy:3128" in explain(refused, proxy="proxy:3128")
    assert "proxy" not in explain(refused)
    unknown = Status(grpc.StatusCode.UNAVAILABLE, "address lookup failed for orders")
    assert "proxy" not in explain(unknown, proxy="proxy:3128")


def test_an_unknown_text_is_left_alone() -> None:
    assert explain(Status(grpc.StatusCode.NOT_FOUND, "no such order")) == ""
