"""The worker: how it ends."""

from __future__ import annotations

from faust.types import AppT
from mode.worker import Worker

__all__ = ["end_worker"]


async def end_worker(app: AppT, error: Exception, text: str) -> None:
    """Stop the worker in order; its last words are one line, its exit status 1.

    ``Service.crash`` would log a traceback, and end the consumer's thread before its owner. So
    only the root service, the worker, gets a ``crash_reason``; it raises it when all is stopped.
    mode passes a ``SystemExit`` on, and Python prints its text. mode-streaming 0.7.

    Arguments:
        app: the application.
        error: what happened; an application that runs without a worker crashes with it.
        text: the line.
    """
    root = app.beacon.root
    worker = root.data if root is not None else None
    if not isinstance(worker, Worker):
        await app.crash(error)
        return
    if worker.crash_reason is None:  # what went wrong first is the cause of the rest
        worker.crash_reason = SystemExit(text)
        worker._crashed.set()
