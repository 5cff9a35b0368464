"""How the demo is shown: live on a terminal, as lines elsewhere, as JSON for programs."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import asdict
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .snapshot import Snapshot, WorkerView

__all__ = ["JsonView", "LiveView", "PlainView", "View", "choose_view"]

#: Between two lines of numbers in a plain log.
_LINE_SECONDS = 2.0
#: Events shown below the tables.
_EVENTS = 8
_STATES = {"receiving": "green", "working": "green", "killed": "red", "crashed": "red"}


class View(ABC):
    """Shows the demo; a context manager."""

    @abstractmethod
    def event(self, text: str) -> None:
        """Tell what happened."""

    @abstractmethod
    def show(self, snapshot: Snapshot) -> None:
        """Show what is there now; called several times a second."""

    def __enter__(self) -> View:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None


def choose_view(*, plain: bool, as_json: bool) -> View:
    """Return the view that fits.

    Arguments:
        plain: lines even on a terminal.
        as_json: lines of JSON.
    """
    if as_json:
        return JsonView()
    console = Console()
    return PlainView() if plain or not console.is_terminal else LiveView(console)


class PlainView(View):
    """One line per event, and one line of numbers every two seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def event(self, text: str) -> None:
        """Print it with the time of day."""
        print(f"{_clock()} {text}", flush=True)

    def show(self, snapshot: Snapshot) -> None:
        """Print the numbers when it is time."""
        if time.monotonic() - self._last < _LINE_SECONDS or not snapshot.processed:
            return
        self._last = time.monotonic()
        splits = ", ".join(f"{split.name} {split.owner or '-'}" for split in snapshot.splits)
        rate = sum(split.rate for split in snapshot.splits)
        lag = sum(split.lag for split in snapshot.splits)
        print(
            f"{_clock()}   {snapshot.processed} processed, {rate:.0f}/s, lag {lag}; {splits}",
            flush=True,
        )


class JsonView(View):
    """One JSON object per line."""

    def __init__(self) -> None:
        self._last = 0.0

    def event(self, text: str) -> None:
        """Print it with the time."""
        print(json.dumps({"time": time.time(), "event": text}), flush=True)

    def show(self, snapshot: Snapshot) -> None:
        """Print everything when it is time."""
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            print(json.dumps({"time": time.time(), "status": asdict(snapshot)}), flush=True)


class LiveView(View):
    """Tables that stay in place, with the last events below.

    Arguments:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._events: deque[str] = deque(maxlen=_EVENTS)
        self._snapshot: Snapshot | None = None
        self._live = Live(self._render(), console=console, refresh_per_second=5)

    def __enter__(self) -> View:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def event(self, text: str) -> None:
        """Add it to the last events."""
        self._events.append(f"{_clock()} {text}")
        self._live.update(self._render())

    def show(self, snapshot: Snapshot) -> None:
        """Redraw."""
        self._snapshot = snapshot
        self._live.update(self._render())

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._snapshot is not None:
            parts = [_headline(self._snapshot), _splits(self._snapshot), _workers(self._snapshot)]
        return Group(*parts, Text("\n".join(self._events), overflow="ellipsis", no_wrap=True))


def _headline(snapshot: Snapshot) -> Text:
    service = ("up", "green") if snapshot.service else ("down", "red")
    return Text.assemble(
        ("faust-grpc demo", "bold"),
        f"   {snapshot.seconds:5.1f} s   {snapshot.processed:,} orders processed   service ",
        service,
    )


def _splits(snapshot: Snapshot) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("split", width=8)
    table.add_column("owner", width=9)
    table.add_column("state", width=11)
    for name in ("sent", "processed", "lag", "per second"):
        table.add_column(name, justify="right", width=10 if name == "per second" else 9)
    for split in snapshot.splits:
        table.add_row(
            split.name,
            split.owner or "-",
            Text(split.state, style=_STATES.get(split.state, "yellow")),
            f"{split.sent:,}",
            f"{split.processed:,}",
            f"{split.lag:,}",
            f"{split.rate:.0f}",
        )
    return table


def _workers(snapshot: Snapshot) -> Text:
    return Text("\n").join([Text(""), *map(_worker, snapshot.workers), Text("")])


def _worker(worker: WorkerView) -> Text:
    state = (f"{worker.state:9}", _STATES.get(worker.state, "yellow"))
    return Text.assemble(f"{worker.name:10}", state, ", ".join(worker.splits))


def _clock() -> str:
    return time.strftime("%H:%M:%S")
