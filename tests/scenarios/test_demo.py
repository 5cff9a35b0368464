"""The demo as people run it, and what its check notices."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from faust_grpc.demo import Verdict
from faust_grpc.demo.check import judge
from faust_grpc.demo.cluster import Member
from faust_grpc.demo.snapshot import Snapshot, SplitView, WorkerView
from faust_grpc.demo.view import LiveView, PlainView
from faust_grpc.testing import ChildProcess

DEMO = (sys.executable, "-m", "faust_grpc", "demo")
SECONDS = 240.0


def test_the_demo_loses_nothing() -> None:
    result = subprocess.run(
        [*DEMO, "--seconds", "12", "--json"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    *lines, last = [json.loads(line) for line in result.stdout.splitlines()]
    demo = last["demo"]
    assert demo["sent"] == demo["processed"] > 0
    assert demo["lost"] == demo["unknown"] == []
    assert demo["workers"] == 3
    events = "\n".join(line["event"] for line in lines if "event" in line)
    for event in ("order service killed", "started again", "worker-2 killed", "worker-3 took"):
        assert event in events


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_a_signal_ends_the_demo_and_all_that_it_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        # A shell has what it starts in the background, and so these tests, ignore SIGINT.
        ["env", "--default-signal=INT", *DEMO, "--plain"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as demo:
        assert demo.stdout is not None
        while "two workers started" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(number)
        # Children would keep the pipes open.
        _, err = demo.communicate(timeout=60)

    assert demo.returncode == 128 + number
    assert err == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "trouble"),
    [
        ("import time; print('well', flush=True); time.sleep(60)", ""),
        ("print('well'); raise SystemExit(3)", "ended by itself (status 3)"),
        (
            "import time; print('Unexpected error from SyncGroup: [Error 42] InvalidRequestError',"
            " 'well', flush=True); time.sleep(60)",
            "was refused by the mock broker (SyncGroup error 42)",
        ),
    ],
)
def test_a_worker_in_trouble_is_noticed(tmp_path: Path, program: str, trouble: str) -> None:
    command = [sys.executable, "-c", program]
    with ChildProcess(command, log=tmp_path / "worker.log") as process:
        member = Member(process, tmp_path / "worker.json")
        process.wait_for_line("well")
        if "SystemExit" in program:
            process.wait()
        assert member.trouble() == trouble

        member.expected = False
        assert member.trouble() == ""


ALL = {"north:1": 1, "north:2": 1, "south:1": 1}
SENT = {"north": 2, "south": 1}


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        pytest.param([ALL, ALL], Verdict(3, 3, (), 0, ()), id="all"),
        pytest.param(
            [ALL, {**ALL, "north:2": 3}], Verdict(3, 3, (), 2, ()), id="one agent saw one again"
        ),
        pytest.param(
            [ALL, {"north:1": 1, "south:1": 1}],
            Verdict(3, 2, ("north:2",), 0, ()),
            id="one agent missed one",
        ),
        pytest.param([{}, {}], Verdict(3, 0, tuple(ALL), 0, ()), id="nothing at all"),
        pytest.param(
            [{**ALL, "south:2": 1}, ALL], Verdict(3, 3, (), 0, ("south:2",)), id="never sent"
        ),
    ],
)
def test_judge(tables: list[Mapping[str, int]], expected: Verdict) -> None:
    verdict = judge(SENT, tables)

    assert verdict == expected
    assert verdict.good is not bool(expected.lost or expected.unknown)


def test_a_demo_in_which_nothing_was_sent_is_not_good() -> None:
    assert not judge({}, [{}, {}]).good


def test_lost_orders_are_in_order() -> None:
    assert judge({"a": 10}, [{}]).lost[-2:] == ("a:9", "a:10")


SNAPSHOT = Snapshot(
    seconds=12.3,
    service=True,
    splits=(
        SplitView("north", "worker-1", "receiving", 1_234_567, 1_234_500, 5000.0),
        SplitView("south", "", "unowned", 20, 20, 0.0),
    ),
    workers=(
        WorkerView("worker-1", "working", ("north", "south", "east", "west")),
        WorkerView("worker-2", "killed", ()),
    ),
)


def test_the_live_view_fits_in_80_columns() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with LiveView(console) as view:
        view.show(SNAPSHOT)
        view.event("order service killed (SIGKILL)")
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().rpartition("faust-grpc demo")[2]
    rows = [line.split() for line in last.splitlines()]

    assert ["north", "worker-1", "receiving", "1,234,567", "1,234,500", "67", "5000"] in rows
    assert ["south", "-", "unowned", "20", "20", "0", "0"] in rows
    assert ["worker-1", "working", "north,", "south,", "east,", "west"] in rows
    assert "order service killed (SIGKILL)" in last
    assert "…" not in last
    assert max(map(len, last.splitlines())) <= 80


def test_plain_lines_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    view = PlainView()
    view.event("order service killed (SIGKILL)")
    view.show(SNAPSHOT)
    first, second = capsys.readouterr().out.splitlines()

    assert re.fullmatch(r"\d\d:\d\d:\d\d order service killed \(SIGKILL\)", first)
    assert "1234520 processed, 5000/s, lag 67; north worker-1, south -" in second
