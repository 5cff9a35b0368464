"""librdkafka's mock cluster as a program: ``python -m faust_grpc.testing.mock_broker``.

It prints ``listening on 127.0.0.1:PORT`` and serves until it is ended. Nothing is kept. Every
topic has 4 partitions and is made when first used. Transactions are accepted and mean nothing.
"""

from __future__ import annotations

import argparse
import signal
import sys

from confluent_kafka import Producer

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="python -m faust_grpc.testing.mock_broker", description=__doc__
    )
    parser.add_argument("--brokers", type=int, default=1, help="brokers of the cluster")
    options = parser.parse_args(arguments)
    ends = {signal.SIGTERM, signal.SIGINT}
    # Before librdkafka starts its threads, so that they inherit the mask and sigwait gets it.
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    cluster = Producer(
        {
            "test.mock.num.brokers": options.brokers,
            "bootstrap.servers": "replaced:1",
            "log_level": 3,
        }
    )
    brokers = cluster.list_topics(timeout=10).brokers.values()
    addresses = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
    print(f"listening on {addresses}", flush=True)
    signal.sigwait(ends)
    return 0


if __name__ == "__main__":
    sys.exit(main())
