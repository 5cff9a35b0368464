"""What a worker of the demo is told by the process that starts it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["APP_ID", "REGIONS", "WorkerSettings"]

APP_ID = "shop"

#: One split each.
REGIONS = ("north", "south", "east", "west")

_VARIABLE = "FAUST_GRPC_DEMO"


@dataclass(frozen=True)
class WorkerSettings:
    """Settings of one worker, handed over in an environment variable.

    Arguments:
        name: of the worker.
        target: where the order service is.
        status: file that the worker keeps its status in.
        faust: settings of the Faust application.
        lose: an order (``"region:sequence"``) to pass over, for a demo that must fail.
    """

    name: str = "worker"
    target: str = "localhost:50051"
    status: str = ""
    faust: Mapping[str, Any] = field(default_factory=lambda: {"broker": "kafka://localhost:9092"})
    lose: str = ""

    def environment(self) -> dict[str, str]:
        """Return the variables for the worker's process."""
        # A proxy that the machine is set up with does not know our server.
        return {_VARIABLE: json.dumps(asdict(self)), "no_grpc_proxy": "127.0.0.1,localhost"}

    @classmethod
    def read(cls) -> WorkerSettings:
        """Return this process's settings."""
        return cls(**json.loads(os.environ.get(_VARIABLE, "{}")))
