"""The bounded buffer between the side that reads a call and the event loop that takes from it."""

from __future__ import annotations

from collections import deque

from ..config import Buffer

__all__ = ["BoundedBuffer"]


class BoundedBuffer:
    """Raw messages in order, bounded by number and by bytes.

    One side adds, the other takes; they may be two threads. No lock is needed: a deque's
    ``append`` and ``popleft`` are atomic, and each counter is written by one side only.

    The bound may be passed by one message, or a message larger than it could never pass.

    Arguments:
        bounds: ``messages`` and ``size_bytes`` are used.
    """

    __slots__ = ("_added_bytes", "_bytes", "_messages", "_queue", "_taken_bytes", "added")

    def __init__(self, bounds: Buffer) -> None:
        self._messages = bounds.messages
        self._bytes = bounds.size_bytes
        self._queue: deque[bytes] = deque()
        #: Messages that were ever in the buffer.
        self.added = 0
        self._added_bytes = 0
        self._taken_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def added_bytes(self) -> int:
        """Bytes that were ever in the buffer."""
        return self._added_bytes

    @property
    def size_bytes(self) -> int:
        """Bytes in the buffer."""
        return self._added_bytes - self._taken_bytes

    def add(self, raw: bytes) -> bool:
        """Put one message at the end (reading side); return whether the bound is reached."""
        queue = self._queue
        self.added += 1
        self._added_bytes += len(raw)
        queue.append(raw)
        return len(queue) >= self._messages or self._added_bytes - self._taken_bytes >= self._bytes

    def take(self, limit: int) -> list[bytes]:
        """Remove and return at most ``limit`` messages from the front (taking side)."""
        queue = self._queue
        pop = queue.popleft
        batch = [pop() for _ in range(min(limit, len(queue)))]
        self._taken_bytes += sum(map(len, batch))
        return batch

    @property
    def is_full(self) -> bool:
        """The reading side has to stop."""
        return (
            len(self._queue) >= self._messages
            or self._added_bytes - self._taken_bytes >= self._bytes
        )

    @property
    def has_room(self) -> bool:
        """At most half is used: the reading side may go on.

        Half, not the first free place: near the bound each message taken would start and stop
        the reader once.
        """
        return 2 * len(self._queue) <= self._messages and 2 * self.size_bytes <= self._bytes
