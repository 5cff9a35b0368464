"""A source at work in a test: its declaration, a real server, its agents; no worker, no Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from faust.types import ChannelT, EventT

from . import seams
from .changelog import Changelog
from .config import TLS, Backoff
from .declaration import Declaration
from .exceptions import ConfigurationError, HostError, nearest
from .feeds import Assigned, Feed
from .lifecycle import Lifecycle, Phase
from .runner import CLOSE_SECONDS, Runner
from .splits import SplitState
from .subscriptions import Subscription
from .targets import TargetOption, parse_targets
from .types import CursorValue, DeadLetter

__all__ = ["SourceContext", "redirected", "run_source"]

#: Servers of tests are back at once.
_BACKOFF = Backoff(initial_seconds=0.05, maximum_seconds=0.2)

#: Between two looks at what a test waits for.
_POLL_SECONDS = 0.005


class SourceContext:
    """What a test sees of a source between the two ends of ``source.test_context()``.

    Attributes:
        events: every event that the source has delivered, in order of delivery.
        dead_letters: messages that were bad.
        errors: what agents raised; :meth:`processed` raises each once and removes it.
    """

    def __init__(self, feed: Feed) -> None:
        self.events: list[EventT[Any]] = []
        self.dead_letters: list[DeadLetter] = []
        self.errors: list[BaseException] = []
        self._feed = feed

    @property
    def values(self) -> list[Any]:
        """The values of :attr:`events`."""
        return [event.value for event in self.events]

    @property
    def cursors(self) -> dict[str, CursorValue | None]:
        """Where each split would be resumed after a restart: behind what agents finished."""
        return {split.name: split.protocol.mark.cursor() for split in self._feed}

    async def processed(self, count: int, timeout: float = 10.0) -> list[EventT[Any]]:
        """Wait until so many events were delivered and every agent is done with them.

        Arguments:
            count: events since the start of the context.
            timeout: seconds.

        Returns:
            The first ``count`` events.

        Raises:
            Exception: what an agent raised.
            HostError: they did not come in time, or a split needs a person; with what each split
                does.
        """
        deadline = time.monotonic() + timeout
        while len(self.events) < count or not all(
            event.message.acked for event in self.events[:count]
        ):
            if self.errors:
                raise self.errors.pop(0)
            late = time.monotonic() > deadline
            if late or any(split.state is SplitState.FATAL for split in self._feed):
                within = f"within {timeout:g} s" if late else "and will not be"
                raise HostError(
                    f"{count} events were not processed {within}: {len(self.events)} delivered; "
                    f"{self._told()}"
                )
            await asyncio.sleep(_POLL_SECONDS)
        if self.errors:
            raise self.errors.pop(0)
        return self.events[:count]

    def _told(self) -> str:
        if self._feed.waiting_for:
            return f"waiting for {self._feed.waiting_for}"
        return ", ".join(
            f"{split.name}: {split.state.value}{f': {split.reason}' if split.reason else ''}"
            f" ({split.unacked} un-acked)"
            for split in self._feed
        )


def redirected(
    declaration: Declaration, target: TargetOption | None, tls: TLS | bool | None
) -> Declaration:
    """Return a declaration that reads from a test's server, and does not keep the test waiting.

    Arguments:
        declaration: as it is.
        target: the server for all splits; ``None`` keeps those that are declared.
        tls: for this server.
    """
    declaration = replace(declaration, backoff=_BACKOFF)
    if target is None:
        return declaration
    return replace(
        declaration,
        targets=parse_targets(target),
        splits=tuple(replace(split, target=None) for split in declaration.splits),
        tls=tls,
        # They need TLS, and a proxy is on the way to another place.
        call_credentials=declaration.call_credentials if tls else None,
        proxy=False,
    )


@asynccontextmanager
async def run_source(
    runner: Runner,
    feed: Feed,
    *,
    splits: Collection[str] | None,
    cursors: Mapping[str, CursorValue],
    agents: bool = True,
    collect: bool = True,
    prepare_seconds: float | None = 10.0,
) -> AsyncIterator[SourceContext]:
    """Run a source's splits and its agents.

    Arguments:
        runner: of the application.
        feed: the source; it is closed at the end.
        splits: their names; ``None`` for all.
        cursors: behind which a split begins.
        agents: whether its agents run.
        collect: whether events and dead letters are kept for the test.
        prepare_seconds: how long the server may take for the method's types; ``None``: it is
            not asked here.

    Raises:
        ConfigurationError: there is no such split, or the declaration does not fit the server.
        HostError: the server does not tell its types in time.
    """
    app = runner.app
    app.loop = asyncio.get_running_loop()
    app.finalize()
    context = SourceContext(feed)
    assigned = _assigned(feed.declaration, app.conf.topic_partitions, splits, cursors)
    if collect:
        _collect_dead_letters(feed, context)
    changelog = Changelog()
    changelog.own(range(app.conf.topic_partitions))
    async with AsyncExitStack() as stack:
        name = feed.declaration.name
        stack.enter_context(seams.tables_in_memory(app, name, changelog, context.errors.append))
        stack.callback(setattr, runner, "lifecycle", runner.lifecycle)
        runner.lifecycle = Lifecycle(app)
        runner.lifecycle.enter(Phase.RUNNING)
        stack.callback(_unsubscribe_all_but, list(feed.channel.subscriptions), feed)
        # What agents yield into channels in memory.
        app.flow_control.resume()
        stack.callback(app.flow_control.suspend)
        if agents:
            clones = seams.cloned_agents(app, feed.channel, context.errors.append)
            for agent in stack.enter_context(clones):
                await agent.start()
                stack.push_async_callback(agent.stop)
        if collect:
            _collect_events(feed, context, stack)
        stack.push_async_callback(feed.close, CLOSE_SECONDS)
        if prepare_seconds is not None:
            await _prepare(feed, prepare_seconds)
        feed.assign(assigned)
        feed.release()
        yield context


def _assigned(
    declaration: Declaration,
    partitions: int,
    names: Collection[str] | None,
    cursors: Mapping[str, CursorValue],
) -> dict[str, Assigned]:
    known = [split.name for split in declaration.splits]
    for name in (*(names or ()), *cursors):
        if name not in known:
            raise ConfigurationError(
                f"{declaration.name}: no split {name!r}: {nearest(name, known)}"
            )
    everywhere = declaration.scope == "worker"
    return {
        name: Assigned(-1 if everywhere else index % partitions, cursors.get(name))
        for index, name in enumerate(known)
        if names is None or name in names
    }


def _collect_dead_letters(feed: Feed, context: SourceContext) -> None:
    keep = feed.declaration.dead_letter
    own = None if isinstance(keep, ChannelT) else keep

    def collect(letter: DeadLetter) -> Any:
        context.dead_letters.append(letter)
        return own(letter) if own is not None else None

    feed.dead_letters = type(feed.dead_letters)(collect)


def _collect_events(feed: Feed, context: SourceContext, stack: AsyncExitStack) -> None:
    stream = feed.channel.app.stream(feed.channel)

    async def collect() -> None:
        async for event in stream.events():
            context.events.append(event)

    collecting = asyncio.ensure_future(collect())
    stack.push_async_callback(_ended, collecting)
    stack.push_async_callback(stream.stop)


def _unsubscribe_all_but(kept: list[Subscription], feed: Feed) -> None:
    # Whoever read in this context is stopped, and may yet live on in a traceback.
    for subscription in feed.channel.subscriptions:
        if subscription not in kept:
            feed.channel.unsubscribe(subscription)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _prepare(feed: Feed, seconds: float) -> None:
    try:
        await asyncio.wait_for(feed.prepare(), seconds)
    except asyncio.TimeoutError:
        raise HostError(
            f"{feed.declaration.name}: not ready within {seconds:g} s: waiting for "
            f"{feed.waiting_for or 'its credentials'}"
        ) from None
