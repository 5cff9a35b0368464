"""How results are told."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from typing import Any

__all__ = ["aligned", "machine"]


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    names = ("grpcio", "protobuf", "faust-streaming", "confluent-kafka")
    return {
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: version(name) for name in names},
    }


def aligned(results: dict[str, dict[str, float]]) -> str:
    """Return results as aligned text."""
    lines = [f"{'':<42}{'events/s':>12}{'CPU us/event':>14}"]
    lines += [
        f"{name:<42}{row['events_per_s']:>12,.0f}{row['cpu_us']:>14.2f}"
        for name, row in results.items()
    ]
    return "\n".join(lines)
