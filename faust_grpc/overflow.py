"""What waits for agents that are slower than the stream, when the stream does not wait for them.

With ``overflow="block"`` nothing is here: messages stay in the reader, which holds the server.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any

from .acks import Delivery
from .config import Buffer
from .types import Record

__all__ = ["Backlog", "Drop", "backlog_for"]

#: Told of each drop: the delivery, and how many of its events.
Drop = Callable[[Delivery, int], None]


class Backlog(ABC):
    """Deliveries that were decoded and not given to agents yet.

    Arguments:
        bounds: ``messages`` and ``size_bytes`` are used.
        drop: told of what is thrown away.
    """

    def __init__(self, bounds: Buffer, drop: Drop) -> None:
        self._messages = bounds.messages
        self._size_bytes = bounds.size_bytes
        self._drop = drop

    @abstractmethod
    def __len__(self) -> int:
        """Number of deliveries that wait."""

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Nothing more can be taken in, not even by dropping."""

    @abstractmethod
    def add(self, delivery: Delivery, size_bytes: int) -> None:
        """Take a delivery in, dropping what has to be dropped for it."""

    @abstractmethod
    def take(self, limit: int) -> list[Delivery]:
        """Remove and return deliveries, oldest first; their ``records`` are what is left of them.

        Arguments:
            limit: deliveries at most.
        """


class Queue(Backlog):
    """Keeps order; drops whole deliveries.

    Arguments:
        bounds: of the queue.
        drop: told of what is thrown away.
        oldest: throw away the oldest, not the newest.
    """

    def __init__(self, bounds: Buffer, drop: Drop, *, oldest: bool) -> None:
        super().__init__(bounds, drop)
        self._oldest = oldest
        self._waiting: deque[tuple[Delivery, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return False

    def add(self, delivery: Delivery, size_bytes: int) -> None:
        waiting = self._waiting
        while waiting and (
            len(waiting) >= self._messages or self._bytes + size_bytes > self._size_bytes
        ):
            if not self._oldest:
                self._drop(delivery, len(delivery.records))
                return
            oldest, its_bytes = waiting.popleft()
            self._bytes -= its_bytes
            self._drop(oldest, len(oldest.records))
        waiting.append((delivery, size_bytes))
        self._bytes += size_bytes

    def take(self, limit: int) -> list[Delivery]:
        taken = []
        for _ in range(min(limit, len(self._waiting))):
            delivery, size_bytes = self._waiting.popleft()
            self._bytes -= size_bytes
            taken.append(delivery)
        return taken


class LatestByKey(Backlog):
    """Keeps the newest event of each key, in the place of the one that it replaces.

    In that place a key that changes all the time is not put off for ever. The last event of a key
    is never dropped: with more keys than the bound allows, the stream waits.
    """

    def __init__(self, bounds: Buffer, drop: Drop) -> None:
        super().__init__(bounds, drop)
        # Ordered by a list of its own: taking the first of a plain dict gets slow.
        self._slots: OrderedDict[Hashable, tuple[Delivery, Record, int]] = OrderedDict()
        #: The slots of each delivery, in the order of its events. They are given away together.
        self._of: dict[Delivery, dict[Hashable, None]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._of)

    @property
    def is_full(self) -> bool:
        return len(self._slots) >= self._messages or self._bytes >= self._size_bytes

    def add(self, delivery: Delivery, size_bytes: int) -> None:
        records = delivery.records
        share = size_bytes // len(records)
        slots = self._of[delivery] = {}
        for record in records:
            slot = _slot(record.key)
            replaced = self._slots.get(slot)
            self._slots[slot] = (delivery, record, share)
            self._bytes += share
            if replaced is not None:
                self._forget(slot, replaced[0], replaced[2], delivery)
            slots[slot] = None

    def take(self, limit: int) -> list[Delivery]:
        taken: list[Delivery] = []
        while self._slots and len(taken) < limit:
            delivery, _, share = self._slots[next(iter(self._slots))]
            slots = self._of.pop(delivery)
            delivery.records = tuple(self._slots.pop(slot)[1] for slot in slots)
            self._bytes -= share * len(slots)
            taken.append(delivery)
        return taken

    def _forget(self, slot: Hashable, delivery: Delivery, share: int, replacing: Delivery) -> None:
        self._bytes -= share
        slots = self._of[delivery]
        del slots[slot]
        # A message with two events of one key replaces its own, and is not all gone by that.
        if not slots and delivery is not replacing:
            del self._of[delivery]
        self._drop(delivery, 1)


def backlog_for(bounds: Buffer, drop: Drop) -> Backlog | None:
    """Return what the policy of a buffer needs; ``None`` for one that blocks."""
    if bounds.overflow == "block":
        return None
    if bounds.overflow == "latest":
        return LatestByKey(bounds, drop)
    return Queue(bounds, drop, oldest=bounds.overflow == "drop_oldest")


def _slot(key: Any) -> Hashable:
    if key is None:
        return object()  # an event without a key replaces none
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key  # type: ignore[no-any-return]  # it was hashed
