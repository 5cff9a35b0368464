"""Run one command and end it with its owner. A script of its own: standard library only.

Usage: ``python _supervise.py SCRATCH COMMAND ...``. It prints the command's process id, waits
until the command ends or its own standard input is closed, and leaves nothing of the command's
process group behind. All output of the command goes to standard error. SCRATCH is a directory to
remove when the owner is gone and cannot do it itself; empty for none.

The owner holds the other end of that input, so it closes whatever way the owner ends, ``kill -9``
included. (The kernel's parent-death signal would not do: it is sent when the *thread* that forked
ends.)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading


def main(scratch: str, command: list[str]) -> int:
    """Run the command; return its exit status, negative for a signal, as ``subprocess`` does."""
    # An owner that waits for its own signals has them blocked; the command must get them.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), start_new_session=True
        )
    except OSError as error:
        print(f"error: {error}", flush=True)
        return 127
    sys.stdout.write(f"{child.pid}\n")
    sys.stdout.close()
    orphaned = threading.Event()
    threading.Thread(target=_end_with_owner, args=(child.pid, orphaned), daemon=True).start()
    status = child.wait()
    _kill_group(child.pid)
    if scratch and orphaned.is_set():
        shutil.rmtree(scratch, ignore_errors=True)
    return status


def _end_with_owner(group: int, orphaned: threading.Event) -> None:
    while os.read(0, 4096):
        continue
    orphaned.set()
    _kill_group(group)


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    status = main(sys.argv[1], sys.argv[2:])
    # A process that was killed by a signal says so to its parent as 128 + number.
    os._exit(status if status >= 0 else 128 - status)
