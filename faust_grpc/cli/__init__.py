"""The command line: ``faust-grpc describe``, ``tail``, ``generate`` and ``demo``."""

from __future__ import annotations

import os

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    # gRPC's core would report a failed handshake beside what we say of it. It reads this when it
    # is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from .base import main as run

    run()
