"""A cluster of workers on one broker and one order server, with faults on demand."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psutil
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from faust_grpc.testing import Broker, NotReady, wait_until
from faust_grpc.testing.orders import order_message

from .calls import CallSpan, call_spans, overlapping
from .judge import Judgement, judge, read_topic
from .members import Member, Shop, Tail
from .orders import OrderServer

__all__ = ["Cluster"]

#: The group's answer reaches both workers at once. The old owner, which delivers nothing since it
#: was asked to give up, ends its calls then; the new one begins after its recovery. When there is
#: nothing to recover the two may cross; measured: 7 to 14 ms.
MOST_OVERLAP_SECONDS = 0.5
APPS = Path(__file__).parents[1] / "kafka" / "apps"


class Cluster:
    """Workers by name. Every wait is for a condition, is bounded, and fails when a worker ended.

    Arguments:
        broker: where the group, the checkpoints and the changelogs are.
        server: where the orders come from.
        directory: for logs and data.
        shop: how workers are configured; may be replaced between two starts.
        env: variables for all workers.
        tell: takes lines about what happens; ``pytest -rP`` shows what is printed.
    """

    def __init__(
        self,
        broker: Broker,
        server: OrderServer,
        directory: Path,
        shop: Shop,
        env: Mapping[str, str] | None = None,
        *,
        tell: Callable[[str], object] = print,
    ) -> None:
        self.tell = tell
        self.broker = broker
        self.server = server
        self.directory = directory
        self.shop = shop
        self.env = dict(env or {})
        self.members: dict[str, Member] = {}
        #: Readers that are halted with SIGSTOP.
        self.halted: set[str] = set()
        #: Readers that ever were.
        self.ever_halted: set[str] = set()
        self._asked_to_stop: set[str] = set()
        self.server_kills: list[float] = []
        self._calls_tail = Tail(server.call_log)
        self._calls: list[dict[str, Any]] = []
        self._reached: dict[str, int] = defaultdict(int)
        self._began = time.time()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            member.close()

    def say(self, what: str) -> None:
        """Tell what happens, with its time."""
        now = time.time()
        self.tell(f"{now:.3f} +{now - self._began:6.1f} s {what}")

    # Faults

    @property
    def running(self) -> list[str]:
        """Names of the workers that run and are not halted."""
        return [
            name
            for name, member in self.members.items()
            if member.alive and member.reader not in self.halted
        ]

    def start(self, *names: str, program: str = "shop.py") -> None:
        """Start workers."""
        for name in names:
            if name not in self.members:
                self.members[name] = Member(name, APPS / program, self.directory)
            member = self.members[name]
            member.env.update(self.env)
            member.start_as(self.shop, self.broker, self.server.target)
            self.say(f"start {member.reader}")

    def stop(self, *names: str, ready: bool = True) -> None:
        """SIGTERM to all of them at once; each must end by itself, with status 0.

        Arguments:
            names: which workers.
            ready: they were; one that had just been started may not handle signals yet.
        """
        for name in names:
            self._asked_to_stop.add(self.members[name].reader)
            self.members[name].terminate()
        for name in names:
            member, asked = self.members[name], time.monotonic()
            status = member.wait(60)
            self.say(f"stop {member.reader}: status {status}, {time.monotonic() - asked:.1f} s")
            good = status == 0 or not ready or self._was_fenced(member)
            assert good, member.failure(f"ended with status {status}")

    def kill(self, name: str) -> None:
        """``kill -9``."""
        self.members[name].kill()
        self.say(f"kill {self.members[name].reader}")

    def halt(self, name: str) -> None:
        """SIGSTOP."""
        member = self.members[name]
        self.halted.add(member.reader)
        self.ever_halted.add(member.reader)
        member.stop()
        self.say(f"halt {member.reader}")

    def resume(self, name: str) -> None:
        """SIGCONT."""
        member = self.members[name]
        member.cont()
        self.halted.discard(member.reader)
        self.say(f"resume {member.reader}")

    def restart_fenced(self) -> None:
        """Start the workers again that ended because they had been halted and were fenced off
        meanwhile: the part of a supervisor."""
        for name, member in self.members.items():
            asked_to = member.reader in self._asked_to_stop
            if not member.alive and not asked_to and self._was_fenced(member):
                self.say(f"{member.reader} ended with status {member.wait()}: fenced off")
                self.start(name)

    def _was_fenced(self, member: Member) -> bool:
        return member.reader in self.ever_halted and "worker was fenced off" in member.output()

    def kill_server(self) -> None:
        """``kill -9`` the order server and start it again on the same port."""
        self.server.kill()
        self.server_kills.append(time.time())
        self.server.start()

    # Looking

    def status(self, name: str) -> dict[str, Any]:
        """Return a worker's last status line."""
        return self.members[name].status()

    def history(self, name: str) -> list[dict[str, Any]]:
        """Return all of a worker's status lines."""
        self.members[name].status()
        return self.members[name].told

    def calls(self) -> list[CallSpan]:
        """Return the calls in the server's log."""
        self._calls += [json.loads(line) for line in self._calls_tail.read()]
        return call_spans(self._calls, self.server_kills)

    def readers(self, regions: Iterable[str] = ()) -> dict[str, list[str]]:
        """Return who reads each region (all by default) now, according to the server."""
        now: dict[str, list[str]] = {region: [] for region in regions or self.shop.regions}
        for span in self.calls():
            if span.region in now and span.closed == float("inf"):
                now[span.region] += [span.reader] * (span.reader not in self.halted)
        return now

    def reached(self) -> dict[str, int]:
        """Return how far each region was ever processed, according to the workers."""
        for name in self.running:
            for region, (_state, cursor, *_) in self.status(name).get("splits", {}).items():
                self._reached[region] = max(self._reached[region], cursor or 0)
        return self._reached

    def sent(self) -> dict[str, int]:
        """Return the highest sequence number that the server ever sent, by region."""
        with grpc.insecure_channel(self.server.target) as channel:
            ask = channel.unary_unary(
                "/shop.v1.OrderService/GetProgress",
                request_serializer=order_message("GetProgressRequest").SerializeToString,
                response_deserializer=order_message("Progress").FromString,
            )
            return dict(ask(order_message("GetProgressRequest")(), timeout=10).sent)

    def memory(self, name: str) -> int:
        """Return how much memory a worker has, in bytes."""
        size: int = psutil.Process(self.members[name].pid).memory_info().rss
        return size

    # Waiting

    def wait(self, condition: Callable[[], object], timeout: float, what: str) -> None:
        """Wait for a condition; fail at once when a worker ended that nobody ended."""
        alive = [self.members[name] for name in self.running]

        def look() -> object:
            for member in alive:
                if not member.alive and not self._was_fenced(member):
                    raise member.failure(f"ended by itself with status {member.wait()}")
            return condition()

        try:
            wait_until(look, timeout, what)
        except NotReady as error:
            told = "\n".join(f"{name}: {self.status(name)}" for name in self.running)
            raise NotReady(f"{error}\nreaders: {self.readers()}\n{told}") from None

    def wait_processed(
        self, more: int = 1, timeout: float = 60.0, regions: Iterable[str] = ()
    ) -> None:
        """Wait until regions (all by default) moved on by so many orders, beyond where they were
        ever."""
        start = self.reached()
        goal = {region: start[region] + more for region in regions or self.shop.regions}

        def moved() -> bool:
            now = self.reached()
            return all(now[region] >= least for region, least in goal.items())

        self.wait(moved, timeout, f"{more} more orders in {sorted(goal)}")

    def wait_settled(
        self, seconds: float = 2.0, timeout: float = 60.0, regions: Iterable[str] = ()
    ) -> None:
        """Wait until every split has had exactly one reader, the same, for so many seconds, every
        running worker is a member and reads something, nobody else does, and every split moves on.
        (With standby replicas a third worker may have no active partition: it reads nothing.)

        Arguments:
            seconds: how long nothing may change.
            timeout: seconds.
            regions: splits to look at; all by default.
        """
        asked = time.monotonic()
        wanted = set(regions) or self.shop.regions
        since, last = asked, self.readers(wanted)

        def settled() -> bool:
            nonlocal since, last
            readers = self.readers(wanted)
            running = {self.members[name].reader for name in self.running}
            good = all(len(who) == 1 for who in readers.values())
            good = good and self._all_belong({who[0] for who in readers.values()}, running)
            if not good or readers != last:
                since, last = time.monotonic(), readers
            return good and time.monotonic() - since >= seconds

        self.wait(settled, timeout, f"one reader of every split for {seconds:g} s")
        self.wait_processed(timeout=timeout, regions=wanted)
        spread: dict[str, int] = {}
        for (who,) in last.values():
            spread[who] = spread.get(who, 0) + 1
        self.say(f"settled {time.monotonic() - asked - seconds:.1f} s later: {spread}")

    def _all_belong(self, reading: set[str], running: set[str]) -> bool:
        if not self.shop.standby:
            return reading == running
        generations = {self.status(name).get("generation", -1) for name in self.running}
        return reading <= running and len(generations) == 1 and generations != {-1}

    # Topics

    def produce(self, topic: str, values: Iterable[str]) -> int:
        """Write records to a topic of 4 partitions, made if it is not there; return how many."""
        bootstrap = {"bootstrap.servers": self.broker.bootstrap, "log_level": 0}
        admin = AdminClient(bootstrap)  # a name: without one it may end before it answers
        for made in admin.create_topics([NewTopic(topic, 4)]).values():
            with suppress(KafkaException):  # it is there
                made.result(30)
        producer, sent = Producer(bootstrap), list(values)
        for value in sent:
            producer.produce(topic, value.encode(), value.encode())
        assert producer.flush(30) == 0
        return len(sent)

    def table(self, name: str) -> dict[str, Any]:
        """Return a table's contents, from its changelog."""
        topic = f"{self.shop.app_id}-{name}-changelog"
        records = read_topic(self.broker.bootstrap, topic)
        last = {record.key: record.value for record in records}
        return {key: value for key, value in last.items() if value is not None}

    # The end

    def judge(self) -> Judgement:
        """Judge the changelogs, and tell what was found."""
        judgement = judge(self.broker.bootstrap, self.shop)
        self.tell(str(judgement))
        return judgement

    def finish(self) -> Judgement:
        """Start the workers that are down, let the cluster settle, stop them all, and judge."""
        for name, member in self.members.items():
            if not member.alive:
                member.wait()
                self.start(name)
        self.wait_settled(timeout=120)
        self.stop(*self.running)
        return self.judge()

    def overlaps(self, halted: Iterable[str] = ()) -> list[str]:
        """Return when a split had two readers for too long; tell whenever it had.

        Arguments:
            halted: readers to leave out: they were halted, and nobody can close their connections.
        """
        calls = self.calls()
        found = overlapping(calls, halted)
        longest = max((overlap.seconds for overlap in found), default=0.0)
        self.tell(f"calls: {len(calls)}, overlaps: {len(found)}, longest {longest:.3f} s")
        for overlap in found:
            self.tell(f"  OVERLAP {overlap}")
        return [str(overlap) for overlap in found if overlap.seconds > MOST_OVERLAP_SECONDS]
