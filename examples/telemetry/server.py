"""The telemetry service: each gateway sends the readings of its sensors, and keeps the old ones."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from faust_grpc.testing.service import serve

RATE = float(os.environ.get("TELEMETRY_RATE", "5"))
SENSORS = ("boiler", "pump", "turbine")


def readings(request: Any) -> Iterator[dict[str, Any]]:
    """Yield the readings of a gateway behind one that it sent before."""
    number = int("".join(filter(str.isdigit, request.gateway)) or 0)
    sequence = request.after_sequence
    while True:
        sequence += 1
        # A sensor after the other, each with a hot spell now and then.
        turn, sensor = divmod(sequence, len(SENSORS))
        is_hot = (turn // 40 + number + sensor) % 11 == 0
        yield {
            "sequence": sequence,
            "gateway": request.gateway,
            "sensor": SENSORS[sensor],
            "celsius": round(60 + 5 * math.sin(turn / 10 + number) + 35 * is_hot, 1),
            "measured_at": datetime.now(timezone.utc),
        }
        time.sleep(1 / RATE)


if __name__ == "__main__":
    serve(
        Path(__file__).with_name("telemetry.binpb"),
        {"edge.v1.TelemetryService/StreamReadings": readings},
    )
