"""The acceptance cases about TLS, each at a whole source, read both ways."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import faust
import pytest
import trustme
from certificates import (
    AUTHORITY,
    chain_of,
    client_pair,
    expired,
    server_context,
    write_pair,
)
from consuming import CURSOR, TICKS, Ask, Kind, consuming, send_ticks, tick
from cryptography import x509
from h2_server import H2Server, Stream
from support.messages import SETS

from faust_grpc import TLS, CredentialsError, GrpcSource

ROOTS = AUTHORITY.cert_pem.bytes()
ISSUED = AUTHORITY.issue_cert("localhost")


async def two(stream: Stream) -> None:
    """Send two messages, and stay."""
    await send_ticks(stream, 2)
    await stream.wait()


@asynccontextmanager
async def serving(issued: trustme.LeafCert = ISSUED, **tls: Any) -> AsyncIterator[str]:
    """Run a server with TLS; yield its target."""
    async with H2Server(two, tls=server_context(issued, **tls)) as server:
        yield f"localhost:{server.port}"


async def told(target: str, kind: Kind, text: str, **options: Any) -> str:
    """Read until the split says a text; return all that it says."""
    async with consuming(target, kind, **options) as rig:
        await rig.until(lambda: text in rig.split.reason)
        assert not rig.seen
        return rig.split.reason


# T01: TLS and plaintext mixed up, or a web server's port.


async def test_T01_plaintext_to_a_port_with_tls(kind: Kind) -> None:
    async with serving() as target, consuming(target, kind) as rig:
        await rig.until(lambda: rig.ended)
        assert "it probably expects TLS; use tls=True" in rig.ended[0].reason


async def test_T01_tls_to_a_plaintext_port(kind: Kind) -> None:
    async with H2Server(two) as server, consuming(server.target, kind, tls=True) as rig:
        await rig.until(lambda: rig.ended)
        assert "WRONG_VERSION_NUMBER" in rig.ended[0].reason
        assert "does not speak TLS on this port" in rig.ended[0].reason


@asynccontextmanager
async def web_server(tls: bool = False) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    context = server_context(ISSUED) if tls else None
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
async def test_T01_a_web_server(kind: Kind, tls: bool) -> None:
    async with web_server(tls) as port:
        options = {"tls": TLS(roots=ROOTS)} if tls else {}
        async with consuming(f"localhost:{port}", kind, **options) as rig:
            await rig.until(lambda: rig.ended)
            assert "something that is not HTTP/2 answers on this port" in rig.ended[0].reason


async def test_T03_a_server_without_http2(kind: Kind) -> None:
    tls = TLS(roots=ROOTS)
    async with serving(alpn=False) as target, consuming(target, kind, tls=tls) as rig:
        await rig.until(lambda: rig.split.state == "fatal")
        assert "does not offer HTTP/2 (ALPN 'h2')" in rig.split.reason
        assert rig.split.calls == 1


# T04: certificates that are renewed while streams run.


class Doorman:
    """A server with mutual TLS that remembers whom it let in, and ends calls on demand."""

    def __init__(self) -> None:
        self.serials: list[int] = []
        self.out = asyncio.Event()

    async def __call__(self, stream: Stream) -> None:
        shown = stream.peer.writer.get_extra_info("peercert")
        self.serials.append(int(shown["serialNumber"], 16))
        await send_ticks(stream, len(self.serials))
        await self.out.wait()
        self.out.clear()
        stream.abort()


def serial(issued: trustme.LeafCert) -> int:
    return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).serial_number


async def test_T04_a_renewed_certificate_is_used_by_the_next_call(
    kind: Kind, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "faust_grpc")
    doorman, first, second = Doorman(), client_pair(valid_seconds=2), client_pair()
    certificate, key = write_pair(tmp_path, first)
    ends = datetime.now(timezone.utc).timestamp() + 2
    tls = TLS(roots=ROOTS, certificate=certificate, key=key)
    async with H2Server(doorman, tls=server_context(ISSUED, mutual=True)) as server:
        target = f"localhost:{server.port}"
        async with consuming(target, kind, cursor=CURSOR, tls=tls) as rig:
            await rig.has_seen(1)
            # The first has expired before anybody connects again.
            await rig.until(lambda: datetime.now(timezone.utc).timestamp() > ends)
            write_pair(tmp_path, second)
            doorman.out.set()
            await rig.has_seen(1, 2)
            assert doorman.serials == [serial(first), serial(second)]
            assert len(rig.said("certificates were renewed, valid until")) == 1
            # Nothing changed: the same channel, and no other word.
            doorman.out.set()
            await rig.has_seen(1, 2, 3)
            assert doorman.serials[2] == serial(second)
            (connection,) = rig.feed.connections
            assert connection.channels == 1
            assert len(rig.said("certificates were renewed")) == 1


async def test_T04_a_call_with_the_old_certificate_does_not_lend_it_to_the_next(
    kind: Kind, tmp_path: Path
) -> None:
    """… though both fit on one connection; it goes on itself."""
    first, second = client_pair(), client_pair()
    certificate, key = write_pair(tmp_path, first)
    let_in: list[tuple[str, int]] = []
    out = asyncio.Event()

    async def script(stream: Stream) -> None:
        (raw,) = await stream.messages(1)
        sym = Ask.FromString(raw).sym
        is_first = sym not in dict(let_in)
        let_in.append((sym, int(stream.peer.writer.get_extra_info("peercert")["serialNumber"], 16)))
        await stream.headers()
        await stream.message(tick(1, sym=sym))
        if sym == "leaves" and is_first:
            await out.wait()
            await stream.trailers(14, "restarting")
        await stream.wait()

    options: dict[str, Any] = {
        "tls": TLS(roots=ROOTS, certificate=certificate, key=key),
        "splits": {name: {"sym": name} for name in ("stays", "leaves")},
    }
    context = server_context(ISSUED, mutual=True)
    async with (
        H2Server(script, tls=context) as server,
        consuming(f"localhost:{server.port}", kind, **options) as rig,
    ):
        await rig.until(lambda: len(rig.seen) == 2)
        assert len(server.peers) == 1
        write_pair(tmp_path, second)
        out.set()
        await rig.until(lambda: len(rig.seen) == 3)
        assert let_in[2] == ("leaves", serial(second))
        assert {number for _, number in let_in[:2]} == {serial(first)}
        assert len(server.peers) == 2
        stays = next(one for one in rig.source.status().splits if one.name == "stays")
        assert stays.calls == 1


async def test_T04_a_half_written_pair_keeps_the_old_one_and_is_told_once(
    kind: Kind, tmp_path: Path
) -> None:
    doorman, first, second = Doorman(), client_pair(), client_pair()
    certificate, key = write_pair(tmp_path, first)
    tls = TLS(roots=ROOTS, certificate=certificate, key=key)
    async with H2Server(doorman, tls=server_context(ISSUED, mutual=True)) as server:
        target = f"localhost:{server.port}"
        async with consuming(target, kind, cursor=CURSOR, tls=tls) as rig:
            await rig.has_seen(1)
            certificate.write_bytes(chain_of(second))
            for count in (2, 3):
                doorman.out.set()
                await rig.has_seen(*range(1, count + 1))
            key.write_bytes(second.private_key_pem.bytes())
            doorman.out.set()
            await rig.has_seen(1, 2, 3, 4)
            (line,) = rig.said("going on with what was read before")
    assert "the key does not belong to the certificate" in line
    assert doorman.serials == [serial(first)] * 3 + [serial(second)]


async def test_T04_nobody_renewed_it(kind: Kind, tmp_path: Path) -> None:
    doorman, only = Doorman(), client_pair(valid_seconds=2)
    certificate, key = write_pair(tmp_path, only)
    tls = TLS(roots=ROOTS, certificate=certificate, key=key)
    async with AsyncExitStack() as stack:
        context = server_context(ISSUED, mutual=True)
        server = await stack.enter_async_context(H2Server(doorman, tls=context))
        target = f"localhost:{server.port}"
        rig = await stack.enter_async_context(consuming(target, kind, cursor=CURSOR, tls=tls))
        await rig.has_seen(1)
        ends = datetime.now(timezone.utc).timestamp() + 2
        await rig.until(lambda: datetime.now(timezone.utc).timestamp() > ends)
        doorman.out.set()
        await rig.until(lambda: "our own certificate expired on" in rig.split.reason)


# T06: files that cannot work are named before anything is dialled.


def unusable(folder: Path) -> dict[str, tuple[TLS, str]]:
    """By name: what is given, and what is said."""
    certificate, key = write_pair(folder, client_pair())
    other = folder / "other.key"
    other.write_bytes(client_pair().private_key_pem.bytes())
    locked = folder / "locked.key"
    subprocess.run(
        ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", key, "-out", locked],
        check=True,
    )
    (folder / "old").mkdir()
    old, old_key = write_pair(folder / "old", expired("reader"))
    return {
        "path as PEM": (TLS(roots=b"/etc/ca.pem"), "if it is a path, give it as str"),
        "PEM as path": (TLS(roots=ROOTS.decode()), "give it as bytes"),
        "no file": (TLS(roots=folder / "ca.pem"), "cannot be read: No such file"),
        "locked": (TLS(certificate=certificate, key=locked), "the key is encrypted"),
        "other key": (TLS(certificate=certificate, key=other), "key does not belong to the cert"),
        "expired": (TLS(certificate=old, key=old_key), "expired on"),
        "swapped": (TLS(certificate=key, key=certificate), "not a certificate"),
    }


@pytest.mark.parametrize(
    "name", ["path as PEM", "PEM as path", "no file", "locked", "other key", "expired", "swapped"]
)
async def test_T06_files_that_cannot_work_end_the_start(name: str, tmp_path: Path) -> None:
    tls, says = unusable(tmp_path)[name]
    app = faust.App("tls", broker="kafka://127.0.0.1:9", store="memory://")
    source = GrpcSource(app, "localhost:1", TICKS, schema=SETS / "feed.binpb", tls=tls)
    with pytest.raises(CredentialsError) as caught:
        await source._feed.prepare()
    assert says in str(caught.value)
    assert "PRIVATE KEY-----" not in str(caught.value)


# T07: the company's authority is in the system's store.


async def test_T07_a_private_authority_is_told_and_the_system_s_store_has_it(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ROOTS)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    async with serving() as target:
        async with consuming(target, kind, tls=True) as rig:
            await rig.until(lambda: rig.ended)
            assert "unable to get local issuer certificate" in rig.ended[0].reason
            assert 'TLS(roots="system")' in rig.ended[0].reason
        async with consuming(target, kind, tls=TLS(roots="system")) as rig:
            await rig.has_seen(1, 2)


# T08: the server leaves out the certificate between its own and the root.


async def test_T08_an_incomplete_chain(kind: Kind) -> None:
    between = AUTHORITY.create_child_ca()
    issued = between.issue_cert("localhost")
    tls = TLS(roots=ROOTS)
    async with serving(issued) as target, consuming(target, kind, tls=tls) as rig:
        await rig.has_seen(1, 2)
    async with serving(issued, leaf_only=True) as target:
        reason = await told(target, kind, "issued by", tls=tls)
    assert "its chain is incomplete" in reason
    assert "localhost" in reason
    assert (
        x509.load_pem_x509_certificate(between.cert_pem.bytes()).subject.rfc4514_string() in reason
    )


async def test_T08_a_certificate_for_another_name(kind: Kind) -> None:
    async with serving(AUTHORITY.issue_cert("orders.example.org")) as target:
        reason = await told(target, kind, "issued by", tls=TLS(roots=ROOTS))
    assert "is for another name than the target's" in reason
    assert "(for orders.example.org)" in reason


async def test_T08_a_certificate_that_is_out_of_date(kind: Kind) -> None:
    async with serving(expired("localhost")) as target:
        reason = await told(target, kind, "certificate has expired", tls=TLS(roots=ROOTS))
    assert "the server's certificate has expired" in reason


# T16: the server alone has a certificate, as usual.


async def test_T16_given_roots_are_enough(kind: Kind) -> None:
    async with serving() as target, consuming(target, kind, tls=TLS(roots=ROOTS)) as rig:
        await rig.has_seen(1, 2)


#: gRPC reads its default roots once in a process.
DEFAULT_ROOTS = textwrap.dedent("""
    import asyncio, sys
    from consuming import consuming

    async def main(target, kind):
        async with consuming(target, kind, tls=True) as rig:
            await rig.has_seen(1, 2)

    asyncio.run(main(*sys.argv[1:]))
""")


async def test_T16_tls_true_is_enough(kind: Kind, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(ROOTS)
    tests = Path(__file__).parents[1]
    async with serving() as target:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            DEFAULT_ROOTS,
            target,
            kind,
            env={
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots),
                "PYTHONPATH": f"{tests}:{tests / 'faults'}",
            },
        )
        assert await asyncio.wait_for(process.wait(), 60) == 0
