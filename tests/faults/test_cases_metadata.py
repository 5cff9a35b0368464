"""The acceptance cases about metadata and tokens, each at a whole source, both ways."""

from __future__ import annotations

import logging
import time
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import faust
import grpc
import pytest
from certificates import AUTHORITY, server_context
from consuming import CURSOR, TICKS, Kind, asked_after, consuming, send_ticks
from h2_server import H2Server, Stream
from support.messages import SETS

from faust_grpc import TLS, CallMetadata, ConfigurationError, CredentialsError, GrpcSource
from faust_grpc.runner import Runner
from faust_grpc.testing import Fail, ScriptedServer, Stall
from faust_grpc.web.page import page
from faust_grpc.web.status import worker_status

SECRET = "hunter2-but-longer"
UNAVAILABLE, UNAUTHENTICATED = 14, 16
ROOTS = AUTHORITY.cert_pem.bytes()


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A server that keeps calls open and remembers what they brought."""
    with ScriptedServer() as server:
        server.script(TICKS, Stall())
        yield server


async def sent(server: ScriptedServer, kind: Kind, metadata: Any) -> tuple[Any, ...]:
    """Return what a source's first call brings, without what gRPC adds."""
    async with consuming(server.target, kind, metadata=metadata) as rig:
        await rig.until(lambda: server.calls)
    return tuple(pair for pair in server.calls[0].metadata if pair[0].startswith(("auth", "x-")))


async def later() -> dict[str, str]:
    return {"Authorization": "Bearer x", "X-Tenant": "a"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"Authorization": "Bearer x", "X-Tenant": "a"},
        [("Authorization", "Bearer x"), ("X-Tenant", "a")],
        lambda: {"Authorization": "Bearer x", "X-Tenant": "a"},
        later,
        lambda: CallMetadata({"Authorization": "Bearer x", "X-Tenant": "a"}),
    ],
    ids=["dict", "pairs", "callable", "async", "CallMetadata"],
)
async def test_M01_capital_letters(server: ScriptedServer, kind: Kind, metadata: Any) -> None:
    assert await sent(server, kind, metadata) == (
        ("authorization", "Bearer x"),
        ("x-tenant", "a"),
    )


WRONG = [
    ({"x-count": 5}, "'x-count' must be str, not int"),
    ({"x-none": None}, "'x-none' must be str, not NoneType"),
    ({"x-city": f"Zürich {SECRET}"}, "'x-city' has a character outside printable ASCII"),
    ({"x-bin": SECRET}, "'x-bin' ends in '-bin', so its value must be bytes, not str"),
    ({"x-line": f"{SECRET}\n"}, "'x-line' has a character outside printable ASCII"),
]


@pytest.mark.parametrize(("metadata", "says"), WRONG)
def test_M03_wrong_metadata_is_refused_at_declaration(metadata: Any, says: str) -> None:
    app = faust.App("metadata", broker="kafka://127.0.0.1:9", store="memory://")
    with pytest.raises(CredentialsError) as caught:
        GrpcSource(app, "a:1", TICKS, schema=SETS / "feed.binpb", metadata=metadata)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(("metadata", "says"), WRONG)
async def test_M03_wrong_metadata_of_a_provider_is_told(
    server: ScriptedServer, kind: Kind, metadata: Any, says: str
) -> None:
    async with consuming(server.target, kind, metadata=lambda: metadata) as rig:
        await rig.until(lambda: says in rig.split.reason)
        assert SECRET not in f"{rig.lines}{rig.source.status()}"
    assert not server.calls


async def test_M04_a_server_s_error_text_is_one_readable_line(
    server: ScriptedServer, kind: Kind
) -> None:
    failing = Fail(grpc.StatusCode.UNAVAILABLE, "Zürich\nline2\tend")
    server.script(TICKS, failing)
    async with consuming(server.target, kind) as rig:
        await rig.until(lambda: rig.ended)
        (line,) = [line for line in rig.lines if "Zürich" in line][:1]
        assert "\n" not in line
        assert "line2" in line
        assert "\n" not in rig.split.reason


async def test_M06_one_name_twice_and_a_comma(server: ScriptedServer, kind: Kind) -> None:
    pairs = [("x-a", "1"), ("x-a", "2"), ("x-b", "a,b"), ("x-c-bin", b"\x00\xff,")]
    assert sorted(await sent(server, kind, pairs)) == pairs


# M07: tokens that end.


class Tokens:
    """A provider that counts, and a server that lets tokens in by number."""

    def __init__(self, *refused: int, lives_seconds: float | None = None) -> None:
        self.given = 0
        self.seen: list[str] = []
        self.resumed: list[int] = []
        self._refused = refused
        self._lives_seconds = lives_seconds

    async def provider(self) -> CallMetadata:
        self.given += 1
        ends = None if self._lives_seconds is None else time.time() + self._lives_seconds
        return CallMetadata({"authorization": f"Bearer {SECRET}{self.given}"}, expires_at=ends)

    async def __call__(self, stream: Stream) -> None:
        """Send one message per call; say UNAUTHENTICATED then, or at once."""
        token = stream.request_headers["authorization"]
        self.seen.append(token)
        self.resumed.append(await asked_after(stream))
        if len(self.seen) in self._refused:
            await stream.refuse(16, f"token {token} is not valid")
            return
        await send_ticks(stream, len(self.seen))
        if self._lives_seconds is None:
            await stream.trailers(16, f"token {token} has ended")
        await stream.wait()


async def test_M07_a_token_that_ended_is_renewed_and_the_stream_resumed(kind: Kind) -> None:
    tokens = Tokens()
    async with H2Server(tokens) as server:
        options = {"cursor": CURSOR, "metadata": tokens.provider}
        async with consuming(server.target, kind, **options) as rig:
            await rig.until(lambda: rig.seen[:3] == [1, 2, 3])
            assert tokens.seen[:3] == [f"Bearer {SECRET}{number}" for number in (1, 2, 3)]
            assert tokens.resumed[:3] == [0, 1, 2]
            assert SECRET not in f"{rig.lines}{rig.source.status()}"
            assert "token <authorization> has ended" in rig.ended[0].reason


async def test_M07_a_fresh_token_that_is_refused_too_is_fatal(kind: Kind) -> None:
    tokens = Tokens(2, 3, 4)
    async with H2Server(tokens) as server:
        options = {"cursor": CURSOR, "metadata": tokens.provider}
        async with consuming(server.target, kind, **options) as rig:
            await rig.until(lambda: rig.split.state == "fatal")
            assert rig.seen == [1]
            assert tokens.given == len(tokens.seen) == 2
            assert "UNAUTHENTICATED" in rig.split.reason
            assert SECRET not in f"{rig.lines}{rig.source.status()}"


async def test_M07_the_first_token_may_be_stale(kind: Kind) -> None:
    tokens = Tokens(1)
    async with H2Server(tokens) as server:
        options = {"cursor": CURSOR, "metadata": tokens.provider}
        async with consuming(server.target, kind, **options) as rig:
            await rig.until(lambda: 2 in rig.seen)
            assert tokens.seen[:2] == [f"Bearer {SECRET}1", f"Bearer {SECRET}2"]


async def test_M07_a_call_is_renewed_before_its_token_ends(kind: Kind) -> None:
    tokens = Tokens(lives_seconds=8)
    async with H2Server(tokens) as server:
        options = {"cursor": CURSOR, "metadata": tokens.provider}
        async with consuming(server.target, kind, **options) as rig:
            began = time.monotonic()
            await rig.until(lambda: rig.seen == [1, 2])
            assert time.monotonic() - began < 8
            assert tokens.seen == [f"Bearer {SECRET}{number}" for number in (1, 2)]
            assert tokens.resumed == [0, 1]
            assert not rig.warnings


# Call credentials.


class Plugin(grpc.AuthMetadataPlugin):
    """Gives a token, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def __call__(self, context: Any, callback: Any) -> None:
        callback((("authorization", f"Bearer {SECRET}"),), self.error)


async def test_M07_call_credentials_are_sent_with_tls(kind: Kind) -> None:
    seen: list[str] = []

    async def script(stream: Stream) -> None:
        seen.append(stream.request_headers["authorization"])
        await send_ticks(stream, 1)
        await stream.wait()

    context = server_context(AUTHORITY.issue_cert("localhost"))
    credentials = grpc.metadata_call_credentials(Plugin())
    async with H2Server(script, tls=context) as server:
        options = {"tls": TLS(roots=ROOTS), "call_credentials": credentials}
        async with consuming(f"localhost:{server.port}", kind, **options) as rig:
            await rig.has_seen(1)
    assert seen == [f"Bearer {SECRET}"]


async def test_M07_call_credentials_that_fail_are_named(kind: Kind) -> None:
    context = server_context(AUTHORITY.issue_cert("localhost"))
    credentials = grpc.metadata_call_credentials(Plugin(LookupError("vault is sealed")))

    async def script(stream: Stream) -> None:
        await stream.wait()

    async with H2Server(script, tls=context) as server:
        options = {"tls": TLS(roots=ROOTS), "call_credentials": credentials}
        async with consuming(f"localhost:{server.port}", kind, **options) as rig:
            await rig.until(lambda: rig.ended)
            assert "vault is sealed" in rig.ended[0].reason
            assert "call_credentials= failed" in rig.ended[0].reason


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"call_credentials": grpc.access_token_call_credentials(SECRET)}, "need TLS"),
        ({"call_credentials": SECRET, "tls": True}, "is str; give a grpc.CallCredentials"),
    ],
)
def test_M07_call_credentials_that_cannot_work(options: Any, says: str) -> None:
    app = faust.App("metadata", broker="kafka://127.0.0.1:9", store="memory://")
    with pytest.raises(ConfigurationError) as caught:
        GrpcSource(app, "a:1", TICKS, schema=SETS / "feed.binpb", **options)
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


# Secrets are shown nowhere.


async def test_M03_secrets_are_shown_nowhere(
    kind: Kind, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """… in logs down to DEBUG, reprs, errors, the status and its page, wherever one is kept."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, "hpack")  # the server's, which is in this process too
    monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
    issued = AUTHORITY.issue_cert("localhost")
    key = issued.private_key_pem.bytes()
    secrets = [
        SECRET,
        b64encode(SECRET.encode()).decode().rstrip("="),
        key.split(b"\n")[1].decode(),
    ]
    ends = iter([UNAUTHENTICATED, UNAVAILABLE])

    async def script(stream: Stream) -> None:
        text = f"what is {stream.request_headers['authorization']}?"
        if (code := next(ends, None)) is None:
            await stream.refuse(UNAUTHENTICATED, text)
            return
        await send_ticks(stream, 1)
        await stream.trailers(code, text)

    pair = {"certificate": issued.cert_chain_pems[0].bytes() + key, "key": key}
    async with H2Server(script, tls=server_context(issued)) as server:
        options: dict[str, Any] = {
            "tls": TLS(roots=ROOTS, **pair),
            "metadata": {"Authorization": f"Bearer {SECRET}", "x-key-bin": SECRET.encode()},
            "call_credentials": grpc.access_token_call_credentials(SECRET),
            "proxy": f"http://me:{SECRET}@127.0.0.1:9",
            "kafka_options": {"sasl.password": SECRET},
            "request": {"sym": "AB"},
        }
        async with consuming(f"localhost:{server.port}", kind, **options) as rig:
            await rig.until(lambda: rig.split.state == "fatal")
            source = rig.source
            (connection,) = rig.feed.connections
            (split,) = rig.feed
            shown = [source, source.declaration, source.status(), connection, split]
            shown += [rig.feed, split.protocol, connection.targets, options["tls"], rig.app]
            shown += [Runner.of(rig.app), rig.feed.terms]
            status = worker_status(rig.app)
            shown += [status, *page(status, prefix="/grpc", control=True)]
    told = caplog.text + "".join(map(repr, shown)) + "".join(map(str, shown))
    assert "what is <authorization>?" in told
    for secret in secrets:
        assert secret not in told
