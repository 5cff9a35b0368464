"""The durable way out: a source's events into a topic, with their checkpoint."""

from .feed import DurableFeed

__all__ = ["DurableFeed"]
