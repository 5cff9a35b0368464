"""Which messages of a split are finished, and how far: the low-water mark."""

from __future__ import annotations

from collections import deque

from .types import CursorValue, Record

__all__ = ["Delivery", "LowWaterMark"]


class Delivery:
    """One message on its way through the agents: give its events to every subscription.

    Attributes:
        position: its number in the split's life in this process, from 1.
        cursor: the resume position that is safe once it and all before it are acked; ``None``
            when the message carries none.
        records: its events.
        parts: how many of them some subscription has not finished.
        acked: every subscription has finished all of its events.
    """

    __slots__ = ("acked", "cursor", "parts", "position", "records")

    def __init__(
        self, position: int, cursor: CursorValue | None, records: tuple[Record, ...] = ()
    ) -> None:
        self.position = position
        self.cursor = cursor
        self.records = records
        self.parts = len(records)
        self.acked = False

    def __repr__(self) -> str:
        state = "acked" if self.acked else "open"
        return f"<Delivery {self.position} cursor={self.cursor!r} {state}>"


class LowWaterMark:
    """Follows deliveries that are acked in any order.

    The mark is the last delivery such that it and all before it are acked (the rule of Kafka
    Connect's ``SubmittedRecords``). It is moved when somebody looks, not at every ack: acks are
    the hot path, looks are rare.
    """

    def __init__(self, cursor: CursorValue | None = None) -> None:
        self._open: deque[Delivery] = deque()
        self._position = 0
        self._cursor = cursor
        #: Number of deliveries that are not acked.
        self.unacked = 0

    @property
    def held(self) -> int:
        """Number of deliveries between the mark and the newest, acked ones included."""
        return len(self._open)

    @property
    def oldest(self) -> Delivery | None:
        """The first delivery that is not acked: what everything behind it waits for."""
        self._advance()
        return self._open[0] if self._open else None

    def add(self, delivery: Delivery) -> None:
        """Follow a delivery; positions only grow."""
        self._open.append(delivery)
        self.unacked += 1

    def ack(self, delivery: Delivery) -> None:
        """Mark a delivery as finished; a second time does nothing."""
        if not delivery.acked:
            delivery.acked = True
            self.unacked -= 1

    def compact(self) -> None:
        """Forget what is acked behind a delivery that is not, up to the newest of each run.

        For streams that drop events: behind a delivery that is never finished they would pile up.
        """
        self._advance()
        kept: deque[Delivery] = deque()
        for delivery in self._open:
            if delivery.acked and kept and kept[-1].acked:
                before = kept.pop()
                if delivery.cursor is None:
                    delivery.cursor = before.cursor
            kept.append(delivery)
        self._open = kept

    def position(self) -> int:
        """Return the position of the mark; 0 before the first."""
        self._advance()
        return self._position

    def cursor(self) -> CursorValue | None:
        """Return the newest cursor at or below the mark, or the one it started with."""
        self._advance()
        return self._cursor

    def _advance(self) -> None:
        deliveries = self._open
        while deliveries and deliveries[0].acked:
            delivery = deliveries.popleft()
            self._position = delivery.position
            if delivery.cursor is not None:
                self._cursor = delivery.cursor
