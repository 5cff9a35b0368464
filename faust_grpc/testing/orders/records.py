"""What an order service writes down: how far its streams have come, and its calls."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any, TextIO

__all__ = ["CallLog", "Progress"]


class Progress:
    """How far each region's stream has come, kept over a ``kill -9`` when there is a file.

    Arguments:
        file: one line of JSON per region, written in place; ``None`` keeps it in memory only.
    """

    _WIDTH = 20  # digits of the greatest 64-bit number

    def __init__(self, file: Path | None = None) -> None:
        self._sent: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        self._end = 0
        self._lock = threading.Lock()
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644) if file else None
        if file:
            self._load(file)

    def record(self, region: str, sequence: int) -> None:
        """Note that an order was sent."""
        with self._lock:
            if sequence > self._sent.get(region, 0):
                self._sent[region] = sequence
                if self._descriptor is not None:
                    self._write(self._descriptor, region, sequence)

    def sent(self) -> dict[str, int]:
        """Return the highest sequence number sent, per region."""
        with self._lock:
            return dict(self._sent)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)

    def _load(self, file: Path) -> None:
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):  # not the last word of a killed process
                region, sequence = json.loads(line)
                self._sent[region] = int(sequence)
                self._offsets[region] = self._end
                self._end += len(line)

    def _write(self, descriptor: int, region: str, sequence: int) -> None:
        line = json.dumps([region, f"{sequence:0{self._WIDTH}d}"]) + "\n"
        if region not in self._offsets:
            self._offsets[region] = self._end
            self._end += len(line)
        os.pwrite(descriptor, line.encode(), self._offsets[region])


class CallLog:
    """One line of JSON when a call opens and one when it closes, as the server in Go writes.

    Arguments:
        out: where to.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._calls = 0
        self._lock = threading.Lock()

    def open(self, entry: dict[str, Any]) -> None:
        """Log the start of a call and give it its number."""
        with self._lock:
            self._calls += 1
            entry["call"] = self._calls
            self._write("open", entry)

    def close(self, entry: dict[str, Any]) -> None:
        """Log the end of a call."""
        with self._lock:
            self._write("close", entry)

    def _write(self, event: str, entry: dict[str, Any]) -> None:
        print(
            json.dumps({"time": time.time(), "event": event, **entry}), file=self._out, flush=True
        )
