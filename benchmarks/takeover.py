"""How long splits stand still when their worker is killed, with a large table in memory.

Two workers share four splits and a table with a million keys. One is killed with ``kill -9``. The
time is from the moment at which the other one sees the group share out the partitions anew (after
the killed one's session, which is a setting) to its first event of a split that was the other's.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from faust_grpc.testing import Broker, ChildProcess, broker, wait_until

from .recovery import fill
from .running import ROOT, medians, order_server

__all__ = ["KEYS", "run"]

KEYS = 1_000_000
APP = "takeover"
SPLITS = {"r0", "r1", "r2", "r3"}
_READY_SECONDS = 120.0


class Worker:
    """A worker, and what it says.

    Arguments:
        name: for its files.
        folder: of its files.
        kafka: the broker.
        target: the order server.
    """

    def __init__(self, name: str, folder: Path, kafka: Broker, target: str) -> None:
        environment = {
            "TARGET": target,
            "SETTINGS": json.dumps(kafka.faust_settings()),
            "DATADIR": str(folder / name),
            "APP": APP,
        }
        command = [sys.executable, "-m", "benchmarks.takeover_child"]
        self.process = ChildProcess(command, cwd=ROOT, env=environment, log=folder / f"{name}.out")
        self.process.start()

    @property
    def said(self) -> list[tuple[str, float]]:
        """Its lines: what happened, and when."""
        lines = self.process.output().splitlines()
        told = [line.split() for line in lines if line.startswith("AT ")]
        return [(words[1], float(words[2])) for words in told]

    def since_rebalance(self) -> dict[str, float]:
        """Return seconds from the last rebalance to the first event of each split after it."""
        began, first = 0.0, {}
        for what, at in self.said:
            if what == "rebalance":
                began, first = at, {}
            elif what == "ready":
                first = {}  # what came before was still of the last assignment
            else:
                first.setdefault(what, at - began)
        return first

    @property
    def rebalances(self) -> int:
        """How many it saw."""
        return sum(1 for what, _ in self.said if what == "rebalance")


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Kill a worker so often; return the median of the seconds."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        broker("kafka") as kafka,
        order_server() as target,
    ):
        fill(kafka, f"{APP}-stock-changelog", KEYS)
        survivor = Worker("survivor", Path(folder), kafka, target)
        try:
            wait_until(lambda: set(survivor.since_rebalance()) == SPLITS, _READY_SECONDS)
            for number in range(rounds):
                row = {"seconds": _kill_one(number, survivor, Path(folder), kafka, target)}
                rows.append(row)
                print(f"round {number + 1}: {row}", file=sys.stderr)
        finally:
            survivor.process.close()
    return medians({"takeover": rows}, ("seconds",))


def _kill_one(number: int, survivor: Worker, folder: Path, kafka: Broker, target: str) -> float:
    other = Worker(f"other{number}", folder, kafka, target)
    try:
        # Both read: each processed an event of some splits, and of all of them together.
        wait_until(lambda: bool(other.since_rebalance()), _READY_SECONDS)
        wait_until(
            lambda: set(survivor.since_rebalance()) | set(other.since_rebalance()) == SPLITS,
            _READY_SECONDS,
        )
        theirs, before = set(other.since_rebalance()), survivor.rebalances
    finally:
        other.process.kill()
    wait_until(lambda: survivor.rebalances > before, _READY_SECONDS)
    wait_until(lambda: theirs <= set(survivor.since_rebalance()), _READY_SECONDS)
    return max(survivor.since_rebalance()[split] for split in theirs)
