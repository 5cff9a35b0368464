"""What a source's events send through Faust's producer: ``forward``, ``through``, agent sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from faust import current_event
from faust.types import AppT

from ..messages import SourceMessage

__all__ = ["follow_sends"]


def follow_sends(app: AppT, follow: Callable[[asyncio.Future[Any]], None]) -> None:
    """Tell of every record that is sent while an event of a source is processed.

    Faust acks the event when the record is in a buffer: a checkpoint must wait until the broker
    has it. Wraps ``Producer.send`` and ``Producer.send_soon`` of the app's producer, which
    everything that Faust sends goes through. faust-streaming 0.15.

    Arguments:
        app: the application; before its producer is used.
        follow: given the future that is done when the broker acknowledged the record.
    """
    producer: Any = app.producer
    send, send_soon = producer.send, producer.send_soon

    async def followed(*args: Any, **options: Any) -> Any:
        sent = await send(*args, **options)
        if _is_ours():
            follow(sent)
        return sent

    def followed_soon(message: Any) -> None:
        if _is_ours():
            follow(message)
        send_soon(message)

    producer.send, producer.send_soon = followed, followed_soon


def _is_ours() -> bool:
    event = current_event()
    return event is not None and isinstance(event.message, SourceMessage)
