"""A Python program under test, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from faust_grpc.testing import ChildProcess

__all__ = ["Worker"]


class Worker(ChildProcess):
    """A Python script or module as a process: kill, terminate, stop, cont, start again.

    Arguments:
        program: path of a script, or the dotted name of a module to run with ``-m``.
        arguments: its command line.
        log: file for its output.
        env: variables to set beside ours.
        cwd: its working directory.
        name: what to call it in errors.
    """

    def __init__(
        self,
        program: str | Path,
        *arguments: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str = "",
    ) -> None:
        script = isinstance(program, Path) or program.endswith(".py")
        super().__init__(
            [sys.executable, *([] if script else ["-m"]), program, *arguments],
            log=log,
            env={"PYTHONUNBUFFERED": "1", **(env or {})},
            cwd=cwd,
            name=name or Path(program).name,
        )
