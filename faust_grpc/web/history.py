"""How fast splits receive: sampled while somebody looks at the page, and not otherwise."""

from __future__ import annotations

import asyncio
import itertools
import time
import weakref
from collections import deque
from typing import Any

from faust.types import AppT

from ..runner import Runner

__all__ = ["History"]

#: Time between samples, how many are kept, and how long nobody must look for it to end.
STEP_SECONDS, SAMPLES, IDLE_SECONDS = 1.0, 61, 60.0

#: The rate shown is that of so many last steps.
_RATE_STEPS = 5

_histories: weakref.WeakKeyDictionary[AppT, History] = weakref.WeakKeyDictionary()


class History:
    """Messages received by the splits that run in this worker, over the last minute.

    Arguments:
        app: the application.
    """

    def __init__(self, app: AppT) -> None:
        self._app = app
        self._samples: dict[tuple[str, str], deque[tuple[float, int]]] = {}
        self._looked_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, app: AppT) -> History:
        """Return the history of an application."""
        if app not in _histories:
            _histories[app] = cls(app)
        return _histories[app]

    def look(self) -> None:
        """Somebody looks: sample for a while. Called on the worker's event loop."""
        self._looked_at = time.monotonic()
        if self._task is None or self._task.done():
            self._samples.clear()
            self._task = asyncio.get_running_loop().create_task(self._run())

    def rates(self, source: str, split: str) -> list[float]:
        """Return messages per second, the oldest first; nothing yet is an empty list."""
        samples = self._samples.get((source, split), ())
        return [
            round(max(0, after[1] - before[1]) / (after[0] - before[0]), 1)
            for before, after in itertools.pairwise(samples)
        ]

    def rate(self, source: str, split: str) -> float | None:
        """Return messages per second now; ``None`` when nothing is known yet."""
        last = self.rates(source, split)[-_RATE_STEPS:]
        return round(sum(last) / len(last), 1) if last else None

    async def _run(self) -> None:
        while not self._app.should_stop and time.monotonic() - self._looked_at < IDLE_SECONDS:
            self._sample()
            await asyncio.sleep(STEP_SECONDS)

    def _sample(self) -> None:
        now, kept = time.monotonic(), {}
        for name, feed in Runner.of(self._app).feeds.items():
            channel: Any = feed.channel  # a GrpcSource, which cannot be imported here
            for split in channel.status().splits:
                key = name, split.name
                kept[key] = self._samples.get(key) or deque(maxlen=SAMPLES)
                kept[key].append((now, split.messages))
        self._samples = kept
