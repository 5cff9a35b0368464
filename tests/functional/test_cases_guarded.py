"""The acceptance case about reflection behind TLS and a token, on a whole source."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import faust
import grpc
import grpc.aio
import pytest
import trustme
from support.reflection import V1, Scripted, add_handlers, files

from faust_grpc import TLS, GrpcSource
from faust_grpc.exceptions import ReflectionFailed

WATCH = "cases.uses.Bills/Watch"


class Guarded(Scripted):
    """Answers those who have the token."""

    async def handle(self, requests: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        if dict(context.invocation_metadata() or ()).get("authorization") != "Bearer x":
            token = dict(context.invocation_metadata() or ()).get("authorization", "none")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, f"{token} is no token")
        async for answer in super().handle(requests, context):
            yield answer


@asynccontextmanager
async def serving(script: Scripted, authority: trustme.CA) -> AsyncIterator[str]:
    """Serve reflection with TLS; yield the target."""
    certificate = authority.issue_cert("localhost")
    chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    server = grpc.aio.server()
    add_handlers(server, {V1: script.handle})
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    try:
        yield f"localhost:{port}"
    finally:
        await server.stop(None)


async def right() -> dict[str, str]:
    """Asked before every call, as a user's own provider is."""
    return {"authorization": "Bearer x"}


async def test_M05_a_source_asks_with_its_own_tls_and_metadata(tmp_path: Path) -> None:
    authority = trustme.CA()
    roots = tmp_path / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))
    script = Guarded(symbols=files("uses_common").values())
    app = faust.App("guarded", broker="kafka://127.0.0.1:9", store="memory://")
    async with serving(script, authority) as target:

        def feed_of(name: str, metadata: Any) -> Any:
            source = GrpcSource(
                app, target, WATCH, name=name, tls=TLS(roots=roots), metadata=metadata
            )
            return source._feed

        feed = feed_of("right", right)
        await feed.prepare()
        await feed.close(3.0)
        assert feed.plan.method.full_name == WATCH
        feed = feed_of("wrong", {"authorization": "Bearer stale-token"})
        with pytest.raises(
            ReflectionFailed, match="reflection: UNAUTHENTICATED: <authorization> is no token"
        ):
            await feed.prepare()
        await feed.close(3.0)
    assert [sent["authorization"] for sent in script.metadata] == ["Bearer x"]
