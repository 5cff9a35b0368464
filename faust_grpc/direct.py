"""A source whose events go to the agents of this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

from faust.types.tuples import TP

from .acks import Delivery
from .channels import SourceChannel
from .declaration import Declaration, Plan
from .feeds import Assigned, Feed
from .holders import who_holds
from .messages import SourceMessage, TimedMessage
from .splits import RunningSplit

__all__ = ["DirectFeed"]

logger = logging.getLogger(__name__)


class DirectFeed(Feed):
    """Delivers into every subscription of the source.

    Arguments:
        channel: its subscriptions are delivered into.
        declaration: what was declared.
        plan: the declaration bound to the method's types, when its schema is static.
    """

    def __init__(self, channel: SourceChannel, declaration: Declaration, plan: Plan | None) -> None:
        super().__init__(channel, declaration, plan)
        self._event_class: Any = None

    @property
    def _has_readers(self) -> bool:
        return bool(self.channel.subscriptions)

    async def declare(self) -> None:
        """Make nothing: agents are there."""

    def _start(self, index: int, assigned: Assigned) -> None:
        plan, declaration = self.plan, self.declaration
        assert plan is not None
        split = declaration.splits[index]
        connection = self.connections.to(split.target)
        protocol = plan.protocol(split, assigned.resume)
        running = self._new_split(split, assigned.partition, protocol, connection, self)
        running.tag = TP(declaration.name, assigned.partition)
        self._event_class = self.channel.app.conf.Event
        logger.info(
            "%s/%s: reading %s from %s, %s, %s",
            declaration.name,
            split.name,
            declaration.method,
            ", ".join(map(str, connection.targets)),
            "in every worker" if assigned.partition < 0 else f"partition {assigned.partition}",
            "from the start" if assigned.resume is None else f"behind cursor {assigned.resume!r}",
        )
        self._begin(running, assigned)

    def hold(self) -> None:
        """As :meth:`Feed.hold`; batches that wait for more end as they are."""
        for subscription in self.channel.subscriptions:
            subscription.hurry(True)
        super().hold()

    def release(self) -> None:
        """As :meth:`Feed.release`."""
        for subscription in self.channel.subscriptions:
            subscription.hurry(False)
        super().release()

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Put the events of messages into every subscription."""
        subscriptions = self.channel.subscriptions
        if not subscriptions:
            self._unread(split)
            return
        app, tp, event_class = self.channel.app, split.tag, self._event_class
        now, received = time.time(), time.monotonic()
        adds = [subscription.events.append for subscription in subscriptions]
        count = len(adds)
        for delivery in deliveries:
            split.events += len(delivery.records)
            for key, value, timestamp, headers in delivery.records:
                if timestamp is None:
                    timestamp = now
                message = SourceMessage(split, tp, delivery, key, value, timestamp, received, count)
                if headers is not None:
                    message.headers = headers
                event = event_class(app, key, value, headers, message)
                for add in adds:
                    add(event)
            delivery.records = ()  # the events have them; fewer objects to look at for the GC
        split.last_event = message.timestamp, now
        if self.observers:
            # The last one of the batch, made already: nothing is asked for each event.
            message.__class__ = TimedMessage
        for subscription in subscriptions:
            subscription.wake()

    def _unread(self, split: RunningSplit) -> None:
        """The last reader went away: go on from what was finished when one is back."""
        self._note(split.name, resume=split.protocol.mark.cursor())
        self._part(split.name)
        self.waiting_for = "an agent that reads it"

    def look_after(self, returned_seconds: float) -> None:
        """As :meth:`Feed.look_after`; stop waiting for agents that returned.

        Nobody will ever ack what those were given.
        """
        super().look_after(returned_seconds)
        now = time.monotonic()
        for subscription in self.channel.subscriptions:
            ended = subscription.ended_at
            if ended is None:
                continue
            subscription.looks += 1  # about one a second
            longer = min(now - ended, subscription.looks) > returned_seconds
            if longer and subscription.events:
                logger.warning(
                    "%s: an agent or stream returned while events wait for it; they and later "
                    "ones are dropped for it, so that the checkpoint can move",
                    self.declaration.name,
                )
                self.channel.unsubscribe(subscription)
        for split in self:
            self._look_whether_stuck(split, now)

    def _look_whether_stuck(self, split: RunningSplit, now: float) -> None:
        oldest = split.protocol.mark.oldest if not self._held else None
        seconds = split.standstill.seconds(oldest.position if oldest is not None else None, now)
        if oldest is None or seconds < self.declaration.checkpoint.stuck_seconds:
            split.stuck = ""
        elif not split.stuck:
            where = "" if oldest.cursor is None else f" at cursor {oldest.cursor!r}"
            held = f"message {oldest.position}{where} is not finished for {seconds:.0f} s"
            split.stuck = f"{held}: {who_holds(self.channel, oldest)}"
            logger.warning("%s/%s: stuck: %s", self.declaration.name, split.name, split.stuck)
