"""Child processes that end with their owner, free ports, and bounded waiting."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ..exceptions import HostError

__all__ = ["ChildProcess", "NotReady", "eventually", "free_port", "wait_until"]

_SUPERVISE = Path(__file__).with_name("_supervise.py")
#: Time between two looks at a condition.
_POLL_SECONDS = 0.02
#: Linux gives outgoing connections ports from 32768 on, other systems from 49152 on.
_PORTS = (15_000, 32_768)

ProcessT = TypeVar("ProcessT", bound="ChildProcess")

#: Not seeded by anybody: two test runs at once must not draw the same ports.
_random = random.SystemRandom()
_given: set[int] = set()
_given_lock = threading.Lock()


class NotReady(HostError):
    """Something that was started did not become ready in time, or ended early."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody uses, and that was not returned before.

    It is below the ports that the system gives to outgoing connections: while a server is down,
    one of those could take its port, even a client that dials it (and so connects to itself).
    """
    while True:
        port = _random.randrange(*_PORTS)
        with socket.socket() as probe, _given_lock:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in _given:
                _given.add(port)
                return port


def wait_until(condition: Callable[[], object], timeout: float = 10.0, what: str = "") -> None:
    """Return as soon as a condition holds.

    Arguments:
        condition: asked every 20 ms.
        timeout: seconds.
        what: names the condition in the error.

    Raises:
        NotReady: it did not hold in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"not within {timeout:g} s: {what or condition}")
        time.sleep(_POLL_SECONDS)


async def eventually(
    condition: Callable[[], object], timeout: float = 10.0, what: str = ""
) -> None:
    """Like :func:`wait_until`, on an event loop.

    Raises:
        NotReady: the condition did not hold in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise NotReady(f"not within {timeout:g} s: {what or condition}")
        await asyncio.sleep(_POLL_SECONDS)


class ChildProcess:
    """A command with a log file, in its own process group, that ends when its owner ends.

    It can be started again after it ended; the log goes on.

    Arguments:
        command: program and arguments.
        log: file for its output; made if missing.
        env: variables to set beside ours.
        cwd: its working directory.
        scratch: directory to remove if we end without :meth:`close` (``kill -9``).
        name: what to call it in errors; the program's name by default.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        scratch: Path | None = None,
        name: str = "",
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self.env = dict(env or {})
        self.cwd = cwd
        self.scratch = scratch
        self.name = name or Path(self.command[0]).name
        self._supervisor: subprocess.Popen[str] | None = None
        self._pid = 0
        self._log_start = 0

    def __repr__(self) -> str:
        state = f"pid {self._pid}" if self.alive else "not running"
        return f"<{type(self).__name__} {self.name} ({state})>"

    def __enter__(self: ProcessT) -> ProcessT:
        try:
            self.start()
        except BaseException:
            self.close()  # started, but not ready
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the command itself.

        Raises:
            NotReady: it was never started.
        """
        if not self._pid:
            raise NotReady(f"{self.name} was not started")
        return self._pid

    @property
    def alive(self) -> bool:
        """Whether the command runs (a stopped one does)."""
        return self._supervisor is not None and self._supervisor.poll() is None

    def start(self) -> None:
        """Start the command.

        Raises:
            NotReady: it runs already, or could not be started.
        """
        if self.alive:
            raise NotReady(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            supervisor = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(_SUPERVISE),
                    str(self.scratch or ""),
                    *self.command,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.env},
                cwd=self.cwd,
                text=True,
                # Ctrl-C in a terminal is for the owner, who ends us in order.
                start_new_session=True,
            )
        assert supervisor.stdout is not None
        with supervisor.stdout as first:
            answer = first.readline().strip()
        self._supervisor = supervisor
        if not answer.isdigit():
            self._release()
            raise NotReady(f"{self.name} could not be started: {answer or self.log_tail(1)}")
        self._pid = int(answer)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the command; does nothing when it ended."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return  # it ended between the two lines

    def kill(self) -> None:
        """``kill -9`` the command and wait for its end."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """Send SIGTERM; :meth:`wait` waits for the end."""
        self.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Halt the command where it stands (SIGSTOP)."""
        self.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        """Let a halted command go on (SIGCONT)."""
        self.send_signal(signal.SIGCONT)

    def wait(self, timeout: float = 30.0) -> int:
        """Wait for the end and return the exit status; 128 + n for a signal n.

        Arguments:
            timeout: seconds.

        Raises:
            NotReady: it did not end in time, or was never started.
        """
        if self._supervisor is None:
            raise NotReady(f"{self.name} was not started")
        try:
            status = self._supervisor.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NotReady(f"{self.name} did not end within {timeout:g} s") from None
        self._release()
        return status

    def close(self, grace: float = 5.0) -> None:
        """End the command: SIGTERM, and SIGKILL after ``grace`` seconds. Nothing is left behind."""
        if self._supervisor is None:
            return
        self.cont()
        self.terminate()
        try:
            self.wait(grace)
        except NotReady:
            self.kill()

    def output(self) -> str:
        """Return what the command wrote since its last start."""
        return self._read(self._log_start).decode(errors="replace")

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.output().rstrip().splitlines()[-lines:])

    def wait_until(self, condition: Callable[[], object], timeout: float, what: str) -> None:
        """Like :func:`wait_until`, but gives up at once when the command ends.

        Raises:
            NotReady: with the tail of the log.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if not self.alive:
                raise self.failure(f"ended with status {self.wait()}, no {what}")
            if time.monotonic() > deadline:
                raise self.failure(f"no {what} within {timeout:g} s")
            time.sleep(_POLL_SECONDS)

    def failure(self, what: str) -> NotReady:
        """Return an error that says what happened and ends with the tail of the log."""
        return NotReady(f"{self.name}: {what}. Its log ({self.log}):\n{self.log_tail()}")

    def wait_for_line(self, pattern: str, timeout: float = 30.0) -> re.Match[str]:
        """Wait until the output since the last start has a match, and return it.

        Arguments:
            pattern: regular expression for a line or a part of it.
            timeout: seconds.

        Raises:
            NotReady: no such line in time, or the command ended; with the tail of the log.
        """
        compiled = re.compile(pattern, re.MULTILINE)
        position = self._log_start
        found: re.Match[str] | None = None

        def look() -> bool:
            nonlocal position, found
            text = self._read(position)
            found = compiled.search(text.decode(errors="replace"))
            position += text.rfind(b"\n") + 1  # whole lines are not looked at again
            return found is not None

        try:
            self.wait_until(look, timeout, f"line matching {pattern!r}")
        except NotReady:
            # Once more after an end: the line may be the command's last word.
            if not look():
                raise
        assert found is not None
        return found

    def _read(self, position: int) -> bytes:
        with self.log.open("rb") as log:
            log.seek(position)
            return log.read()

    def _release(self) -> None:
        assert self._supervisor is not None
        assert self._supervisor.stdin is not None
        self._supervisor.stdin.close()
        self._supervisor.wait()
