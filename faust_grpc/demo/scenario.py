"""What happens in the demo, in order. Every wait is for a condition and has an end."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..exceptions import HostError
from ..testing import Broker, NotReady
from .check import Verdict, judge, read_table
from .cluster import Cluster
from .settings import APP_ID, REGIONS
from .snapshot import Observer, Snapshot
from .view import View

__all__ = ["Outcome", "run_demo"]

#: Orders per second and region. Two busy cores do many times as much; but every order is a key of
#: two tables, and the mock broker keeps 5 MB of a partition, nothing before.
RATE = 200
#: Of the time asked for, what starting, moving splits and the end take.
OVERHEAD_SECONDS = 13.0
#: Between two looks.
_LOOK_SECONDS = 0.2
#: A slow machine may take so long for any one step.
_PATIENCE_SECONDS = 90.0
#: Workers that are started again in one demo, see :meth:`Member.trouble`.
_MOST_RESTARTS = 10


@dataclass(frozen=True)
class Outcome:
    """How the demo ended.

    Arguments:
        verdict: what became of the orders.
        workers: workers that took part.
        seconds: how long it took.
        directory: where the logs are, if it did not end well.
    """

    verdict: Verdict
    workers: int
    seconds: float
    directory: Path

    def line(self) -> str:
        """Return it as one line."""
        verdict = self.verdict
        return (
            f"demo: sent={verdict.sent} processed={verdict.processed} lost={len(verdict.lost)} "
            f"duplicates={verdict.duplicates} workers={self.workers} splits={len(REGIONS)} "
            f"seconds={self.seconds:.0f}"
        )


def run_demo(broker: Broker, view: View, *, seconds: float, lose: str = "") -> Outcome:
    """Run the demo.

    Arguments:
        broker: a broker that was not started.
        view: shows what happens.
        seconds: about how long it may take.
        lose: an order (``"region:sequence"``) that a worker passes over, so that it must fail.

    Returns:
        How it ended; the logs are removed if it ended well.

    Raises:
        HostError: something did not happen in time; the text ends with where the logs are.
    """
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="faust-grpc-demo-"))
    count = round(RATE * max(seconds - OVERHEAD_SECONDS, 2.0))
    keep = False
    try:
        view.event(f"starting the {broker.kind} broker")
        with broker:
            cluster = Cluster(broker, directory, rate=RATE, count=count, lose=lose)
            try:
                verdict = Scenario(cluster, view, count, began).run()
            finally:
                cluster.close()
        keep = not verdict.good
        return Outcome(verdict, len(cluster.members), time.monotonic() - began, directory)
    except HostError as error:
        keep = True
        raise HostError(f"{error}\nAll logs are in {directory}") from error
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


class Scenario:
    """The steps.

    Arguments:
        cluster: the processes.
        view: shows them.
        count: orders per region.
        began: when the demo began, by the monotonic clock.
    """

    def __init__(self, cluster: Cluster, view: View, count: int, began: float) -> None:
        self._cluster = cluster
        self._view = view
        self._total = count * len(REGIONS)
        self._observer = Observer(cluster, began)
        self._restarts = 0

    def run(self) -> Verdict:
        """Run all steps and check the result.

        Raises:
            NotReady: a step did not come about.
        """
        self._start()
        self._break_service()
        self._break_worker()
        self._join()
        self._until(lambda now: now.processed >= self._total, "the last order processed")
        self._say("the service has sent its last order, and all are processed")
        return self._check()

    def _start(self) -> None:
        cluster = self._cluster
        cluster.start_service()
        for name in ("worker-1", "worker-2"):
            cluster.start_worker(name)
        self._say("order service and two workers started")
        self._until(
            lambda now: now.all_read and all(worker.splits for worker in now.workers),
            "all splits read, by both workers",
        )
        self._say("every split has an owner")

    def _break_service(self) -> None:
        self._until(lambda now: now.processed >= 0.2 * self._total, "a fifth processed")
        self._cluster.service.kill()
        self._say("order service killed (SIGKILL)")
        back = time.monotonic() + 1.5
        self._until(lambda now: time.monotonic() > back, "a moment")
        self._cluster.start_service()
        self._say("order service started again")
        self._until(lambda now: now.all_read, "all splits read again")
        self._say("every split goes on behind its last order")

    def _break_worker(self) -> None:
        self._until(lambda now: now.processed >= 0.5 * self._total, "half of it processed")
        lost = ", ".join(self._observer.look().owned_by("worker-2"))
        self._cluster.kill_worker("worker-2")
        killed = time.monotonic()
        self._say(f"worker-2 killed (SIGKILL); it had {lost or 'no split'}")
        self._until(lambda now: now.all_read, "the splits of worker-2 read by worker-1")
        self._say(f"its splits moved to worker-1 after {time.monotonic() - killed:.1f} s")

    def _join(self) -> None:
        self._until(lambda now: now.processed >= 0.7 * self._total, "most of it processed")
        self._cluster.start_worker("worker-3")
        self._say("worker-3 started")
        self._until(lambda now: bool(now.owned_by("worker-3")), "worker-3 has splits")
        taken = ", ".join(self._observer.look().owned_by("worker-3"))
        self._say(f"worker-3 took {taken}")

    def _check(self) -> Verdict:
        sent = self._cluster.sent(timeout=10.0)
        self._cluster.stop_workers()
        self._say("workers stopped; reading the tables' changelogs")
        bootstrap = self._cluster.broker.bootstrap
        tables = [
            read_table(bootstrap, f"{APP_ID}-{table}-changelog") for table in ("booked", "notified")
        ]
        return judge(sent, tables)

    def _say(self, text: str) -> None:
        self._view.event(text)
        self._view.show(self._observer.look())

    def _until(self, condition: Callable[[Snapshot], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            self._revive()
            now = self._observer.look()
            self._view.show(now)
            if condition(now):
                return
            if time.monotonic() > deadline:
                raise NotReady(f"demo: not within {_PATIENCE_SECONDS:g} s: {what}{self._logs()}")
            time.sleep(_LOOK_SECONDS)

    def _revive(self) -> None:
        """Start a worker again that is in trouble."""
        for name, member in self._cluster.members.items():
            trouble = member.trouble()
            if not trouble:
                continue
            if self._restarts == _MOST_RESTARTS:
                raise member.process.failure(f"again and again: {trouble}")
            self._restarts += 1
            self._cluster.start_worker(name)
            self._view.event(f"{name} {trouble}; started again")

    def _logs(self) -> str:
        """Return the end of every worker's log."""
        members = self._cluster.members.items()
        return "".join(f"\n{name}:\n{member.process.log_tail(8)}" for name, member in members)
