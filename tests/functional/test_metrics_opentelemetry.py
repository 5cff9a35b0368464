"""What OpenTelemetry gets of sources that really run: metrics, and a span per call."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from support_app import METHOD, InProcess, in_process, orders, until

from faust_grpc import Backoff
from faust_grpc.metrics import setup_opentelemetry
from faust_grpc.metrics.catalogue import METRICS
from faust_grpc.testing import Fail, Stall

WHERE = {"app": "in-process", "source": "orders", "split": "main"}


class Telemetry:
    """Providers that keep what they are given."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self.reader])
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))

    def set_up(self, app: Any, **options: bool) -> None:
        setup_opentelemetry(
            app, meter_provider=self.meters, tracer_provider=self.tracers, **options
        )

    def points(self) -> dict[str, list[Any]]:
        """Return the data points by name of metric."""
        found: dict[str, list[Any]] = {}
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    assert metric.name not in found, "a metric came twice"
                    found[metric.name] = list(metric.data.data_points)
        return found


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def reading(rig: InProcess) -> None:
    @rig.app.agent(rig.source)
    async def agent(stream: Any) -> None:
        async for _ in stream:
            pass


async def test_metrics_are_those_of_the_source(telemetry: Telemetry) -> None:
    async with in_process(orders(30)) as rig:
        telemetry.set_up(rig.app)
        telemetry.set_up(rig.app)
        reading(rig)
        await rig.start()
        await rig.finished(30)
        points = telemetry.points()
    (messages,) = points["faust_grpc.messages"]
    assert (messages.value, dict(messages.attributes)) == (30, WHERE)
    (state,) = points["faust_grpc.split_state"]
    assert (state.value, state.attributes["state"]) == (1, "receiving")
    (latency,) = points["faust_grpc.ack_latency"]
    assert 1 <= latency.count <= 30
    assert dict(latency.attributes) == {"app": "in-process", "source": "orders"}
    known = {f"faust_grpc.{metric.name}" for metric in METRICS}
    assert set(points) <= known | {"faust_grpc.ack_latency"}


async def test_a_span_per_call_and_its_id_goes_to_the_server(telemetry: Telemetry) -> None:
    async with in_process(orders(3), backoff=Backoff(initial_seconds=0.01)) as rig:
        telemetry.set_up(rig.app, metrics=False)
        telemetry.set_up(rig.app, metrics=False)
        reading(rig)
        await rig.start()
        await rig.finished(3)
        call = await asyncio.to_thread(rig.server.wait_for_calls, 1)
        rig.server.script(METHOD, (Fail(grpc.StatusCode.UNAVAILABLE, "gone"),), (Stall(),))
        call.proceed()
        await until(lambda: rig.split.calls == 3 and len(rig.server.calls) == 3)
        calls = list(rig.server.calls)
    first, second, third = telemetry.exporter.get_finished_spans()
    for span, received in zip((first, second, third), calls, strict=True):
        sent = dict(received.metadata)["traceparent"]
        match = re.fullmatch(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}", sent)
        assert match is not None
        assert int(match[1], 16) == span.context.trace_id
        assert int(match[2], 16) == span.context.span_id
        assert span.name == METHOD
        assert span.kind is SpanKind.CLIENT
        assert span.attributes["rpc.method"] == "StreamOrders"
        assert span.attributes["faust_grpc.split"] == "main"
    assert [event.name for event in first.events] == ["ended", "retry"]
    assert first.attributes["rpc.grpc.status_code"] == 0
    assert first.status.status_code is StatusCode.UNSET
    ended, retry = second.events
    assert ended.attributes == {"code": "UNAVAILABLE", "ours": False}
    assert "gone" in retry.attributes["reason"]
    assert second.status.status_code is StatusCode.ERROR
    assert third.attributes["faust_grpc.attempt"] > 0
    # The third was open when the split was given up.
    assert [event.name for event in third.events] == ["ended"]
    assert third.events[0].attributes == {"code": "CANCELLED", "ours": True}


async def test_a_trace_of_what_runs_around_it_is_not_continued(telemetry: Telemetry) -> None:
    """A stream outlives whatever happened to run when it was opened."""
    async with in_process(orders(1)) as rig:
        telemetry.set_up(rig.app, metrics=False)
        reading(rig)
        with telemetry.tracers.get_tracer("test").start_as_current_span("around"):
            await rig.start()
            await rig.finished(1)
    call, around = telemetry.exporter.get_finished_spans()
    if call.name == "around":
        call, around = around, call
    assert call.parent is None
    assert call.context.trace_id != around.context.trace_id
