"""etcd's Watch, through the example's own application, over kill -9 of both ends."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc
import pytest
from support import Etcd, Worker

from faust_grpc.testing import Broker, NotReady, wait_until

PROGRAM = Path(__file__).parent / "workers" / "etcd_worker.py"
SEED = 20261125
READY_SECONDS = 60.0


class Writer(threading.Thread):
    """Puts one key at a time, and every tenth time three in one transaction.

    Attributes:
        history: (revision, key) of everything that was written for certain.
    """

    def __init__(self, etcd: Etcd) -> None:
        super().__init__(daemon=True)
        self.history: list[tuple[int, str]] = []
        self._etcd = etcd
        self._over = threading.Event()

    def run(self) -> None:
        number = 0
        while not self._over.wait(0.02):
            number += 1
            keys = [f"config/k{(number + i) % 40}" for i in range(3 if number % 10 == 0 else 1)]
            try:
                revision = self._etcd.put(**dict.fromkeys(keys, f"v{number}"))
            except grpc.RpcError:
                continue  # killed meanwhile: whether it was written, the final Range tells
            self.history += [(revision, key) for key in keys]

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more keys were written."""
        wanted = len(self.history) + count
        wait_until(lambda: len(self.history) >= wanted, READY_SECONDS, "the writer to go on")

    def end(self) -> None:
        """Stop writing and wait for it."""
        self._over.set()
        self.join()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write during a block."""
        self.start()
        try:
            yield
        finally:
            self.end()


class Watching:
    """A worker of the example, and what it wrote down."""

    def __init__(
        self, directory: Path, start: Callable[..., Worker], etcd: Etcd, broker: Broker
    ) -> None:
        self.events_file = directory / "events"
        self.state_file = directory / "state.json"
        self._start = start
        settings = broker.faust_settings()
        self._environment = {
            "ETCD_TARGET": etcd.target,
            "EVENTS": str(self.events_file),
            "STATE": str(self.state_file),
            "BROKER_URL": settings.pop("broker"),
            "SETTINGS": json.dumps(
                {
                    **settings,
                    "datadir": str(directory / "data"),
                    "web_enabled": False,
                    "store": "memory://",
                    "topic_replication_factor": 1,
                    "broker_session_timeout": 6.0,
                    "broker_heartbeat_interval": 1.0,
                    "table_standby_replicas": 0,
                }
            ),
        }
        self.worker: Worker

    def start(self, **environment: str) -> Worker:
        """Start the worker, or another one with other settings."""
        self.worker = self._start(
            PROGRAM, name="etcd-worker", env={**self._environment, **environment}
        )
        return self.worker

    def state(self) -> dict[str, Any]:
        """Return what the running worker last said; empty before it spoke."""
        if not self.state_file.exists():
            return {}
        state = json.loads(self.state_file.read_text())
        return state if state["pid"] == self.worker.pid else {}

    def split(self) -> dict[str, Any]:
        """Return the state of the one split; empty while it does not run."""
        splits = self.state().get("splits") or [{}]
        return dict(splits[0])

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something of a worker that has to stay alive meanwhile."""
        try:
            self.worker.wait_until(condition, READY_SECONDS, what)
        except NotReady as exc:
            raise AssertionError(f"{exc}\n{self.split()}") from exc

    def wait_for_new_events(self) -> None:
        """Wait until the worker that runs now processed something more."""
        seen = len(self.lives().get(self.worker.pid, ()))
        self.wait_for(lambda: len(self.lives().get(self.worker.pid, ())) > seen, "new event")

    def lives(self) -> dict[int, list[tuple[int, str]]]:
        """Return the processed (revision, key) of each process, in order."""
        lines = self.events_file.read_text().splitlines() if self.events_file.exists() else []
        parsed = [line.split() for line in lines]
        lives: dict[int, list[tuple[int, str]]] = {}
        for pid, revision, key in parsed:
            lives.setdefault(int(pid), []).append((int(revision), key))
        return lives

    def processed(self) -> set[tuple[int, str]]:
        """Return every (revision, key) that some process finished."""
        return {event for life in self.lives().values() for event in life}


@pytest.fixture
def watching(
    tmp_path: Path, start_worker: Callable[..., Worker], etcd: Etcd, mock_broker: Broker
) -> Iterator[Watching]:
    watching = Watching(tmp_path, start_worker, etcd, mock_broker)
    yield watching
    watching.worker.kill()  # it would wait for its broker, which ends before it


def last_revision(etcd: Etcd) -> int:
    return max(pair.mod_revision for pair in etcd.range("config/"))


def kill_at_random(watching: Watching, etcd: Etcd, writer: Writer, kills: int) -> None:
    """Kill one or the other, with progress in between."""
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    victims = ["etcd", "worker"] * (kills // 2)
    chance.shuffle(victims)
    for victim in victims:
        # Not before this life did something, and then at any moment.
        watching.wait_for_new_events()
        writer.wait_for_more(chance.randrange(150))
        print(f"kill -9 {victim} after {len(writer.history)} writes")
        if victim == "etcd":
            etcd.kill()
            etcd.start()
        else:
            watching.worker.kill()
            watching.worker.start()


def check(watching: Watching, etcd: Etcd, writer: Writer) -> None:
    final = {pair.key.decode(): pair for pair in etcd.range("config/")}
    newest = last_revision(etcd)
    watching.wait_for(lambda: (watching.split().get("cursor") or 0) >= newest, f"cursor {newest}")
    processed = watching.processed()

    wanted = set(writer.history) | {(pair.mod_revision, key) for key, pair in final.items()}
    assert not wanted - processed, "events were lost"
    for pid, life in watching.lives().items():
        revisions = [revision for revision, _ in life]
        assert revisions == sorted(revisions), f"a revision went back in process {pid}"
    # Of each transaction that was seen, all of it was seen.
    for revision, keys in groupby(sorted(writer.history), key=lambda event: event[0]):
        assert {(revision, key) for _, key in keys} <= processed
    values = {key: pair.value.decode() for key, pair in final.items()}
    watching.wait_for(lambda: watching.state().get("table") == values, "table like the Range")
    lives = watching.lives()
    for pid, life in lives.items():
        print(f"process {pid}: revisions {life[0][0]} to {life[-1][0]}, {len(life)} events")
    print(
        f"written={len(set(writer.history))} processed={len(processed)} "
        f"again={sum(map(len, lives.values())) - len(processed)} lost=0 lives={len(lives)}"
    )


def test_nothing_is_lost_over_kills_of_both(watching: Watching, etcd: Etcd) -> None:
    """At-least-once, on the mock broker."""
    watching.start()
    writer = Writer(etcd)
    with writer.writing():
        kill_at_random(watching, etcd, writer, kills=6)
    check(watching, etcd, writer)


def test_nothing_is_lost_on_a_real_kafka(
    tmp_path: Path, start_worker: Callable[..., Worker], etcd: Etcd, kafka_broker: Broker
) -> None:
    watching = Watching(tmp_path, start_worker, etcd, kafka_broker)
    watching.start()
    writer = Writer(etcd)
    with writer.writing():
        kill_at_random(watching, etcd, writer, kills=4)
    check(watching, etcd, writer)
    watching.worker.terminate()
    assert watching.worker.wait() == 0


def test_a_delete_leaves_the_table(watching: Watching, etcd: Etcd) -> None:
    etcd.put(**{"config/kept": "1", "config/gone": "1", "other/key": "1"})
    watching.start()
    watching.wait_for(
        lambda: watching.state().get("table") == {"config/kept": "1", "config/gone": "1"}, "table"
    )
    etcd.call("DeleteRange", etcd.message("DeleteRangeRequest", key=b"config/gone"))
    watching.wait_for(lambda: watching.state().get("table") == {"config/kept": "1"}, "deletion")


def test_progress_moves_the_cursor_of_a_quiet_watch(watching: Watching, etcd: Etcd) -> None:
    """Else a restart would resume so far back that etcd has compacted it meanwhile."""
    etcd.put(**{"config/one": "1"})
    watching.start()
    watching.wait_for(watching.processed, "first event")
    elsewhere = max(etcd.put(**{"other/key": str(n)}) for n in range(5))
    watching.wait_for(lambda: (watching.split().get("cursor") or 0) >= elsewhere, "progress")


def compacted_while_down(watching: Watching, etcd: Etcd) -> int:
    """Let a worker save its cursor, end it, and compact what it has not seen."""
    first = etcd.put(**{"config/a": "1", "config/b": "1"})
    watching.start()
    watching.wait_for(lambda: watching.split().get("cursor", 0) >= first, "first events")
    watching.worker.terminate()
    watching.worker.wait()
    for number in range(5):
        newest = etcd.put(**{"config/a": f"missed {number}"})
    etcd.compact(newest)
    return newest


def test_a_compaction_is_reported(watching: Watching, etcd: Etcd) -> None:
    compacted = compacted_while_down(watching, etcd)
    watching.start()
    watching.wait_for(lambda: watching.split().get("state") == "fatal", "fatal split")
    assert f"the oldest revision is {compacted}" in watching.split()["reason"]
    stopped = watching.worker.wait_for_line(r"etcd-changes/main: stopped: .*$")[0]
    assert f"the oldest revision is {compacted}" in stopped


def test_a_compaction_is_passed_over_when_told_so(watching: Watching, etcd: Etcd) -> None:
    compacted_while_down(watching, etcd)
    watching.start(ON_LOST="latest")
    line = watching.worker.wait_for_line(r"the server cannot resume .*$")[0]
    assert "data is missing" in line
    # The first call receives too: the answer that its position is compacted.
    watching.wait_for(
        lambda: watching.split().get("calls", 0) > 1 and watching.split()["state"] == "receiving",
        "new watch",
    )
    later = etcd.put(**{"config/a": "later"})
    watching.wait_for(lambda: (later, "config/a") in watching.processed(), "later event")


def test_a_silent_etcd_is_waited_for(watching: Watching, etcd: Etcd) -> None:
    watching.start()
    etcd.put(**{"config/a": "before"})
    watching.wait_for(watching.processed, "first event")
    etcd.stop()
    watching.state_file.unlink(missing_ok=True)
    watching.wait_for(watching.state, "sign of life")
    etcd.cont()
    later = etcd.put(**{"config/a": "after"})
    watching.wait_for(lambda: (later, "config/a") in watching.processed(), "later event")
