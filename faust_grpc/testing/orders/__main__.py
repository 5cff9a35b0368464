"""Serve orders until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from . import CallLog, OrderService, Progress


def main(arguments: list[str] | None = None) -> int:
    """Run the service; see ``--help``."""
    parser = argparse.ArgumentParser(prog="python -m faust_grpc.testing.orders")
    parser.add_argument(
        "--port", type=int, default=50051, help="port of 127.0.0.1; 0 takes a free one"
    )
    parser.add_argument(
        "--rate",
        type=int,
        default=0,
        help="orders per second of calls that do not ask for a rate; 0 is no limit",
    )
    parser.add_argument("--count", type=int, default=0, help="orders in each region; 0 is no end")
    parser.add_argument(
        "--history", type=Path, help="file that keeps how far each stream has come, over a crash"
    )
    parser.add_argument(
        "--log", type=Path, help="file for one line per call opened and closed; else standard error"
    )
    options = parser.parse_args(arguments)
    ends = {signal.SIGTERM, signal.SIGINT}
    # Before gRPC starts its threads, so that they inherit the mask and sigwait gets the signal.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ExitStack() as files:
        out = files.enter_context(options.log.open("a")) if options.log else sys.stderr
        service = OrderService(
            rate=options.rate,
            count=options.count,
            progress=Progress(options.history),
            log=CallLog(out),
        )
        print(f"listening on 127.0.0.1:{service.start(options.port)}", flush=True)
        signal.sigwait(ends)
        service.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
