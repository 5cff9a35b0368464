"""A cluster under random faults for as long as wanted: ``make soak SOAK_SECONDS=1200``.

Three workers, eight splits at 200 orders/s, two tables and a topic agent. Every 10 to 30 seconds
something is killed, stopped or halted: a worker, the order server, the broker. Nothing is done to
the worker w1: it sees all rebalances, and its memory and threads must stay what they are.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil
from support.cluster import Cluster
from support.faults import DECK, Faults, Kind, plan
from support.judge import Judgement
from support.members import Shop
from support.orders import OrderServer, go_server_binary

from faust_grpc.testing import broker

NAMES = ("w1", "w2", "w3")
WITNESS = "w1"
SAMPLE_SECONDS = 5.0
#: Caches fill, libraries are loaded, first rebalances take place: not looked at.
WARM_UP = 0.25
#: What tables and logs of a longer run need; a leak of one event in ten would be more.
MEMORY_BYTES = 32 * 1024 * 1024
MORE_THREADS = 4


class Sample(NamedTuple):
    """The witness at one moment: memory in bytes."""

    time: float
    memory: int
    threads: int


class Soak:
    """Does faults, and takes samples between them.

    Arguments:
        cluster: under test.
        seed: of all chance.
        seconds: how long.
    """

    def __init__(self, cluster: Cluster, seed: int, seconds: float) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._until = time.monotonic() + seconds
        self.faults = Faults(cluster, timeout=300.0)
        self.samples: list[Sample] = []
        self.done: dict[str, int] = {}

    def run(self) -> None:
        """Until the time is over."""
        for step in plan(self._random, NAMES, self._kinds(), spared=[WITNESS]):
            self._watch(self._random.uniform(10, 30))
            if time.monotonic() > self._until:
                return
            self.faults.perform(step)
            self.done[step.kind] = self.done.get(step.kind, 0) + 1

    def _kinds(self) -> Iterator[Kind]:
        while True:
            yield self._random.choice((*DECK, "broker"))

    def _watch(self, seconds: float) -> None:
        end = min(time.monotonic() + seconds, self._until)
        while time.monotonic() < end:
            self._sample()
            self._cluster.restart_fenced()
            until = min(time.monotonic() + SAMPLE_SECONDS, end)
            self._cluster.wait(lambda until=until: time.monotonic() >= until, 60, "a while")

    def _sample(self) -> None:
        process = psutil.Process(self._cluster.members[WITNESS].pid)
        sample = Sample(time.time(), process.memory_info().rss, process.num_threads())
        self.samples.append(sample)
        if len(self.samples) % 6 == 0:
            self._cluster.say(
                f"{WITNESS}: {sample.memory / 2**20:.1f} MiB, {sample.threads} threads; "
                f"{sum(self._cluster.reached().values())} orders"
            )


def problems(soak: Soak, judgement: Judgement, refunds_lost: int, *, exact: bool) -> list[str]:
    """Return what is wrong, one line each."""
    found = [*judgement.problems]
    if exact and judgement.duplicates:
        found.append(f"{judgement.duplicates} orders twice")
    if judgement.unsaved:
        found.append(f"{judgement.unsaved} orders are not below a checkpoint")
    if refunds_lost:
        found.append(f"{refunds_lost} records of the topic lost")
    steady = soak.samples[int(WARM_UP * len(soak.samples)) :]
    early, late = _halves(steady)
    grown = statistics.median(s.memory for s in late) - statistics.median(s.memory for s in early)
    threads = max(s.threads for s in late) - max(s.threads for s in early)
    print(
        f"{WITNESS}: {grown / 2**20:+.1f} MiB and {threads:+d} threads from one half to the other"
    )
    if grown > MEMORY_BYTES:
        found.append(f"memory grew by {grown / 2**20:.1f} MiB")
    if threads > MORE_THREADS:
        found.append(f"{threads} more threads")
    return found


def _halves(samples: Sequence[Sample]) -> tuple[Sequence[Sample], Sequence[Sample]]:
    middle = len(samples) // 2
    return samples[:middle], samples[middle:]


def soak(options: argparse.Namespace, directory: Path) -> list[str]:
    """Run it; return what is wrong."""
    shop = Shop(
        app_id="soak",
        sources={"orders": [f"r{number}" for number in range(8)]},
        delivery=options.delivery,
        store=options.store,
        standby=options.standby,
        session_seconds=6.0,
        refunds_topic="refunds",
    )
    with (
        broker("kafka", directory=directory / "kafka") as kafka,
        OrderServer([go_server_binary()], directory) as server,
        Cluster(kafka, server, directory, shop) as cluster,
    ):
        cluster.start(*NAMES)
        cluster.wait_settled(timeout=120)
        running = Soak(cluster, options.seed, options.seconds)
        running.run()
        cluster.say(f"faults: {running.done}")
        judgement = cluster.finish()
        overlaps = cluster.overlaps(halted=cluster.ever_halted)
        found = problems(
            running,
            judgement,
            running.faults.refunds_lost(),
            exact=options.delivery == "exactly_once",
        )
        return [*found, *overlaps]


def main() -> int:
    """Return 0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200.0, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="of all chance")
    parser.add_argument("--delivery", default="exactly_once", help="of the source")
    parser.add_argument("--store", default="memory://", help="of the tables")
    parser.add_argument("--standby", type=int, default=0, help="standby replicas")
    parser.add_argument("--directory", type=Path, help="for logs and data, which are kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as temporary:
        directory = options.directory or Path(temporary)
        directory.mkdir(exist_ok=True)
        found = soak(options, directory)
    print("\n".join(["soak: good"] if not found else [f"soak: BAD: {line}" for line in found]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
