"""Prometheus: counters are read when it scrapes; nothing is counted twice."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from faust import web
from faust.types import AppT

from ..exceptions import ConfigurationError
from ..observers import Observer, Where
from .catalogue import DISTRIBUTIONS, METRICS, Metric, Reading
from .observing import Page, observe, read

try:
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram
    from prometheus_client import generate_latest as exposition
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError as exc:
    raise ConfigurationError(
        "setup_prometheus() needs the Prometheus client: pip install 'faust-grpc[prometheus]'"
    ) from exc

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

__all__ = ["SourcesCollector", "setup_prometheus"]

# One collector per registry: it has each name once, whatever the number of applications.
_collectors: weakref.WeakKeyDictionary[CollectorRegistry, SourcesCollector] = (
    weakref.WeakKeyDictionary()
)


def setup_prometheus(
    app: AppT, *, registry: CollectorRegistry = REGISTRY, page: str | None = "/metrics"
) -> None:
    """Show the sources of an application to Prometheus.

    Arguments:
        app: the application. Several may share a registry; they differ by the label ``app``.
        registry: where the metrics go. Default: that of the process, which Faust's
            ``setup_prometheus_sensors`` shows too.
        page: path on the application's web server; ``None`` for no page. A page that is there
            already stays as it is.

    Raises:
        ConfigurationError: ``prometheus_client`` is not installed, or another collector of this
            registry has metrics of the same names.
    """
    collector = _collectors.get(registry)
    if collector is None:
        collector = SourcesCollector()
        try:
            registry.register(collector)
        except ValueError as exc:
            raise ConfigurationError(f"setup_prometheus(registry=...): {exc}") from exc
        _collectors[registry] = collector
    collector.add(app)
    observe(app, collector)
    if page is not None and not any(
        isinstance(sensor, Page) and sensor.path == page for sensor in app.sensors
    ):
        app.sensors.add(Page(app, page, _handler(registry)))


def _handler(registry: CollectorRegistry) -> Any:
    async def metrics(view: web.View, _request: web.Request) -> web.Response:
        return view.bytes(exposition(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return metrics


class SourcesCollector(Collector, Observer):
    """The metrics of all applications of a registry."""

    def __init__(self) -> None:
        self._apps: weakref.WeakSet[AppT] = weakref.WeakSet()
        self._distributions = {
            distribution.name: Histogram(
                distribution.full_name,
                distribution.help,
                ("app", *distribution.labels),
                registry=None,
                buckets=distribution.buckets,
            )
            for distribution in DISTRIBUTIONS
        }

    def add(self, app: AppT) -> None:
        """Show this application too, for as long as it exists."""
        self._apps.add(app)

    def describe(self) -> Iterator[Family]:
        """Yield every family, empty: registering must not read anything yet."""
        return self._families(())

    def collect(self) -> Iterator[Family]:
        """Yield every family as it is now."""
        return self._families([read(app) for app in list(self._apps)])

    def _families(self, readings: Any) -> Iterator[Family]:
        for metric in METRICS:
            yield _family(metric, readings)
        for histogram in self._distributions.values():
            yield from histogram.collect()

    # As an observer

    def acked(self, where: Where, seconds: float) -> None:
        """Note how long an event took."""
        self._distributions["ack_latency"].labels(where.app, where.source).observe(seconds)

    def checkpoint_written(self, app: str, seconds: float, saved: bool) -> None:
        """Note how long a checkpoint took."""
        self._distributions["checkpoint_duration"].labels(app).observe(seconds)

    def loop_delayed(self, app: str, seconds: float) -> None:
        """Note how late the event loop was."""
        self._distributions["event_loop_delay"].labels(app).observe(seconds)


def _family(metric: Metric, readings: list[Reading]) -> Family:
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(metric.full_name, metric.help, labels=("app", *metric.labels))
    for reading in readings:
        for labels, value in metric.samples(reading):
            family.add_metric((reading.app, *labels), value)
    return family
