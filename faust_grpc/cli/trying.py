"""A declaration tried out against its live server, without a broker and without agents."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..acks import Delivery
from ..exceptions import FaustGrpcError, ReflectionFailed
from ..protocol import Dead
from ..schema import differences
from ..splits import RunningSplit, SplitState

if TYPE_CHECKING:  # Faust is slow to import, and describe and tail do without
    from ..feeds import Feed

__all__ = ["Finding", "try_source"]

#: How long a server's own types may take, when they are only compared.
_COMPARE_SECONDS = 2.0

_TEXT_SIZE = 200

#: Between two looks at what a split waits for.
_LOOK_SECONDS = 0.1


class Finding(NamedTuple):
    """What one check found."""

    check: str
    #: ``ok``, ``warning`` or ``failed``.
    verdict: str
    text: str


async def try_source(feed: Feed, seconds: float, *, every_split: bool) -> list[Finding]:
    """Check the schema, the options, and a test read of each server.

    Arguments:
        feed: the source.
        seconds: how long a server may take for its types, and for a first message.
        every_split: read each split, not only one for each server.
    """
    findings = [_readers(feed)]
    try:
        findings.append(await _schema(feed, seconds))
        if feed.plan is None:
            return findings
        findings += [*await _compared(feed), _cursor(feed)]
        names = _chosen(feed, every_split=every_split)
        findings += await asyncio.gather(*(_read(feed, name, seconds) for name in names))
    except FaustGrpcError as error:
        findings.append(Finding("schema", "failed", str(error)))
    finally:
        await feed.close(1.0)
    return findings


def _readers(feed: Feed) -> Finding:
    app, channel = feed.channel.app, feed.channel
    agents = [agent.name for agent in app.agents.values() if agent.channel is channel]
    if agents or feed.saves_itself:
        return Finding("agents", "ok", ", ".join(agents) or "none; its events go to a topic")
    return Finding(
        "agents", "failed", "no agent reads it: nothing is read from the server; @app.agent(...)"
    )


async def _schema(feed: Feed, seconds: float) -> Finding:
    try:
        await asyncio.wait_for(feed.prepare(), seconds)
    except asyncio.TimeoutError:
        why = feed.waiting_for or "no answer"
        return Finding("schema", "failed", f"not within {seconds:g} s: {why}")
    assert feed.plan is not None
    method = feed.plan.method
    text = f"{method.full_name}: {method.input.full_name} -> stream {method.output.full_name}"
    return Finding("schema", "ok", text)


async def _compared(feed: Feed) -> list[Finding]:
    """Compare a static schema with what the server says, if it says something."""
    assert feed.plan is not None
    if not feed.declaration.schema.is_static:
        return []
    try:
        served = await asyncio.wait_for(feed.served(), _COMPARE_SECONDS)
    except (ReflectionFailed, asyncio.TimeoutError):
        return []  # most servers have no reflection; the test read tells whether it is there
    except FaustGrpcError as error:
        return [Finding("server's schema", "failed", str(error))]
    changes = differences(feed.plan.method, served)
    if not changes:
        return [Finding("server's schema", "ok", "the same")]
    return [Finding("server's schema", "warning", "; ".join(changes))]


def _cursor(feed: Feed) -> Finding:
    assert feed.plan is not None
    cursor = feed.plan.cursor
    if cursor is None:
        text = "none: what is sent while no call is open is lost (at_most_once)"
        return Finding("cursor", "warning", text)
    kind = cursor.kind or "converted by a callable"
    declared = cursor.declared
    path = declared.path if isinstance(declared.path, str) else "a callable"
    guarantee = feed.declaration.guarantee
    return Finding("cursor", "ok", f"{path} -> {declared.into}, {kind} ({guarantee})")


def _chosen(feed: Feed, *, every_split: bool) -> list[str]:
    splits = feed.declaration.splits
    if every_split:
        return [split.name for split in splits]
    first: dict[object, str] = {}
    for split in splits:
        first.setdefault(str(split.target), split.name)
    return list(first.values())


async def _read(feed: Feed, name: str, seconds: float) -> Finding:
    trial = _Trial()
    split = feed.trial(name, trial)
    split.start()
    check = f"read {name}"
    try:
        reason = await _patience(split, trial.found, seconds)
        if trial.found.done():
            return Finding(check, "ok", trial.found.result())
        if split.state is SplitState.OPEN:
            return Finding(check, "ok", f"the call is open; no message within {seconds:g} s")
        text = f"not within {seconds:g} s: {reason or split.state.value}"
        return Finding(check, "failed", text)
    except FaustGrpcError as error:
        return Finding(check, "failed", str(error))
    finally:
        split.cancel()
        await split.closed()


async def _patience(split: RunningSplit, found: asyncio.Future[str], seconds: float) -> str:
    """Wait for a message; return why there is none, as far as calls ended meanwhile."""
    reason = ""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not found.done() and loop.time() < deadline:
        await asyncio.wait({found}, timeout=min(_LOOK_SECONDS, seconds))
        if split.state is SplitState.WAITING:
            reason = split.reason
    return reason


class _Trial:
    """Takes one message and is content."""

    def __init__(self) -> None:
        self.found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def deliver(self, split: RunningSplit, deliveries: Sequence[Delivery]) -> None:
        """It can be read."""
        key, value, _, _ = deliveries[0].records[0]
        text = f"{key!r}: {value!r}" if key is not None else repr(value)
        short = " ".join(text.split())
        self._end(short if len(short) <= _TEXT_SIZE else f"{short[:_TEXT_SIZE]}…")

    def dead(self, split: RunningSplit, action: Dead) -> None:
        """It cannot."""
        self._fail(f"the first message is a dead letter: {action.reason}")

    def stopped(self, split: RunningSplit, reason: str) -> None:
        """The call failed for good."""
        self._fail(reason)

    def _end(self, text: str) -> None:
        if not self.found.done():
            self.found.set_result(text)

    def _fail(self, reason: str) -> None:
        if not self.found.done():
            self.found.set_exception(FaustGrpcError(reason))
