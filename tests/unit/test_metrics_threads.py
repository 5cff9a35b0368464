"""What splits with a sink tell their observers comes from the threads of their sources."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from faust_grpc.metrics.opentelemetry import SourcesMeter, SourcesTracer
from faust_grpc.metrics.prometheus import SourcesCollector
from faust_grpc.observers import CallStart, Observer, Observers, SplitObservers, Where
from faust_grpc.types import Status

THREADS, TIMES = 8, 2000


def observing(*observers: Observer) -> Observers:
    """Return them as an application has them."""
    found = Observers()
    for observer in observers:
        found.add(observer)
    return found


def at_once(work: Callable[[int], None]) -> None:
    """Have every thread work, all of them from the same moment on."""
    start = threading.Barrier(THREADS)

    def run(number: int) -> None:
        start.wait(30)
        for _ in range(TIMES):
            work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def prometheus() -> tuple[Observer, Callable[[], float]]:
    collector = SourcesCollector()

    def count() -> float:
        return next(
            sample.value
            for family in collector.collect()
            for sample in family.samples
            if sample.name == "faust_grpc_checkpoint_duration_seconds_count"
        )

    return collector, count


def opentelemetry() -> tuple[Observer, Callable[[], float]]:
    reader = InMemoryMetricReader()
    meter = SourcesMeter(MeterProvider([reader]))

    def count() -> float:
        data: Any = reader.get_metrics_data()
        (metric,) = (
            metric
            for scope in data.resource_metrics[0].scope_metrics
            for metric in scope.metrics
            if metric.name == "faust_grpc.checkpoint_duration"
        )
        return sum(point.count for point in metric.data.data_points)

    return meter, count


@pytest.mark.parametrize("backend", [prometheus, opentelemetry])
def test_no_commit_is_counted_less_or_more_than_once(
    backend: Callable[[], tuple[Observer, Callable[[], float]]],
) -> None:
    observer, count = backend()
    observers = observing(observer)
    splits = [
        SplitObservers(observers, Where("shop", "orders", f"split-{number}"), "S/M", "server")
        for number in range(THREADS)
    ]
    at_once(lambda number: splits[number].checkpoint_written(0.01, saved=True))
    assert count() == THREADS * TIMES


def test_every_call_has_a_span_of_its_own() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    observers = observing(SourcesTracer(provider))
    splits = [
        SplitObservers(observers, Where("shop", "orders", f"split-{number}"), "S/M", "server")
        for number in range(THREADS)
    ]

    def call(number: int) -> None:
        split = splits[number]
        assert split.started(), "no traceparent"
        split.ended(Status(grpc.StatusCode.UNAVAILABLE, f"of {number}"))
        split.over("retry", f"of {number}", seconds=1.0, attempt=1)

    at_once(call)
    spans = exporter.get_finished_spans()
    assert len(spans) == THREADS * TIMES
    for span in spans:
        assert span.attributes is not None
        number = str(span.attributes["faust_grpc.split"]).removeprefix("split-")
        assert span.status.description == f"of {number}"


def test_one_that_fails_in_a_thread_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Observer):
        def checkpoint_written(self, app: str, seconds: float, saved: bool) -> None:
            raise RuntimeError("full")

        def call_started(self, call: CallStart) -> tuple[tuple[str, str], ...]:
            return (("x-split", call.where.split),)

    collector, count = prometheus()
    split = SplitObservers(
        observing(Failing(), collector), Where("shop", "orders", "main"), "S/M", "server"
    )
    assert split.started() == (("x-split", "main"),)
    thread = threading.Thread(target=split.checkpoint_written, args=(0.01,), kwargs={"saved": True})
    thread.start()
    thread.join(30)
    assert "An observer failed" in caplog.text
    assert count() == 1
