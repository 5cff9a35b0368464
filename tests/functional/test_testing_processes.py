"""Child processes: signals, logs, and that nothing outlives its owner."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from support.pids import gone

from faust_grpc.testing import ChildProcess, NotReady, eventually, free_port, wait_until

#: A program that starts a child of its own and says both process ids.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("ready", child.pid, flush=True)
time.sleep(600)
"""
#: An owner of such a program.
OWNER = """
import pathlib, sys, time
from faust_grpc.testing import ChildProcess
process = ChildProcess([sys.executable, "-c", sys.argv[1]], log=pathlib.Path(sys.argv[2]))
process.start()
print(process.pid, process.wait_for_line(r"^ready (\\d+)$")[1], flush=True)
time.sleep(600)
"""


def python(code: str, log: Path) -> ChildProcess:
    return ChildProcess([sys.executable, "-c", code], log=log, name="program")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "program.log"


def test_free_ports_differ() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50


def test_wait_until_names_what_did_not_happen() -> None:
    with pytest.raises(NotReady, match=r"not within 0\.01 s: the moon"):
        wait_until(lambda: False, 0.01, "the moon")


async def test_eventually_leaves_the_loop_running() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    await eventually(event.is_set)
    with pytest.raises(NotReady, match="the moon"):
        await eventually(lambda: False, 0.01, "the moon")


def test_runs_and_reports_the_status(log: Path) -> None:
    with python("print('hello'); raise SystemExit(3)", log) as process:
        assert process.wait() == 3
        assert process.output() == "hello\n"
        assert not process.alive


def test_output_is_of_the_last_start(log: Path) -> None:
    process = python("import os; print('pid', os.getpid())", log)
    pids = []
    for _ in range(2):
        with process:
            pids.append(process.wait_for_line(r"^pid (\d+)$")[1])
            process.wait()
    assert pids[0] != pids[1]
    assert log.read_text() == f"pid {pids[0]}\npid {pids[1]}\n"


def test_kill_and_terminate(log: Path) -> None:
    with python(PARENT, log) as process:
        process.wait_for_line("ready")
        process.kill()
        assert process.wait() == 128 + signal.SIGKILL
    with python(PARENT, log) as process:
        process.wait_for_line("ready")
        process.terminate()
        assert process.wait() == 128 + signal.SIGTERM


def test_stop_and_cont(log: Path) -> None:
    with python(PARENT, log) as process:
        process.wait_for_line("ready")
        process.stop()
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        assert process.alive
        process.cont()
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_SLEEPING)
        process.stop()
    assert not process.alive


def test_leaves_nothing_of_its_group(log: Path) -> None:
    with python(PARENT, log) as process:
        grandchild = int(process.wait_for_line(r"^ready (\d+)$")[1])
        process.kill()
    wait_until(lambda: gone(grandchild))


def test_ends_when_its_owner_is_killed(log: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, PARENT, log], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    with owner.stdout:
        pids = [int(word) for word in owner.stdout.readline().split()]
    assert not any(gone(pid) for pid in pids)
    owner.kill()
    owner.wait()
    wait_until(lambda: all(gone(pid) for pid in pids))


def test_says_why_it_is_not_ready(log: Path) -> None:
    with (
        python("print('no disk'); raise SystemExit(1)", log) as process,
        pytest.raises(NotReady, match=r"program: ended with status 1, no line.*\n.*no disk"),
    ):
        process.wait_for_line("ready")
    with (
        python(PARENT, log) as process,
        pytest.raises(NotReady, match=r"no line matching 'never' within 0\.01 s"),
    ):
        process.wait_for_line("never", timeout=0.01)


def test_says_that_there_is_no_such_program(log: Path) -> None:
    process = ChildProcess(["/no/such/program"], log=log)
    with pytest.raises(NotReady, match="No such file"):
        process.start()
    assert not process.alive
    with pytest.raises(NotReady, match="was not started"):
        assert process.pid
