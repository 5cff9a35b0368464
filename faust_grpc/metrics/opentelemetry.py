"""OpenTelemetry: metrics that are read when they are exported, and a span per call."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TypeAlias

from faust.types import AppT

from ..exceptions import ConfigurationError
from ..observers import CallEnd, CallStart, Observer, Where
from ..types import Metadata
from .catalogue import DISTRIBUTIONS, METRICS, PREFIX, Metric
from .observing import observe, read

try:
    from opentelemetry import metrics as otel_metrics
    from opentelemetry import propagate, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
except ImportError as exc:
    raise ConfigurationError(
        "setup_opentelemetry() needs OpenTelemetry: pip install 'faust-grpc[opentelemetry]'"
    ) from exc

__all__ = ["SourcesMeter", "SourcesTracer", "setup_opentelemetry"]

#: As OpenTelemetry writes units (UCUM).
_UNITS = {"": "1", "seconds": "s", "bytes": "By", "ratio": "1"}

_Callback: TypeAlias = "Callable[[CallbackOptions], Iterable[Observation]]"


def setup_opentelemetry(
    app: AppT,
    *,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
    metrics: bool = True,
    traces: bool = True,
) -> None:
    """Show the sources of an application to OpenTelemetry.

    Arguments:
        app: the application. Setting it up again changes nothing; several may share a provider.
        meter_provider: makes the instruments. Default: the process's own.
        tracer_provider: makes the spans. Default: the process's own.
        metrics: whether there are metrics.
        traces: whether there is a span per call, whose ``traceparent`` goes to the server.

    Raises:
        ConfigurationError: OpenTelemetry is not installed.
    """
    if metrics:
        meter = SourcesMeter.of(meter_provider or otel_metrics.get_meter_provider())
        meter.add(app)
        observe(app, meter)
    if traces:
        observe(app, SourcesTracer.of(tracer_provider or trace.get_tracer_provider()))


class SourcesMeter(Observer):
    """The metrics of all applications of a provider.

    Arguments:
        provider: makes the instruments.
    """

    _made: weakref.WeakKeyDictionary[MeterProvider, SourcesMeter] = weakref.WeakKeyDictionary()

    def __init__(self, provider: MeterProvider) -> None:
        self._apps: weakref.WeakSet[AppT] = weakref.WeakSet()
        meter = provider.get_meter(PREFIX)
        for metric in METRICS:
            make = (
                meter.create_observable_counter
                if metric.kind == "counter"
                else meter.create_observable_gauge
            )
            name = f"{PREFIX}.{metric.name}"
            make(name, [self._callback(metric)], _UNITS[metric.unit], metric.help)
        self._distributions = {
            one.name: meter.create_histogram(
                f"{PREFIX}.{one.name}",
                "s",
                one.help,
                explicit_bucket_boundaries_advisory=list(one.buckets),
            )
            for one in DISTRIBUTIONS
        }

    @classmethod
    def of(cls, provider: MeterProvider) -> SourcesMeter:
        """Return the one of a provider."""
        if provider not in cls._made:
            cls._made[provider] = cls(provider)
        return cls._made[provider]

    def add(self, app: AppT) -> None:
        """Show this application too, for as long as it exists."""
        self._apps.add(app)

    def _callback(self, metric: Metric) -> _Callback:
        def observations(_options: CallbackOptions) -> Iterable[Observation]:
            for app in list(self._apps):
                reading = read(app)
                for labels, value in metric.samples(reading):
                    names = zip(metric.labels, labels, strict=True)
                    yield Observation(value, {"app": reading.app, **dict(names)})

        return observations

    def acked(self, where: Where, seconds: float) -> None:
        """Note how long an event took."""
        attributes = {"app": where.app, "source": where.source}
        self._distributions["ack_latency"].record(seconds, attributes)

    def checkpoint_written(self, app: str, seconds: float, saved: bool) -> None:
        """Note how long a checkpoint took."""
        self._distributions["checkpoint_duration"].record(seconds, {"app": app})

    def loop_delayed(self, app: str, seconds: float) -> None:
        """Note how late the event loop was."""
        self._distributions["event_loop_delay"].record(seconds, {"app": app})


class SourcesTracer(Observer):
    """A span per call, from its start to its end.

    Arguments:
        provider: makes the spans.
    """

    _made: weakref.WeakKeyDictionary[TracerProvider, SourcesTracer] = weakref.WeakKeyDictionary()

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(PREFIX)
        self._open: dict[Where, Span] = {}

    @classmethod
    def of(cls, provider: TracerProvider) -> SourcesTracer:
        """Return the one of a provider."""
        if provider not in cls._made:
            cls._made[provider] = cls(provider)
        return cls._made[provider]

    def call_started(self, call: CallStart) -> Metadata:
        """Begin a span; its ``traceparent`` goes to the server."""
        service, _, method = call.method.strip("/").rpartition("/")
        span = self._tracer.start_span(
            f"{service}/{method}",
            context=trace.set_span_in_context(trace.INVALID_SPAN),
            kind=SpanKind.CLIENT,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": method,
                "server.address": call.target,
                "faust.app": call.where.app,
                "faust_grpc.source": call.where.source,
                "faust_grpc.split": call.where.split,
                "faust_grpc.attempt": call.attempt,
            },
        )
        self._open[call.where] = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        return tuple(carrier.items())

    def call_ended(self, end: CallEnd) -> None:
        """End the span, with what follows as its last event."""
        span = self._open.pop(end.where, None)
        if span is None:
            return
        status = end.status
        span.set_attribute("rpc.grpc.status_code", status.code.value[0])
        span.add_event("ended", {"code": status.code.name, "ours": status.ours})
        if end.outcome == "retry":
            attributes = {"seconds": end.retry_seconds or 0.0, "attempt": end.attempt}
            span.add_event("retry", {**attributes, "reason": end.reason})
        elif end.outcome != "given up":
            span.add_event(end.outcome, {"reason": end.reason})
        if status.code.value[0] and not status.ours:
            span.set_status(StatusCode.ERROR, end.reason)
        span.end()
