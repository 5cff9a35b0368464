"""Looking at an application: reading its counters, and telling observers what they cannot read."""

from __future__ import annotations

import asyncio
from typing import Any

from faust.sensors.base import Sensor
from faust.types import AppT

from ..observers import Observer
from ..runner import Runner
from .catalogue import Reading

__all__ = ["LOOK_SECONDS", "Page", "observe", "read"]

#: How often the event loop is asked whether it is late.
LOOK_SECONDS = 1.0


def observe(app: AppT, observer: Observer) -> None:
    """Tell an observer what the sources of an application do.

    Arguments:
        app: the application; before or after its sources are declared.
        observer: is told from now on. Giving it again changes nothing.
    """
    Runner.of(app).observers.add(observer)
    if not any(isinstance(sensor, _LoopDelay) for sensor in app.sensors):
        app.sensors.add(_LoopDelay(app))


def read(app: AppT) -> Reading:
    """Return what the counters of an application say now; from any thread."""
    runner = Runner.of(app)
    return Reading(
        app=app.conf.id,
        sources=tuple(
            feed.channel.status()  # type: ignore[attr-defined]  # it is a GrpcSource
            for feed in list(runner.feeds.values())
        ),
        checkpoint_age=runner.checkpoint_age,
        transaction_aborts=runner.transaction_aborts,
    )


class _Addition(Sensor):
    """Something that lives as long as a worker; Faust starts it before the web server."""

    def __init__(self, app: AppT) -> None:
        self.app = app
        super().__init__()

    def asdict(self) -> dict[str, Any]:
        """Return nothing: it counts nothing."""
        return {}


class _LoopDelay(_Addition):
    """Tells observers how late the event loop is."""

    async def on_start(self) -> None:
        self.add_future(self._look())

    async def _look(self) -> None:
        loop, observers = asyncio.get_running_loop(), Runner.of(self.app).observers
        while not self.should_stop:
            due = loop.time() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            observers.loop_delayed(self.app.conf.id, max(0.0, loop.time() - due))


class Page(_Addition):
    """A page of an application's web server, unless there is one already.

    Arguments:
        app: the application.
        path: of the page.
        handler: as ``@app.page`` takes it.
    """

    def __init__(self, app: AppT, path: str, handler: Any) -> None:
        super().__init__(app)
        self.path = path
        self._handler = handler

    async def on_first_start(self) -> None:
        if self.path not in self.app.web.views:
            self.app.page(self.path)(self._handler)
