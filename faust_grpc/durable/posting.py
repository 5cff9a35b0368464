"""From the reader to the producer: what a split delivers is written, in order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from confluent_kafka import KafkaException

from ..acks import Delivery
from ..deadletters import tell
from ..exceptions import HostError
from ..protocol import Dead
from ..sinks import cursor_header
from ..splits import RunningSplit, Sink
from ..types import DeadLetter
from .writers import SplitWriter

__all__ = ["Posting"]

logger = logging.getLogger(__name__)

#: While the broker takes no more, how often to look whether it does again.
_ROOM_SECONDS = 0.01


class _Letter(NamedTuple):
    """A dead letter on its way into a topic, in its place among the records."""

    delivery: Delivery
    letter: DeadLetter


class Posting(Sink):
    """Writes what one running split delivers, for as long as its writer lives.

    A message is acked once the producer has it. What the producer has no room for waits here; it is
    un-acked, which bounds it: then the split takes no more from its reader, the reader no more from
    gRPC, and HTTP/2 holds the server.

    Arguments:
        writer: of the split.
        source: name of the source.
        split: name of the split.
        with_headers: write headers that say where a record came from.
        dead_topic: where dead letters go, in the same transaction; ``None``: not to a topic.
        retention_seconds: how old a record may get before Kafka deletes it.
        dead: keeps a dead letter elsewhere, and calls back here once it is kept.
        stopped: called with the reason when the split needs a person.
    """

    def __init__(
        self,
        writer: SplitWriter,
        *,
        source: str,
        split: str,
        with_headers: bool,
        dead_topic: str | None,
        retention_seconds: float,
        dead: Callable[[DeadLetter, Callable[[], None]], None],
        stopped: Callable[[str], None],
    ) -> None:
        self._writer = writer
        self._source = source
        self._split = split
        self._headers = (("grpc-split", split.encode()),) if with_headers else ()
        self._dead_topic = dead_topic
        #: Records of an earlier time than this are told of, once.
        self._oldest_ms = int(1000 * max(0.0, time.time() - retention_seconds))
        self._dead = dead
        self._stopped = stopped
        self._outbox: deque[Delivery | _Letter] = deque()
        self._later: asyncio.TimerHandle | None = None
        self._closed = False
        self._failure: HostError | None = None
        self._failed = asyncio.Event()

    def close(self) -> None:
        """Write nothing more."""
        self._closed = True
        self._outbox.clear()
        if self._later is not None:
            self._later.cancel()

    def check(self) -> None:
        """Raise what went wrong.

        Raises:
            HostError: a record was not taken.
        """
        if self._failure is not None:
            raise self._failure

    async def failed(self) -> None:
        """Wait until something goes wrong."""
        await self._failed.wait()

    # What the split calls

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """Write the records of messages."""
        now = time.time()
        for delivery in deliveries:
            split.events += len(delivery.records)
        timestamp = deliveries[-1].records[-1].timestamp
        split.last_event = now if timestamp is None else timestamp, now
        self._outbox.extend(deliveries)
        if self._later is None:
            self._post(split)

    def dead(self, split: RunningSplit, action: Dead) -> None:
        """Keep a bad message."""
        letter = DeadLetter(
            source=self._source,
            split=self._split,
            position=action.delivery.position,
            cursor=split.protocol.mark.cursor(),
            reason=action.reason,
            raw=action.raw,
        )
        if self._dead_topic is None:
            self._dead(letter, lambda: self._kept(split, action.delivery))
            return
        tell(letter)
        self._outbox.append(_Letter(action.delivery, letter))
        if self._later is None:
            self._post(split)

    def stopped(self, split: RunningSplit, reason: str) -> None:
        """The stream ended for a reason that needs a person."""
        self._stopped(reason)

    def _kept(self, split: RunningSplit, delivery: Delivery) -> None:
        if not self._closed:
            split.acked(delivery)

    # Into the producer

    def _post(self, split: RunningSplit) -> None:
        """Hand over as much as there is room for."""
        self._later = None
        if self._closed or self._failure is not None:
            return
        try:
            try:
                self._post_all(split)
                self._writer.poll()
            except BufferError:
                self._writer.poll()
                loop = asyncio.get_running_loop()
                self._later = loop.call_later(_ROOM_SECONDS, self._post, split)
        except KafkaException as exc:
            self._fail(self._writer.failure(exc.args[0]))
        except HostError as exc:
            self._fail(exc)

    def _post_all(self, split: RunningSplit) -> None:
        outbox, topic = self._outbox, self._dead_topic
        while outbox:
            waiting = outbox[0]
            if isinstance(waiting, _Letter):
                assert topic is not None
                delivery, letter = waiting
                self._writer.add_beside(topic, letter.raw, list(letter.headers().items()))
            else:
                delivery = waiting
                self._post_one(delivery)
                delivery.parts = 1
            outbox.popleft()
            split.acked(delivery)

    def _post_one(self, delivery: Delivery) -> None:
        own: Any = self._headers
        if own and delivery.cursor is not None:
            own = (*own, ("grpc-cursor", cursor_header(delivery.cursor)))
        add, records = self._writer.add, delivery.records
        for done, (key, value, timestamp, more) in enumerate(records):
            headers = [*more.items(), *own] if more else own and list(own)
            # Kafka has no time before 1970; 0 is now.
            time_ms = max(0, int(timestamp * 1000)) if timestamp is not None else 0
            if 0 < time_ms < self._oldest_ms:
                self._tell_of_age(timestamp)
            try:
                add(key, value, time_ms, headers or None)
            except BufferError:
                delivery.records = records[done:]
                raise

    def _tell_of_age(self, timestamp: float | None) -> None:
        self._oldest_ms = 0
        logger.warning(
            "%s/%s: events are of %s, which is longer ago than the topic's retention.ms: Kafka "
            "will delete them, perhaps before anybody reads them; give the topic a longer "
            "retention=, or leave timestamp= out",
            self._source,
            self._split,
            datetime.fromtimestamp(timestamp or 0, timezone.utc).isoformat(timespec="seconds"),
        )

    def _fail(self, error: HostError) -> None:
        self._failure = error
        self._failed.set()
