"""Random faults on the workers of a cluster: the same for the same seed, told with their times."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .cluster import Cluster

__all__ = ["DECK", "Faults", "Kind", "Step", "plan"]

Kind = Literal["kill", "stop", "halt", "server", "broker", "start"]
Pause = Literal["settled", "orders", "soon"]

#: Ten faults: ``kill -9``, SIGTERM, SIGSTOP for longer than the session and then SIGCONT, and
#: ``kill -9`` of the order server.
DECK: Sequence[Kind] = ("kill",) * 4 + ("stop",) * 2 + ("halt",) * 2 + ("server",) * 2
#: A halted worker is out of its group after one session; it is left alone for somewhat longer.
HALT_SESSIONS = 1.5
#: Records for the shop's topic, if it has one, before each fault.
REFUNDS = 100
#: How often a fault meets a cluster at rest, one at work again, and one in the middle of the
#: rebalance that the last fault began.
PAUSES: Sequence[Pause] = ("settled", "orders", "soon")


@dataclass(frozen=True)
class Step:
    """One fault, or the start of a worker that is down.

    Arguments:
        kind: what.
        name: of the worker; empty for the server and the broker.
        pause: what to wait for before it.
        amount: of the pause: evenly from 0 to 1.
    """

    kind: Kind
    name: str
    pause: Pause
    amount: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


def plan(
    chosen: random.Random,
    names: Sequence[str],
    faults: Iterable[Kind],
    spared: Collection[str] = (),
) -> Iterator[Step]:
    """Yield faults in the given order, so that at least one worker always runs undisturbed.

    Arguments:
        chosen: the source of all chance.
        names: workers; all of them run at the beginning.
        faults: kinds; workers that one ended are started again at a random time.
        spared: workers to which nothing is done.
    """
    running = [*names]

    def step(kind: Kind, name: str) -> Step:
        return Step(kind, name, chosen.choice(PAUSES), chosen.random())

    for kind in faults:
        down = [name for name in names if name not in running]
        if down and (len(running) == max(1, len(spared)) or chosen.random() < 0.5):
            running.append(chosen.choice(down))
            yield step("start", running[-1])
        if kind in ("server", "broker"):
            yield step(kind, "")
            continue
        name = chosen.choice([name for name in running if name not in spared])
        if kind != "halt":
            running.remove(name)
        yield step(kind, name)


class Faults:
    """Does what was planned to a cluster.

    Arguments:
        cluster: whose workers and server.
        timeout: seconds that the cluster may take to settle after a fault.
    """

    def __init__(self, cluster: Cluster, *, timeout: float = 120.0) -> None:
        self._cluster = cluster
        self._timeout = timeout
        self._never = threading.Event()
        self._refunds = 0

    def run(self, steps: Iterable[Step]) -> None:
        """Do all of it, one after the other, each after its pause."""
        for step in steps:
            self.pause(step)
            self._cluster.restart_fenced()
            self.perform(step)

    def refunds_lost(self) -> int:
        """Return how many records of the shop's topic its table has not; the agent of that topic
        is Faust's own business, but faust_grpc must not disturb it."""
        if not self._refunds:
            return 0
        return max(0, self._refunds - sum(self._cluster.table("refund-counts").values()))

    def _refund(self) -> None:
        topic = self._cluster.shop.refunds_topic
        if topic:
            orders = (f"order-{number % 10}" for number in range(REFUNDS))
            self._refunds += self._cluster.produce(topic, orders)

    def pause(self, step: Step) -> None:
        """Wait for what the step says."""
        cluster = self._cluster
        if step.pause == "settled":
            cluster.wait_settled(seconds=0.5, timeout=self._timeout)
        elif step.pause == "orders":
            goal = sum(cluster.reached().values()) + step.amount * cluster.shop.rate * 8
            cluster.wait(
                lambda: sum(cluster.reached().values()) > goal, self._timeout, "some orders"
            )
        else:
            # The pause is the fault's own rhythm; nothing is concluded from it.
            self._never.wait(step.amount * cluster.shop.session_seconds)

    def perform(self, step: Step) -> None:
        """Do it now."""
        cluster = self._cluster
        self._refund()
        if step.kind == "server":
            cluster.kill_server()
            cluster.say("kill and start the server")
        elif step.kind == "broker":
            cluster.broker.kill()
            cluster.say("kill the broker")
            cluster.broker.restart()
            cluster.say("the broker is back")
        elif step.kind == "stop":
            # One that has told nothing yet may have been started a moment ago.
            cluster.stop(step.name, ready=bool(cluster.status(step.name)))
        elif step.kind == "halt":
            self._halt(step.name)
        else:
            {"kill": cluster.kill, "start": cluster.start}[step.kind](step.name)

    def _halt(self, name: str) -> None:
        """The others take over what it had; then it wakes up, and finds that out."""
        cluster = self._cluster
        cluster.halt(name)
        patience = HALT_SESSIONS * cluster.shop.session_seconds
        until = time.monotonic() + patience
        cluster.wait(lambda: time.monotonic() > until, 2 * patience, "the end of its session")
        cluster.wait_settled(seconds=0.0, timeout=self._timeout)
        cluster.resume(name)
