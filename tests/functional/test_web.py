"""Health, status and control over HTTP, of a worker in this process."""

from __future__ import annotations

import logging

import faust
import pytest
from aiohttp import ClientSession
from support_web import TOKEN, pages

from faust_grpc import ConfigurationError, setup_web
from faust_grpc.lifecycle import Lifecycle, Phase
from faust_grpc.testing import free_port


async def test_F02_ready_is_assigned_and_recovered_and_alive_is_alive() -> None:
    async with pages() as worker:
        await worker.reach()
        assert await worker.get("/grpc/health/live") == (200, {"live": True})
        assert await worker.get("/grpc/health/ready") == (200, {"ready": True, "reasons": []})

        worker.runner.lifecycle = Lifecycle(worker.app)
        worker.runner.lifecycle.enter(Phase.RECOVERING)
        assert await worker.get("/grpc/health/live") == (200, {"live": True})
        status, answer = await worker.get("/grpc/health/ready")
    assert status == 503
    assert answer == {"ready": False, "reasons": ["waiting for table recovery (0 s)"]}


async def test_F02_a_server_that_is_down_is_no_reason_but_on_request() -> None:
    async with pages() as worker:
        await worker.reach()
        worker.servers["b"].stop()
        await worker.reach(b="waiting")
        assert (await worker.get("/grpc/health/ready"))[0] == 200
        reason = "orders/b: connecting"
        while reason == "orders/b: connecting":  # the next call may just be under way
            status, answer = await worker.get("/grpc/health/ready?require=receiving")
            assert status == 503
            (reason,) = answer["reasons"]
        await worker.post("/grpc/orders/b/pause")
        paused = await worker.get("/grpc/health/ready?require=receiving")
    assert reason.startswith("orders/b: waiting: UNAVAILABLE")
    assert paused[0] == 200, "who paused it knows"


async def test_a_requirement_that_is_none() -> None:
    async with pages() as worker:
        status, answer = await worker.get("/grpc/health/ready?require=ready")
    assert status == 400
    assert "'assigned', 'receiving', 'synced'" in answer["error"]


async def test_status_has_every_split_and_who_reads_it() -> None:
    async with pages() as worker:
        await worker.reach()
        status, told = await worker.get("/grpc/status?cluster=true&history=true")
    assert status == 200
    (source,) = told["sources"]
    assert [split["name"] for split in source["splits"]] == ["a", "b", "c", "d"]
    for split in source["splits"]:
        assert split["worker"] == told["worker"]["url"]
        assert split["messages"] == split["cursor"] == 5
        assert not split["needs_person"]
    assert told["problems"] == []
    assert told["worker"]["phase"] == "running"


async def test_control_needs_the_token(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with pages() as worker:
            await worker.reach()
            for authorization in (None, "Bearer wrong", TOKEN, f"Basic {TOKEN}", "Bearer é"):
                status, answer = await worker.post(
                    "/grpc/orders/a/pause", authorization=authorization
                )
                assert status == 401, authorization
                assert "token" in answer["error"]
            assert worker.states()["a"] == "receiving"
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(worker.runner)


async def test_control_is_off_without_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAUST_GRPC_TOKEN", raising=False)
    async with pages(web={}) as worker:
        status, answer = await worker.post("/grpc/orders/a/pause")
    assert status == 403
    assert "FAUST_GRPC_TOKEN" in answer["error"]


async def test_the_token_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAUST_GRPC_TOKEN", TOKEN)
    async with pages(web={}) as worker:
        await worker.reach()
        assert (await worker.post("/grpc/orders/a/pause"))[0] == 200


async def test_a_split_is_paused_resumed_and_restarted() -> None:
    async with pages() as worker:
        await worker.reach()
        status, answer = await worker.post("/grpc/orders/a/pause", '{"reason": "server moves"}')
        assert status == 200
        assert (answer["state"], answer["reason"]) == ("paused", "server moves")
        await worker.reach(a="paused")
        assert (await worker.post("/grpc/orders/a/resume"))[0] == 200
        assert (await worker.post("/grpc/orders/b/restart"))[0] == 200
        server = worker.servers["b"]
        server.wait_for_calls(2)
        await worker.reach(a="open", b="open")
        calls = {name: len(server.calls) for name, server in worker.servers.items()}
    assert calls == {"a": 2, "b": 2, "c": 1, "d": 1}


@pytest.mark.parametrize(
    ("path", "body", "status", "named"),
    [
        ("/grpc/order/a/pause", "", 400, "did you mean 'orders'"),
        ("/grpc/orders/e/pause", "", 400, "no split 'e'"),
        ("/grpc/orders/a/stop", "", 400, "'pause'"),
        ("/grpc/orders/a/pause", "[]", 400, "no JSON object"),
        ("/grpc/orders/a/pause", "{", 400, "no JSON object"),
        ("/grpc/orders/a/checkpoint", "{}", 400, '{"cursor": ...}'),
        ("/grpc/orders/a/checkpoint", '{"cursor": true}', 400, "give an integer"),
        ("/grpc/orders/a/checkpoint", '{"cursor": {"x": 1}}', 400, "give an integer"),
        ("/grpc/orders/a/checkpoint", '{"cursor": 1}', 400, "saves no cursor"),
        ("/grpc/orders/a/resume", '{"skip": true}', 409, "did not halt"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    path: str, body: str, status: int, named: str
) -> None:
    async with pages() as worker:
        await worker.reach()
        found, answer = await worker.post(path, body)
    assert found == status
    assert named in answer["error"]


async def test_nothing_is_done_while_partitions_change_hands() -> None:
    async with pages() as worker:
        await worker.reach()
        worker.runner.lifecycle.enter(Phase.REBALANCING)
        status, answer = await worker.post("/grpc/orders/a/pause")
    assert status == 503
    assert "its consumer group" in answer["error"]


async def test_from_code_as_over_http() -> None:
    async with pages() as worker:
        await worker.reach()
        assert await worker.source.pause() == ["a", "b", "c", "d"]
        await worker.reach(a="paused", b="paused", c="paused", d="paused")
        assert await worker.source.resume("c") == ["c"]
        await worker.reach(a="paused", b="paused", c="open", d="paused")
        assert await worker.source.restart("d") == ["d"]
        await worker.reach(a="paused", b="paused", c="open", d="open")
        with pytest.raises(ConfigurationError, match="no split 'e': there are: 'a'"):
            await worker.source.pause("e")


async def test_the_page_shows_what_a_server_says_as_text() -> None:
    async with pages({"c": [b"<b>\xff"]}, on_poison="halt") as worker:
        await worker.reach(c="fatal")
        async with ClientSession() as session, session.get(f"{worker.url}/grpc/") as response:
            text = await response.text()
            rules = response.headers["Content-Security-Policy"]
    assert response.content_type == "text/html"
    assert "orders/c: fatal" in text
    assert "default-src 'none'" in rules


async def test_pages_elsewhere_or_nowhere() -> None:
    async with pages(web={"prefix": "/streams"}) as worker:
        assert (await worker.get("/streams/health/live"))[0] == 200
        async with ClientSession() as session, session.get(f"{worker.url}/grpc/") as response:
            assert response.status == 404
    async with (
        pages(web={"enabled": False}) as worker,
        ClientSession() as session,
        session.get(f"{worker.url}/grpc/health/live") as response,
    ):
        assert response.status == 404


async def test_F02_the_pages_on_a_port_of_their_own() -> None:
    """For ``--without-web``: what Faust's server has, this one has too."""
    port = free_port()
    async with pages(web={"port": port, "token": TOKEN}) as worker:
        own = worker.runner._children[-1]
        await own.start()
        try:
            await worker.reach()
            worker.url = f"http://127.0.0.1:{port}"
            assert (await worker.get("/grpc/health/ready"))[0] == 200
            assert (await worker.post("/grpc/orders/a/pause"))[1]["state"] == "paused"
        finally:
            await own.stop()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"token": " "}, "token"),
        ({"prefix": "grpc"}, "prefix='grpc'"),
        ({"prefix": "/"}, "prefix='/'"),
        ({"prefix": "/grpc/"}, "prefix='/grpc/'"),
        ({"port": 0}, "port=0"),
    ],
)
def test_wrong_settings(options: dict[str, str], named: str) -> None:
    app = faust.App("settings", broker="kafka://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=named):
        setup_web(app, **options)
