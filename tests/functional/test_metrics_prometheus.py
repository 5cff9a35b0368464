"""What Prometheus sees of sources that really run."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import faust
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from faust.sensors.prometheus import setup_prometheus_sensors
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support_app import METHOD, ORDERS, InProcess, in_process, orders, until

from faust_grpc import Buffer, GrpcSource
from faust_grpc.exceptions import ConfigurationError
from faust_grpc.metrics import Observer, observe, setup_prometheus
from faust_grpc.metrics.catalogue import DISTRIBUTIONS, METRICS

WHERE = {"app": "in-process", "source": "orders", "split": "main"}


def scraped(registry: CollectorRegistry) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Return every sample by name and labels, as a scraper reads them."""
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in found.setdefault(sample.name, {}), "a series came twice"
            found[sample.name][labels] = sample.value
    return found


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return scraped(registry).get(name, {}).get(frozenset(labels.items()))


def reading(rig: InProcess) -> list[int]:
    """Declare an agent; return what it has seen."""
    seen: list[int] = []

    @rig.app.agent(rig.source)
    async def agent(stream: Any) -> None:
        async for order in stream:
            seen.append(order.sequence)

    return seen


async def test_counters_are_those_of_the_source() -> None:
    registry = CollectorRegistry()
    async with in_process([*orders(40), b"\xff"], timestamp="created_at") as rig:
        setup_prometheus(rig.app, registry=registry, page=None)
        reading(rig)
        await rig.start()
        await until(lambda: rig.split.messages == 41 and not rig.split.unacked)
        status = rig.split
        for name, expected in {
            "messages_total": 41,
            "events_total": 40,
            "received_bytes_total": sum(len(o.SerializeToString()) for o in orders(40)) + 1,
            "decode_failures_total": 1,
            "calls_total": 1,
            "unacked_messages": 0,
            "buffered_messages": 0,
            "buffer_fill_ratio": 0,
            "possible_gaps_total": 0,
            "backoff_seconds": 0,
        }.items():
            assert value(registry, f"faust_grpc_{name}", **WHERE) == expected, name
        assert value(registry, "faust_grpc_split_state", state="receiving", **WHERE) == 1
        assert status.received_bytes == value(registry, "faust_grpc_received_bytes_total", **WHERE)
        age = value(registry, "faust_grpc_split_state_age_seconds", **WHERE)
        assert age is not None
        assert 0 <= age < 60


async def test_ends_of_calls_have_their_code_and_what_it_meant() -> None:
    registry = CollectorRegistry()
    async with in_process(orders(3)) as rig:
        setup_prometheus(rig.app, registry=registry, page=None)
        reading(rig)
        await rig.start()
        await rig.finished(3)
        call = await asyncio.to_thread(rig.server.wait_for_calls, 1)
        call.proceed()  # to the end of its script, with OK
        await until(lambda: rig.split.calls == 2)
        ends = scraped(registry)["faust_grpc_call_ends_total"]
        assert ends == {frozenset({**WHERE, "code": "OK", "reason": "retry"}.items()): 1}


async def test_an_ack_is_timed_by_samples() -> None:
    registry = CollectorRegistry()
    async with in_process(orders(200), buffer=Buffer(unacked=16)) as rig:
        setup_prometheus(rig.app, registry=registry, page=None)
        seen = reading(rig)
        await rig.start()
        await rig.finished(200)
        assert seen == list(range(1, 201))
        name = "faust_grpc_ack_latency_seconds_count"
        count = value(registry, name, app="in-process", source="orders")
        assert count is not None
        assert 200 / 16 <= count <= 200


async def test_F11_two_sources_two_apps_and_set_up_twice() -> None:
    registry = CollectorRegistry()
    apps = []
    for app_id in ("shop", "bank"):
        app = faust.App(app_id, broker="kafka://127.0.0.1:9", store="memory://")
        for source in ("orders", "returns"):
            GrpcSource(app, "localhost:1", METHOD, name=source, schema=ORDERS)
        setup_prometheus(app, registry=registry)
        setup_prometheus(app, registry=registry)
        apps.append(app)
    found = scraped(registry)["faust_grpc_bad_timestamps_total"]
    assert set(found) == {
        frozenset({"app": app.conf.id, "source": source}.items())
        for app in apps
        for source in ("orders", "returns")
    }


def test_F11_the_registry_keeps_what_others_registered() -> None:
    from prometheus_client import REGISTRY

    before = set(scraped(REGISTRY))
    app = faust.App("kept", broker="kafka://127.0.0.1:9", store="memory://")
    GrpcSource(app, "localhost:1", METHOD, name="orders", schema=ORDERS)
    setup_prometheus(app)
    setup_prometheus(app)
    after = scraped(REGISTRY)
    assert before <= set(after)
    assert "python_info" in after
    labels = frozenset({"app": "kept", "source": "orders"}.items())
    assert labels in after["faust_grpc_bad_timestamps_total"]


def test_F11_names_keep_prometheus_rules() -> None:
    for metric in METRICS:
        name = metric.full_name
        assert re.fullmatch(r"faust_grpc(_[a-z]+)+", name)
        assert name.endswith("_total") == (metric.kind == "counter"), name
        if metric.unit:
            assert f"_{metric.unit}" in name
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent)\b", name)
        assert metric.help.endswith(".")
        assert set(metric.labels) <= {"source", "split", "policy", "code", "reason", "state"}
    for distribution in DISTRIBUTIONS:
        assert distribution.full_name.endswith("_seconds")
    names = [metric.full_name for metric in METRICS]
    names += [distribution.full_name for distribution in DISTRIBUTIONS]
    assert len(names) == len(set(names))


def test_names_that_are_taken_are_one_clear_error() -> None:
    from prometheus_client import Gauge

    registry = CollectorRegistry()
    Gauge("faust_grpc_backoff_seconds", "Somebody else's.", registry=registry)
    app = faust.App("taken", broker="kafka://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"setup_prometheus\(registry=...\): Duplicated"):
        setup_prometheus(app, registry=registry)


@pytest.fixture
def app() -> faust.App:
    app = faust.App("paged", broker="kafka://127.0.0.1:9", store="memory://")
    GrpcSource(app, "localhost:1", METHOD, name="orders", schema=ORDERS)
    return app


async def page(app: Any, path: str) -> str:
    """Start what an application adds to its worker, and get a page of its web server."""
    for sensor in app.sensors:
        if type(sensor).__name__ == "Page":
            await sensor.on_first_start()
    server = TestServer(app.web.web_app)
    await server.start_server()
    try:
        async with ClientSession() as session, session.get(server.make_url(path)) as response:
            assert response.status == 200
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            return await response.text()
    finally:
        await server.close()


async def test_there_is_a_page(app: faust.App) -> None:
    registry = CollectorRegistry()
    setup_prometheus(app, registry=registry)
    setup_prometheus(app, registry=registry)
    text = await page(app, "/metrics")
    assert 'faust_grpc_bad_timestamps_total{app="paged",source="orders"} 0.0' in text


@pytest.mark.parametrize("faust_first", [True, False])
async def test_F11_fausts_own_page_shows_them_too(app: faust.App, faust_first: bool) -> None:
    registry = CollectorRegistry()
    steps = [setup_prometheus_sensors, setup_prometheus]
    for step in steps if faust_first else reversed(steps):
        step(app, registry=registry)  # type: ignore[operator]
    text = await page(app, "/metrics")
    assert 'faust_grpc_bad_timestamps_total{app="paged",source="orders"} 0.0' in text
    assert "paged_total_events" in text


async def test_an_observer_that_fails_does_not_hurt_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Observer):
        def call_started(self, call: Any) -> Any:
            raise RuntimeError("as the test wants it")

        def acked(self, where: Any, seconds: float) -> None:
            raise RuntimeError("as the test wants it")

    async with in_process(orders(20)) as rig:
        observe(rig.app, Broken())
        seen = reading(rig)
        await rig.start()
        await rig.finished(20)
    assert seen == list(range(1, 21))
    assert "An observer failed" in caplog.text


async def test_without_an_observer_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    from faust_grpc import direct

    class Never(direct.TimedMessage):
        """Would be an event that is timed."""

        __slots__ = ()

        def finish(self) -> None:
            raise AssertionError("timed")

    monkeypatch.setattr(direct, "TimedMessage", Never)
    async with in_process(orders(20)) as rig:
        reading(rig)
        await rig.start()
        await rig.finished(20)
