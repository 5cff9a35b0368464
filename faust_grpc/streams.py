"""How agents iterate a source: our own loop over a subscription, with Faust's contract.

Faust's iteration waits on a queue that rebalances empty, and yields to the event loop at every
event. This one takes from a deque that nobody else touches, and yields by time.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, TypeAlias

import faust
from faust.exceptions import Skip
from faust.sensors.base import Sensor
from faust.streams import _current_event
from faust.types import EventT
from mode import want_seconds

from .channels import SourceChannel
from .subscriptions import Subscription

__all__ = ["SourceIteration", "stream_class"]

#: How long a burst may hold the event loop.
_HOLD_SECONDS = 0.002


#: An event that was handed to the agent and is not finished: (event, whether to ack, sensor state).
_Taken: TypeAlias = "tuple[EventT[Any], bool, Any]"


class SourceIteration(faust.Stream[Any]):
    """Mixed into the application's stream class: takes over for channels of a source only."""

    #: What the agent holds. Kept on the stream: a crashed agent's generator can live on in a
    #: traceback, and the restarted agent gets the same stream.
    _taken: Sequence[_Taken] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        if not isinstance(self.channel, SourceChannel):
            return super().__aiter__()
        iteration = self._iterate(self.channel)
        self._active_agens.add(iteration)
        return iteration

    async def _iterate(self, channel: SourceChannel) -> AsyncGenerator[Any, None]:
        started, subscription = await self._begin(channel)
        events, lease = subscription.events, subscription.lease
        processors, skipped = self._processors, self._skipped_value
        on_in, on_out = self._sensor_hooks()
        clock = time.monotonic
        set_current, reference = _current_event.set, weakref.ref
        try:
            while await self._turn(subscription):
                turn_ends = clock() + _HOLD_SECONDS
                while events and not subscription.errors:
                    now = clock()
                    if now > turn_ends or now > lease.until:
                        break
                    event = events.popleft()
                    message: Any = event.message
                    if not message.split.is_live:
                        continue  # another worker has it, or will have it again
                    state = on_in(message.tp, message.offset, self, event)
                    set_current(reference(event))
                    self.current_event = event
                    ack, value = self.enable_acks, event.value
                    taken = self._taken = ((event, ack, state),)
                    try:
                        if processors or self.join_strategy is not None:
                            value = await self._process(value)
                        if value is skipped:
                            ack = True
                        else:
                            self.events_total += 1
                            yield value
                    finally:
                        self.current_event = None
                        if self._taken is taken:
                            self._taken = None
                            if ack:
                                message.finish()
                                on_out(message.tp, message.offset, self, event, state)
        except StopAsyncIteration:
            return  # Faust throws it into the channel to end a stream
        finally:
            await self._end(channel, started)

    async def _turn(self, subscription: Subscription) -> bool:
        """Give the loop its turn and wait for something to take; return whether to go on."""
        if subscription.events:
            await asyncio.sleep(0)
        while not self.should_stop:
            if subscription.errors:
                raise subscription.errors.popleft()
            if not subscription.lease.is_held:
                await subscription.lease.renewed()
            elif subscription.events:
                return True
            else:
                await subscription.wait()
        return False

    async def _batches(
        self, size: int, within: Any, pick: Callable[[EventT[Any], Any], Any], ack: bool = True
    ) -> AsyncGenerator[list[Any], None]:
        """Yield lists of what is queued, acked as a unit.

        Faust's ``take`` drains the stream in a background task, which acks what it throws away
        while its agent is down. This one takes from the deque when the agent asks.
        """
        channel = self.channel
        assert isinstance(channel, SourceChannel)
        started, subscription = await self._begin(channel)
        seconds = want_seconds(within) if within else None
        try:
            while not self.should_stop:
                batch: list[_Taken] = []
                try:
                    values = await self._collect(subscription, size, seconds, pick, batch, ack)
                except BaseException:
                    # The agent never saw these: the next iteration gives them again.
                    subscription.events.extendleft(event for event, _, _ in reversed(batch))
                    raise
                self._taken = batch
                try:
                    yield values
                finally:
                    self.current_event = None
                    if self._taken is batch:
                        self._finish()
        except StopAsyncIteration:
            return
        finally:
            await self._end(channel, started)

    async def _collect(
        self,
        subscription: Subscription,
        size: int,
        seconds: float | None,
        pick: Callable[[EventT[Any], Any], Any],
        batch: list[_Taken],
        ack: bool,
    ) -> list[Any]:
        values: list[Any] = []
        deadline: float | None = None
        while len(values) < size:
            if subscription.errors:
                raise subscription.errors.popleft()
            if not subscription.lease.is_held:
                await subscription.lease.renewed()
            if not subscription.events:
                if subscription.is_hurried and batch:
                    if values:
                        break
                    self._acknowledge(batch)  # all of them were skipped
                    batch.clear()
                if deadline is None:
                    await subscription.wait()
                elif not await _wait_until(subscription, deadline):
                    break
                continue
            event = subscription.events.popleft()
            if not event.message.split.is_live:  # type: ignore[attr-defined]
                continue
            value = await self._take_one(event, batch, ack)
            if value is self._skipped_value:
                continue
            values.append(pick(event, value))
            if deadline is None and seconds is not None:
                deadline = time.monotonic() + seconds
        return values

    async def _take_one(self, event: EventT[Any], batch: list[_Taken], ack: bool) -> Any:
        message = event.message
        on_in, _ = self._sensor_hooks()
        state = on_in(message.tp, message.offset, self, event)
        _current_event.set(weakref.ref(event))
        self.current_event = event
        batch.append((event, ack and self.enable_acks, state))
        value = await self._process(event.value)
        if value is self._skipped_value:
            batch[-1] = (event, True, state)
        else:
            self.events_total += 1
        return value

    async def _process(self, value: Any) -> Any:
        try:
            for processor in self._processors:
                value = processor(value)
                if hasattr(value, "__await__"):
                    value = await value
            return await self.on_merge(value)
        except Skip:
            return self._skipped_value

    async def _begin(self, channel: SourceChannel) -> tuple[bool, Subscription]:
        self._finalized = True
        started = await self.maybe_start()
        subscription = channel.subscription
        subscription.ended_at = None
        if not subscription.is_wanted:
            channel.resubscribe(subscription)
        if self._taken is not None:
            self._finish()  # the event that the agent crashed on is acked, as Faust does
        return bool(started), subscription

    def _finish(self) -> None:
        """Ack what the agent was given last."""
        taken, self._taken = self._taken, None
        self._acknowledge(taken or ())

    def _acknowledge(self, taken: Sequence[_Taken]) -> None:
        _, on_out = self._sensor_hooks()
        for event, ack, state in taken:
            if ack:
                message: Any = event.message
                message.finish()
                on_out(message.tp, message.offset, self, event, state)

    async def _end(self, channel: SourceChannel, started: bool) -> None:
        self._channel_stop_iteration(channel)
        if started:
            await self.stop()
            self.service_reset()

    def _sensor_hooks(self) -> tuple[Callable[..., Any], Callable[..., None]]:
        """Return what to call when an event goes in and out.

        Faust's delegate calls every sensor for every event and keeps a dict of their states. With
        one sensor that listens (its monitor), or none, that is skipped.
        """
        listening = [sensor for sensor in self.app.sensors if _listens(type(sensor))]
        if not listening:
            return _nothing, _nothing
        if len(listening) == 1:
            return listening[0].on_stream_event_in, listening[0].on_stream_event_out
        return self._on_stream_event_in, self._on_stream_event_out

    def _reads_source(self) -> bool:
        return isinstance(self.channel, SourceChannel)

    # Faust's other ways to read, on the same deque

    def batches(self, size: int, within: Any = None) -> AsyncGenerator[list[Any], None]:
        """Yield lists of at most ``size`` values, acked as a unit after the agent used them.

        Arguments:
            size: values at most.
            within: seconds to wait for more after the first; ``None`` waits for ``size``.
        """
        batches: AsyncGenerator[list[Any], None] = self.take(size, within)
        return batches

    def take(self, max_: int, within: Any) -> Any:
        """As :meth:`faust.Stream.take`."""
        if not self._reads_source():
            return super().take(max_, within)
        return self._tracked(self._batches(max_, within, _value))

    def take_events(self, max_: int, within: Any) -> Any:
        """As :meth:`faust.Stream.take_events`."""
        if not self._reads_source():
            return super().take_events(max_, within)
        return self._tracked(self._batches(max_, within, _event))

    def noack_take(self, max_: int, within: Any) -> Any:
        """As :meth:`faust.Stream.noack_take`: events, to be acked by hand."""
        if not self._reads_source():
            return super().noack_take(max_, within)
        return self._tracked(self._batches(max_, within, _event, ack=False))

    def take_with_timestamp(self, max_: int, within: Any, timestamp_field_name: str) -> Any:
        """As :meth:`faust.Stream.take_with_timestamp`."""
        if not self._reads_source():
            return super().take_with_timestamp(max_, within, timestamp_field_name)

        def stamped(event: EventT[Any], value: Any) -> Any:
            if isinstance(value, dict) and timestamp_field_name:
                value[timestamp_field_name] = event.message.timestamp
            return value

        return self._tracked(self._batches(max_, within, stamped))

    def _tracked(self, generator: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        self._active_agens.add(generator)
        return generator

    def derive_topic(self, name: str, **options: Any) -> Any:
        """Return the topic that ``through(name)`` forwards to."""
        if isinstance(self.channel, SourceChannel):
            return self.channel.derive_topic(topics=[name], **options)
        return super().derive_topic(name, **options)


def stream_class(base: type[faust.Stream[Any]]) -> type[faust.Stream[Any]]:
    """Return the application's stream class with our iteration mixed in, once."""
    if issubclass(base, SourceIteration):
        return base
    if base is faust.Stream:
        return SourceIteration
    return type(f"Source{base.__name__}", (SourceIteration, base), {})


def _listens(sensor: type[Any]) -> bool:
    return (
        sensor.on_stream_event_in is not Sensor.on_stream_event_in
        or sensor.on_stream_event_out is not Sensor.on_stream_event_out
    )


def _nothing(*_: Any) -> None:
    """For applications without a sensor that listens."""


async def _wait_until(subscription: Subscription, deadline: float) -> bool:
    # Not by ``wait_for``: its task begins later, and would miss that a hurry began before it.
    news = subscription.news()
    await asyncio.wait({news}, timeout=max(0.0, deadline - time.monotonic()))
    return news.done() or not news.cancel()


def _value(_event: EventT[Any], value: Any) -> Any:
    return value


def _event(event: EventT[Any], _value: Any) -> EventT[Any]:
    return event
