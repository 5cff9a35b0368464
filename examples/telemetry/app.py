"""Sensors behind many gateways: mean temperatures by window, and alerts. See README.md."""

from __future__ import annotations

import logging
import os
from datetime import datetime

import faust
from faust.types import StreamT

from faust_grpc import Cursor, GrpcSource
from faust_grpc.metrics import setup_prometheus

TARGET = os.environ.get("TELEMETRY_TARGET", "localhost:50051")
GATEWAYS = [f"gateway-{number:02}" for number in range(1, 41)]
WINDOW_SECONDS = 10
HOT, COOL = 80, 75

logger = logging.getLogger(__name__)


class Reading(faust.Record):
    """What a sensor measured."""

    gateway: str
    sensor: str
    celsius: float
    measured_at: datetime


class Mean(faust.Record):
    """Of the readings of one window."""

    readings: int = 0
    total: float = 0.0


app = faust.App("telemetry")
setup_prometheus(app)

readings = GrpcSource(
    app,
    TARGET,
    "edge.v1.TelemetryService/StreamReadings",
    name="readings",
    # A stream per gateway, each resumed on its own. So many are read on the event loop.
    splits={gateway: {"gateway": gateway} for gateway in GATEWAYS},
    value_type=Reading,
    timestamp="measured_at",
    cursor=Cursor("sequence", into="after_sequence"),
)

#: By sensor and window; the window is that of the reading's own time, however late it comes.
means = app.Table("means", default=Mean).tumbling(WINDOW_SECONDS, expires=600).relative_to_stream()
#: Sensors that an alert was given for.
alarms = app.Table("alarms", default=bool)


@app.agent(readings)
async def watch(readings: StreamT[Reading]) -> None:
    """Give an alert when a sensor is hot for a window, and one when it has cooled down."""
    async for reading in readings:
        sensor = f"{reading.gateway}/{reading.sensor}"
        mean = means[sensor].value()
        mean = Mean(mean.readings + 1, mean.total + reading.celsius)
        means[sensor] = mean
        celsius = mean.total / mean.readings
        if celsius > HOT and not alarms[sensor]:
            alarms[sensor] = True
            logger.warning("%s is hot: %.1f °C", sensor, celsius)
        elif celsius < COOL and alarms[sensor]:
            alarms[sensor] = False
            logger.warning("%s has cooled down: %.1f °C", sensor, celsius)
