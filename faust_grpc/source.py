"""The declaration that users write: a gRPC method as a Faust channel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from faust.types import AppT, ChannelT, TopicT
from google.protobuf.message import Message

from .channels import SourceChannel
from .config import (
    TLS,
    AfterSnapshot,
    Backoff,
    Balance,
    Buffer,
    Checkpoint,
    EndPolicy,
    Guarantee,
    Keepalive,
    PoisonPolicy,
    ReaderKind,
    Scope,
    Timeouts,
)
from .connection import STREAMS_PER_CONNECTION
from .control import BY_A_PERSON, Control
from .credentials import MetadataProvider
from .cursors import Cursor
from .declaration import Declaration, Plan, splits_from
from .decoding import ExplodeOption, HeadersOption, SkipOption
from .direct import DirectFeed
from .durable import DurableFeed
from .exceptions import ConfigurationError
from .feeds import Feed
from .protocol import ErrorField, Marker
from .proxies import ProxyOption
from .reports import SourceStatus, SplitStatus
from .runner import Runner
from .schema import SchemaOption, schema_from
from .sinks import RecordEncoder, TopicSink, sink_from
from .source_context import SourceContext, redirected, run_source
from .status import Rule
from .targets import TargetOption, parse_targets
from .types import CursorValue, DeadLetter, Split
from .web import register

__all__ = ["GrpcSource"]


class GrpcSource(SourceChannel):
    """A streaming gRPC method whose messages are events of this application.

    It is a Faust channel: give it to ``@app.agent(source)`` or ``app.stream(source)``.

    Arguments:
        app: the application.
        target: where the server is: ``"host:port"``, ``"dns:///name:port"``, ``"unix:path"``,
            ``"https://host:port"``; or a list of servers that serve the same.
        method: ``"package.Service/Method"``; its response must be a stream.
        name: the source's name: the checkpoint is kept under it. Default: the method's full name.
        request: request fields as a dict, or a ready request message.
        splits: independent streams of this source: a mapping of name → request fields that
            differ, or :class:`Split` objects. Default: one stream.
        value_type: what agents get: ``None`` the protobuf message, ``dict``, :class:`ProtoJson`,
            a ``faust.Record`` or another model class, or any callable that takes the message.
        key: the event's key: a field path or a callable.
        timestamp: the event's time: a field path or a callable. Default: time of receipt.
        headers: the event's headers: field paths or callables by name.
        cursor: how the stream is resumed. Without one, what is lost while no call is open stays
            lost, and is counted as a possible gap.
        explode: path of a repeated message or a map, or several: each element becomes an event.
            All events of one message share its position and are acked together.
        skip: messages to pass over: a field path that is set, a callable that is true, or several.
        error: an error inside a message: a field path or a callable; see :data:`ErrorField`.
        rules: what endings of calls mean, asked before the built-in ones.
        end_of_snapshot: for methods that send all there is first, then changes: a field path that
            is set, or a callable that is true, for the message that completes the snapshot. The
            split is ``synced`` from there on. Positions before it are not resumed behind.
        after_snapshot: ``"follow"`` what comes behind the snapshot, or ``"stop"`` there.
        on_end: when the server ends the stream with OK: ``"reconnect"``, ``"stop"`` (the split is
            finished), or ``"fail"`` (it needs a person).
        on_poison: when a bad message is kept as a dead letter: ``"skip"`` it, or ``"halt"`` this
            split until a person resumes it.
        schema: where the types come from: a generated module or stub, a descriptor set (path,
            bytes or base64 text), ``.proto`` files; default: the server's reflection service, of
            which :class:`Reflection` says more.
        tls: ``True`` or :class:`TLS`; default: plaintext.
        metadata: sent with every call: a dict, pairs, or a callable (plain or async) that is
            asked before every call. It may return a :class:`CallMetadata`, which knows when it
            ends.
        call_credentials: gRPC's own kind of credentials for each call; needs TLS.
        proxy: an HTTP proxy, ``"http://host:port"``; ``False`` for none. Default: what the
            environment says.
        balance: between several servers: ``"failover"`` takes the first that can be reached,
            ``"round_robin"`` each in turn.
        streams_per_connection: calls that share one TCP connection at most.
        keepalive: pings that notice a dead connection.
        backoff: delays between calls.
        timeouts: how long silence may last, and how old a call may get.
        buffer: bounds on what is read ahead and un-acked.
        checkpoint: when cursors are saved.
        reader: ``"auto"``, ``"threaded"`` or ``"aio"``.
        scope: ``"cluster"``: one owner per split; ``"worker"``: every worker reads all splits.
        delivery: ``"at_least_once"`` (the default with a cursor), ``"exactly_once"`` (tables, or
            the records of a sink, and cursors in one Kafka transaction), or ``"at_most_once"``
            (what no cursor means).
        sink: a topic, or :class:`TopicSink`: events are written to it, and agents of this source
            read it, here and wherever else they run.
        dead_letter: a Faust topic or a callable that keeps messages which cannot be decoded.
        kafka_options: librdkafka settings that the app's settings cannot express.

    Raises:
        ConfigurationError: an option is wrong. With a static ``schema`` every option is checked
            here; with reflection, when the worker starts.
    """

    def __init__(
        self,
        app: AppT,
        target: TargetOption,
        method: str,
        *,
        name: str | None = None,
        request: Mapping[str, Any] | Message | None = None,
        splits: Sequence[Split] | Mapping[str, Mapping[str, Any]] | None = None,
        value_type: Any = None,
        key: str | Callable[[Any], Any] | None = None,
        timestamp: Any = None,
        headers: HeadersOption = None,
        cursor: Cursor | None = None,
        explode: ExplodeOption = None,
        skip: SkipOption = None,
        error: str | ErrorField | None = None,
        rules: Sequence[Rule] = (),
        end_of_snapshot: str | Marker | None = None,
        after_snapshot: AfterSnapshot = "follow",
        on_end: EndPolicy = "reconnect",
        on_poison: PoisonPolicy = "skip",
        schema: SchemaOption = None,
        tls: TLS | bool | None = None,
        metadata: MetadataProvider | None = None,
        call_credentials: grpc.CallCredentials | None = None,
        proxy: ProxyOption = None,
        balance: Balance = "failover",
        streams_per_connection: int = STREAMS_PER_CONNECTION,
        keepalive: Keepalive | None = None,
        backoff: Backoff | None = None,
        timeouts: Timeouts | None = None,
        buffer: Buffer | None = None,
        checkpoint: Checkpoint | None = None,
        reader: ReaderKind = "auto",
        scope: Scope = "cluster",
        delivery: Guarantee | None = None,
        sink: TopicT | TopicSink | None = None,
        dead_letter: Callable[[DeadLetter], Any] | ChannelT[Any] | None = None,
        kafka_options: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            _one_of("reader", reader, ("auto", "threaded", "aio"))
            _one_of("balance", balance, ("failover", "round_robin"))
            _one_of("after_snapshot", after_snapshot, ("follow", "stop"))
            _one_of("on_end", on_end, ("reconnect", "stop", "fail"))
            _one_of("on_poison", on_poison, ("skip", "halt"))
            _one_of("scope", scope, ("cluster", "worker"))
            _one_of("delivery", delivery, (None, "at_most_once", "at_least_once", "exactly_once"))
            _check_dead_letter(dead_letter)
            self._sink = sink_from(sink)
            encoder = self._encoder(target, method, value_type, explode, scope)
            self.declaration = Declaration(
                name=name or method.removeprefix("/").replace("/", "."),
                targets=parse_targets(target),
                method=method,
                schema=schema_from(schema),
                splits=splits_from(splits),
                request=request,
                value_type=value_type if encoder is None else encoder.value_type,
                key=key,
                timestamp=timestamp,
                headers=headers,
                cursor=cursor,
                explode=explode,
                skip=skip,
                error=error,
                rules=tuple(rules),
                end_of_snapshot=end_of_snapshot,
                after_snapshot=after_snapshot,
                on_end=on_end,
                on_poison=on_poison,
                tls=tls,
                metadata=metadata,
                call_credentials=call_credentials,
                proxy=proxy,
                balance=balance,
                streams_per_connection=streams_per_connection,
                keepalive=keepalive or Keepalive(),
                backoff=backoff or Backoff(),
                timeouts=timeouts or Timeouts(),
                buffer=buffer or Buffer(),
                checkpoint=checkpoint or Checkpoint(),
                reader=reader,
                scope=scope,
                delivery=delivery,
                dead_letter=dead_letter,
                encode=None if encoder is None else encoder.decoder,
            )
            static = self.declaration.schema.is_static
            plan = self.declaration.plan(self.declaration.schema.method(method)) if static else None
            self._runner = Runner.of(app)
            super().__init__(app, name=self.declaration.name, lease=self._runner.lease)
            self._feed = self._new_feed(plan)
            self._runner.add(self._feed)
            self._control = Control(self._runner, self._feed)
            register(app)
            self._runner.checkpoints.kafka_options.update(kafka_options or {})
        except ConfigurationError as exc:
            # A traceback's last lines are what a user reads: their own line, then what is wrong.
            raise exc.with_traceback(None) from None

    def _encoder(
        self,
        target: TargetOption,
        method: str,
        value_type: Any,
        explode: ExplodeOption,
        scope: Scope,
    ) -> RecordEncoder | None:
        if self._sink is None:
            return None
        if scope == "worker":
            raise ConfigurationError(
                "sink= with scope='worker': every worker would write every record; leave scope= out"
            )
        headers = {
            "grpc-target": ",".join(str(one) for one in parse_targets(target)).encode(),
            "grpc-method": method.removeprefix("/").encode(),
        }
        return RecordEncoder(self._sink, headers, value_type=value_type, explode=explode)

    def _new_feed(self, plan: Plan | None) -> Feed:
        if self._sink is None:
            return DirectFeed(self, self.declaration, plan)
        return DurableFeed(
            self,
            self.declaration,
            plan,
            sink=self._sink,
            lease=self._runner.lease,
            kafka_options=self._runner.checkpoints.kafka_options,
        )

    # With a sink, whoever iterates this source iterates its topic.

    def clone(self, *, is_iterator: bool | None = None, **kwargs: Any) -> Any:
        """Return what an agent or stream iterates."""
        if self._sink is not None:
            return self._sink.topic.clone(is_iterator=is_iterator, **kwargs)
        return super().clone(is_iterator=is_iterator, **kwargs)

    def __aiter__(self) -> Any:
        return super().__aiter__() if self._sink is None else aiter(self._sink.topic)

    def on_subscribed(self) -> None:
        """An agent or stream began to read."""
        self._feed.subscribed()

    def status(self) -> SourceStatus:
        """Return what this worker does for the source, now."""
        return SourceStatus(
            name=self.name,
            waiting_for=self._feed.waiting_for or self._runner.lifecycle.waiting_for,
            splits=tuple(SplitStatus.of(split) for split in self._feed),
            bad_timestamps=self._feed.terms.bad_timestamps,
            dead_letters_kept=self._feed.dead_letters.kept,
            dead_letters_waiting=self._feed.dead_letters.waiting,
            proxy=self._feed.connections.proxy,
        )

    async def pause(self, split: str | None = None, reason: str = BY_A_PERSON) -> list[str]:
        """Read nothing more until :meth:`resume`, whichever worker owns the split then.

        What agents were given is finished and saved.

        Arguments:
            split: its name; default: all that run in this worker.
            reason: shown in the status.

        Returns:
            The names of the splits that were paused.

        Raises:
            ConfigurationError: there is no such split.
            HostError: it runs in another worker, a rebalance is under way, or it is paused here
                but that could not be saved.
        """
        return await self._control.pause(split, reason)

    async def resume(self, split: str | None = None, *, skip: bool = False) -> list[str]:
        """Read again what was paused, or what had stopped for a person.

        Result and errors as those of :meth:`pause`.

        Arguments:
            split: its name; default: all that run in this worker.
            skip: pass over the message at which it had stopped.
        """
        return await self._control.resume(split, skip=skip)

    async def restart(self, split: str | None = None) -> list[str]:
        """End the call and make a new one, behind the last message.

        Argument, result and errors are those of :meth:`pause`.
        """
        return await self._control.restart(split)

    @asynccontextmanager
    async def test_context(
        self,
        target: TargetOption | None = None,
        *,
        tls: TLS | bool | None = None,
        splits: Collection[str] | None = None,
        cursors: Mapping[str, CursorValue] | None = None,
        agents: bool = True,
        connect_seconds: float = 10.0,
    ) -> AsyncIterator[SourceContext]:
        """Run this source and its agents in a test, without a worker and without Kafka.

        A real server is read as a worker would read it. Tables are empty and in memory, nothing
        is saved. What agents send to topics needs a broker.

        Arguments:
            target: the server to read, for all splits; default: those that are declared.
            tls: for this server; default: none.
            splits: names of those to run; default: all.
            cursors: by name of the split, the cursor behind which it begins.
            agents: whether the source's agents run; events are collected anyway.
            connect_seconds: how long the server may take for the method's types.

        Raises:
            ConfigurationError: the source writes into a topic (``sink=``), there is no such
                split, or the declaration does not fit what the server has.
            HostError: the server does not tell its types in time.
        """
        if self._sink is not None:
            raise ConfigurationError(
                f"{self.name}: test_context() of a source with sink=: its events go through a "
                "topic; use a broker (faust_grpc.testing.broker), or agent.test_context()"
            )
        declaration = redirected(self.declaration, target, tls)
        schema = declaration.schema
        plan = declaration.plan(schema.method(declaration.method)) if schema.is_static else None
        feed = DirectFeed(self, declaration, plan)
        feed.observers = self._feed.observers
        usual, self._feed = self._feed, feed
        try:
            async with run_source(
                self._runner,
                feed,
                splits=splits,
                cursors=cursors or {},
                agents=agents,
                prepare_seconds=connect_seconds,
            ) as context:
                yield context
        finally:
            self._feed = usual

    def __repr__(self) -> str:
        declared = self.declaration
        where = ", ".join(map(str, declared.targets))
        return f"<GrpcSource {self.name}: {declared.method} at {where}>"


def _check_dead_letter(option: object) -> None:
    if option is not None and not callable(option) and not isinstance(option, ChannelT):
        raise ConfigurationError(
            f"dead_letter={option!r}: give a topic, app.topic(name), or a callable"
        )


def _one_of(option: str, value: object, allowed: Sequence[str | None]) -> None:
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise ConfigurationError(f"{option}={value!r}: must be one of {choices}")
