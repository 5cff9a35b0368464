"""Who holds up a split: which agent or stream has the event that everything behind waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .acks import Delivery
from .channels import SourceChannel
from .streams import SourceIteration
from .subscriptions import Subscription

__all__ = ["who_holds"]


def who_holds(channel: SourceChannel, delivery: Delivery) -> str:
    """Return who has not finished a delivery, and what they do with it, for people.

    Arguments:
        channel: of the source.
        delivery: the oldest that is not acked.
    """
    if not delivery.parts:
        return "its dead letter cannot be kept: see dead_letter="
    agents = list(_agents(channel))
    for name, stream in agents:
        if any(event.message.delivery is delivery for event, _, _ in stream._taken or ()):  # type: ignore[attr-defined]  # SourceMessage
            return f"agent {name} took it and has not finished it"
    names = {stream.channel.subscription: name for name, stream in agents}  # type: ignore[attr-defined]  # SourceChannel
    for subscription in channel.subscriptions:
        if _waits_in(subscription, delivery):
            if subscription not in names:
                return "it waits for a stream that is no agent's: does anything iterate it?"
            return f"it waits for agent {names[subscription]}, which takes nothing"
    return (
        "it was taken and is not acked: a batch that waits for more (take() without within=), or "
        "noack() without event.ack()"
    )


def _agents(channel: SourceChannel) -> Iterator[tuple[str, SourceIteration]]:
    """Yield the agents that read a source, and the streams that they iterate."""
    for agent in channel.app.agents.values():
        actors: Any = getattr(agent, "_actors", ())
        for actor in list(actors):
            stream = actor.stream
            read = getattr(stream, "channel", None)
            if isinstance(read, SourceChannel) and read.root is channel.root:
                yield agent.name, stream


def _waits_in(subscription: Subscription, delivery: Delivery) -> bool:
    return any(event.message.delivery is delivery for event in subscription.events)  # type: ignore[attr-defined]  # SourceMessage
