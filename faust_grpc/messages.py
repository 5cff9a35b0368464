"""What Faust sees of a gRPC message."""

from __future__ import annotations

import time
from typing import Any

from faust.types.tuples import TP, Message

from .acks import Delivery
from .splits import RunningSplit

__all__ = ["SourceMessage", "TimedMessage"]


class SourceMessage(Message):
    """A Faust message made from one record of a gRPC message.

    ``acked`` is a property because it is the one thing that both builds of Faust set at the final
    ack: the compiled ``StreamIterator.after`` never calls ``on_final_ack``.

    Arguments:
        split: where it came from; tells when it was finished.
        tp: source name and partition, as Faust names an origin.
        delivery: its place in the split.
        key: the event's key.
        value: the event's value.
        timestamp: event time, or the time of receipt; seconds since the epoch.
        time_in: monotonic time of receipt.
        subscriptions: how many have to finish it.
    """

    __slots__ = ("_acked", "delivery", "split")

    def __init__(
        self,
        split: RunningSplit,
        tp: TP,
        delivery: Delivery,
        key: Any,
        value: Any,
        timestamp: float,
        time_in: float,
        subscriptions: int,
    ) -> None:
        # Message.__init__ is not called: it costs as much again, for defaults set here.
        self.topic, self.partition = tp
        self.offset = delivery.position
        self.timestamp = timestamp
        self.timestamp_type = 1
        self.headers = None
        self.key = key
        self.value = value
        self.checksum = None
        self.serialized_key_size = 0
        self.serialized_value_size = 0
        self._acked = False
        self.refcount = subscriptions
        self.time_in = time_in
        self.time_out = None
        self.time_total = None
        self.tp = tp
        self.tracked = True
        self.generation_id = None
        self.delivery = delivery
        self.split = split

    def finish(self) -> None:
        """One subscription finished it: as ``ack``, without its lock, on the event loop only."""
        if self.refcount > 1:
            self.refcount -= 1
        elif not self._acked:
            self.refcount = 0
            self._acked = True
            self.split.acked(self.delivery)

    @property
    def acked(self) -> bool:
        """Every subscription finished it."""
        return self._acked

    @acked.setter
    def acked(self, value: bool) -> None:
        if value and not self._acked:
            self._acked = True
            self.split.acked(self.delivery)


class TimedMessage(SourceMessage):
    """One that tells how long it took; a ready message becomes one by its ``__class__``."""

    __slots__ = ()

    def finish(self) -> None:
        """As every message, and tell when it was the last subscription."""
        before = self._acked
        super().finish()
        self._tell(before)

    @property
    def acked(self) -> bool:
        """Every subscription finished it."""
        return self._acked

    @acked.setter
    def acked(self, value: bool) -> None:
        before = self._acked
        if value and not before:
            self._acked = True
            self.split.acked(self.delivery)
            self._tell(before)

    def _tell(self, before: bool) -> None:
        received = self.time_in
        if self._acked and not before and received is not None:
            self.split.timed(time.monotonic() - received)
