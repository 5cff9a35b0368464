"""The Faust channel of a source."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping
from typing import Any

import faust
from faust.channels import Channel
from faust.types import AppT, TopicT

from .exceptions import FaustGrpcError
from .subscriptions import Lease, Subscription

__all__ = ["SourceChannel"]


class SourceChannel(Channel[Any]):
    """A channel whose events come from a gRPC stream.

    The root is the source itself. Every agent or stream that reads it gets a clone with a
    subscription of its own.

    Arguments:
        app: the application.
        name: name of the source.
        lease: shared by all subscriptions.
        **options: as for :class:`faust.Channel`.
    """

    #: Faust puts the application's id before the names of topics derived from this channel.
    has_prefix = False

    def __init__(self, app: AppT, *, name: str, lease: Lease, **options: Any) -> None:
        self.name = name
        self._lease = lease
        self._subscription: Subscription | None = None
        self._current: list[Subscription] | None = None
        # A ready schema: Faust's default one reads app.conf, which would configure the app while
        # its module is being imported.
        options.setdefault("schema", faust.Schema())
        super().__init__(app, **options)

    def _clone_args(self) -> Mapping[str, Any]:
        return {**super()._clone_args(), "name": self.name, "lease": self._lease}

    def _clone(self, **kwargs: Any) -> SourceChannel:
        return SourceChannel(**{**self._clone_args(), **kwargs})

    @property
    def subscription(self) -> Subscription:
        """What this clone has yet to process."""
        if self._subscription is None:
            self._subscription = Subscription(self._lease)
        return self._subscription

    @property
    def queue(self) -> Subscription:  # type: ignore[override]
        """What Faust touches to make a clone's queue: nothing that flow control can empty."""
        return self.subscription

    @property
    def subscriptions(self) -> list[Subscription]:
        """The subscriptions of all agents and streams that read this source."""
        root = self.root
        if root._current is None:
            root._current = [
                subscription
                for clone in root._subscribers
                if (subscription := clone.subscription).is_wanted  # type: ignore[attr-defined]
            ]
        return root._current

    @property
    def root(self) -> SourceChannel:
        """The channel that this one is a clone of, or itself."""
        return self._root if self._root is not None else self  # type: ignore[return-value]

    def unsubscribe(self, subscription: Subscription) -> None:
        """Give a subscription nothing more, and finish what it was given."""
        subscription.is_wanted = False
        self.root._current = None
        subscription.close()

    def resubscribe(self, subscription: Subscription) -> None:
        """Whoever was given up reads again: give it what comes from now on."""
        subscription.is_wanted = True
        self.root._current = None

    def clone(self, *, is_iterator: bool | None = None, **kwargs: Any) -> SourceChannel:
        """Return a clone; one that is an iterator subscribes."""
        clone: SourceChannel = super().clone(is_iterator=is_iterator, **kwargs)  # type: ignore[assignment]
        if clone.is_iterator:
            root = self.root
            root._current = None
            # A stream that is gone can never ack what is queued for it.
            weakref.finalize(clone, root._gone, clone.subscription).atexit = False
            root.on_subscribed()
        return clone

    def _gone(self, subscription: Subscription) -> None:
        self._current = None
        subscription.close()

    def on_subscribed(self) -> None:
        """Somebody began to read this source."""

    def on_stop_iteration(self) -> None:
        """An iteration ended: its agent crashed and will be back, or returned and will not."""
        self.subscription.ended_at = time.monotonic()
        self.subscription.looks = 0

    async def put(self, value: Any) -> None:
        """Refuse: events come from the stream only."""
        raise FaustGrpcError(f"{self.name} is a gRPC source: nothing can be sent to it")

    async def throw(self, exc: BaseException) -> None:
        """Raise an exception in the stream that iterates this clone."""
        self.subscription.throw(exc)

    def _throw(self, exc: BaseException) -> None:
        self.subscription.throw(exc)

    def derive(self, *, prefix: str = "", suffix: str = "", **options: Any) -> TopicT:
        """Return the topic that ``group_by`` repartitions into."""
        return self.app.topic(
            f"{self._topic_prefix(prefix)}{self.name}{suffix}",
            partitions=options.get("partitions"),
            internal=options.get("internal", False),
            key_type=options.get("key_type") or self.key_type,
            value_type=options.get("value_type") or self.value_type,
        )

    def derive_topic(
        self, *, topics: list[str], prefix: str = "", suffix: str = "", **options: Any
    ) -> TopicT:
        """Return the topic of a name that ``through`` was given."""
        return self.app.topic(
            *(f"{prefix}{topic}{suffix}" for topic in topics),
            key_type=options.get("key_type") or self.key_type,
            value_type=options.get("value_type") or self.value_type,
        )

    def _topic_prefix(self, prefix: str) -> str:
        # Two applications that read the same source must not share a repartition topic.
        return prefix if prefix.startswith(self.app.conf.id) else f"{self.app.conf.id}-{prefix}"

    def __str__(self) -> str:
        return self.name
