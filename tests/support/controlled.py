"""Workers of ``tests/scenarios/apps/controlled.py``, and the command line used on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faust_grpc.testing import Broker, free_port, wait_until

from .orders import OrderServer
from .workers import Worker

__all__ = ["REGIONS", "Controlled"]

APPS = Path(__file__).parents[1] / "scenarios" / "apps"
REGIONS = ("north", "south", "east", "west")


class Controlled:
    """A cluster of one application, with its web pages and its command line.

    Arguments:
        broker: where its group is.
        server: what it reads.
        directory: for logs and data.
        regions: its splits.
        app: the module in ``tests/scenarios/apps``.
        env: more variables.
    """

    def __init__(
        self,
        broker: Broker,
        server: OrderServer,
        directory: Path,
        *,
        regions: Sequence[str] = REGIONS,
        app: str = "controlled",
        **env: str,
    ) -> None:
        self.app = app
        self.server = server
        self.directory = directory
        self.workers: dict[str, Worker] = {}
        self.urls: dict[str, str] = {}
        self.env = {
            "APP_ID": f"controlled-{free_port()}",
            "BROKER_URL": broker.url,
            "ORDERS_TARGET": server.target,
            "REGIONS": ",".join(regions),
            "FAUST_GRPC_TOKEN": "hush",
            **env,
        }
        if broker.kind == "mock":
            self.env |= {
                "TOPIC_ALLOW_DECLARE": "no",
                "TOPIC_DISABLE_LEADER": "yes",
                "ASSIGNOR": "faust_grpc.testing.assignor:UnhurriedAssignor",
            }

    def __enter__(self) -> Controlled:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def start(self, *names: str) -> None:
        """Start workers, new ones or those that were stopped."""
        for name in names:
            if name in self.workers:
                self.workers[name].start()
                continue
            port = free_port()
            self.urls[name] = f"http://127.0.0.1:{port}"
            worker = self.workers[name] = Worker(
                "faust",
                *("-A", self.app, "--datadir", str(self.directory / name)),
                *("worker", "-l", "info", "--web-host", "127.0.0.1", "--web-port", str(port)),
                log=self.directory / f"{name}.log",
                env=self.env,
                cwd=APPS,
                name=name,
            )
            worker.start()

    def stop(self, *names: str) -> None:
        """Stop workers in order."""
        for name in names:
            self.workers[name].terminate()
        for name in names:
            assert self.workers[name].wait(60) == 0, self.workers[name].log_tail()

    def get(self, name: str, path: str) -> tuple[int, Any]:
        """Ask a worker's page; 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.urls[name]}/grpc/{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, None

    def text(self, name: str, path: str) -> str:
        """Return a page of a worker's web server, as it is; nothing when it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.urls[name]}{path}", timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def splits(self, name: str) -> dict[str, dict[str, Any]]:
        """Return every split as a worker tells it, by name."""
        _, status = self.get(name, "status?cluster=true")
        return {split["name"]: split for split in status["sources"][0]["splits"]} if status else {}

    def wait_states(self, name: str, **states: str) -> dict[str, dict[str, Any]]:
        """Wait until a worker tells these states, and ``receiving`` of all other splits."""
        wanted = {**dict.fromkeys(self.env["REGIONS"].split(","), "receiving"), **states}
        found: dict[str, dict[str, Any]] = {}

        def told() -> bool:
            found.clear()
            found.update(self.splits(name))
            return {key: split["state"] for key, split in found.items()} == wanted

        wait_until(told, 90, f"{wanted}; it is {found}")
        return dict(found)

    def wait_cursors(self, name: str, least: int) -> None:
        """Wait until a worker tells a cursor of at least this for every split; it knows none of a
        split that is between two workers."""

        def told() -> bool:
            splits = self.splits(name).values()
            return bool(splits) and all((split.get("cursor") or 0) >= least for split in splits)

        wait_until(told, 90, f"a cursor of {least} in every split")

    def run(self, *arguments: str, status: int = 0) -> str:
        """Run ``faust-grpc``; return what it printed, errors included."""
        result = subprocess.run(
            [sys.executable, "-m", "faust_grpc", *arguments],
            cwd=APPS,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        output = result.stdout + result.stderr
        assert result.returncode == status, output
        assert "Traceback" not in output, output
        return output

    def resumed_behind(self, region: str) -> list[int]:
        """Return the cursors with which a region was called, in order."""
        return [
            call["after_sequence"]
            for call in self.server.calls()
            if call["event"] == "open" and call["region"] == region
        ]
