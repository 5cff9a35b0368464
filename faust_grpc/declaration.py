"""A source as it was declared, and what becomes of it once the method's types are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message

from .backoff import Delays
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
from .connection import STREAMS_PER_CONNECTION, agreed_tls, check_call_credentials
from .credentials import MetadataProvider, check_metadata
from .cursors import BoundCursor, Cursor, guarded
from .decoding import Decoder, ExplodeOption, HeadersOption, SkipOption, build_decoder
from .exceptions import ConfigurationError, FieldError
from .fields import getter
from .protocol import DeclaredProtocol, ErrorField, Marker
from .proxies import ProxyOption, check_proxy
from .requests import build_request
from .schema import Method, Schema
from .schema.base import split_name
from .status import Rule
from .targets import Target, parse_targets
from .types import CursorValue, DeadLetter, Split

__all__ = ["Declaration", "Plan", "splits_from"]


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """Everything a source was declared with; see :class:`faust_grpc.GrpcSource`."""

    name: str
    targets: tuple[Target, ...]
    method: str
    schema: Schema
    splits: tuple[Split, ...]
    request: Mapping[str, Any] | Message | None = None
    value_type: Any = None
    key: str | Callable[[Any], Any] | None = None
    timestamp: Any = None
    headers: HeadersOption = None
    cursor: Cursor | None = None
    explode: ExplodeOption = None
    skip: SkipOption = None
    error: str | ErrorField | None = None
    rules: tuple[Rule, ...] = ()
    end_of_snapshot: str | Marker | None = None
    after_snapshot: AfterSnapshot = "follow"
    on_end: EndPolicy = "reconnect"
    on_poison: PoisonPolicy = "skip"
    tls: TLS | bool | None = None
    metadata: MetadataProvider | None = field(default=None, repr=False)
    call_credentials: grpc.CallCredentials | None = field(default=None, repr=False)
    proxy: ProxyOption = field(default=None, repr=False)
    balance: Balance = "failover"
    streams_per_connection: int = STREAMS_PER_CONNECTION
    keepalive: Keepalive = field(default_factory=Keepalive)
    backoff: Backoff = field(default_factory=Backoff)
    timeouts: Timeouts = field(default_factory=Timeouts)
    buffer: Buffer = field(default_factory=Buffer)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    reader: ReaderKind = "auto"
    scope: Scope = "cluster"
    delivery: Guarantee | None = None
    dead_letter: Callable[[DeadLetter], Any] | Any | None = None
    #: Makes a decoder's events into what a sink writes.
    encode: Callable[[Decoder, Method], Decoder] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        split_name(self.method)
        for option, (kind, wanted) in _KINDS.items():
            value = getattr(self, option)
            if value is not None and not isinstance(value, kind):
                raise ConfigurationError(f"{option}={value!r}: give {wanted}")
        for rule in self.rules:
            if not isinstance(rule, Rule):
                raise ConfigurationError(f"rules=: {rule!r} is no Rule(code, verdict, ...)")
        if not callable(self.metadata):
            check_metadata(self.metadata)
        check_proxy(self.proxy)
        check_call_credentials(self.call_credentials, agreed_tls(self.targets, self.tls))
        if not isinstance(self.streams_per_connection, int) or self.streams_per_connection < 1:
            raise ConfigurationError(
                f"streams_per_connection={self.streams_per_connection!r}: give a number of calls, "
                "1 or more"
            )
        self._check_delivery()
        self._check_overflow()

    def _check_overflow(self) -> None:
        policy = self.buffer.overflow
        if policy == "latest" and self.key is None:
            raise ConfigurationError(
                "Buffer(overflow='latest') keeps the newest event of each key: declare key="
            )
        if policy != "block" and self.delivery == "exactly_once":
            raise ConfigurationError(
                f"delivery='exactly_once' with Buffer(overflow={policy!r}), which drops events: "
                "leave out one of the two"
            )

    def _check_delivery(self) -> None:
        asked = self.delivery
        if asked == "at_most_once" and self.cursor is not None:
            raise ConfigurationError(
                "delivery='at_most_once' with a cursor: a saved cursor gives at_least_once; leave "
                "out one of the two"
            )
        if asked in (None, "at_most_once"):
            return
        if self.cursor is None:
            raise ConfigurationError(
                f"delivery={asked!r} without a cursor: what was not finished when a worker crashes "
                "cannot be asked for again; declare cursor=Cursor(path, into=request_field)"
            )
        if self.scope == "worker":
            raise ConfigurationError(
                f"delivery={asked!r} with scope='worker': cursors of such a source are not saved; "
                "leave delivery= out"
            )

    @property
    def guarantee(self) -> Guarantee:
        """What holds when a worker crashes."""
        saves = self.cursor is not None and self.scope == "cluster"
        return self.delivery or ("at_least_once" if saves else "at_most_once")

    @property
    def has_heartbeats(self) -> bool:
        """Kinds of messages are passed over by name; what a callable passes over may be events."""
        skips = [self.skip] if isinstance(self.skip, str) or callable(self.skip) else self.skip
        return bool(skips) and all(isinstance(one, str) for one in skips or ())

    def plan(self, method: Method) -> Plan:
        """Check every option against the types of the method.

        Raises:
            ConfigurationError: an option does not fit; the text names it.
        """
        request = method.request_class
        decoder = build_decoder(
            method,
            value_type=self.value_type,
            key=self.key,
            timestamp=self.timestamp,
            explode=self.explode,
            skip=self.skip,
            headers=self.headers,
        )
        if self.encode is not None:
            decoder = self.encode(decoder, method)
        return Plan(
            self,
            method,
            decoder,
            self.cursor.bind(method.input, method.output) if self.cursor is not None else None,
            self._of_message(method, "error"),
            self._of_message(method, "end_of_snapshot"),
            {split.name: self._request(request, split) for split in self.splits},
        )

    def _request(self, request_class: type[Message], split: Split) -> Message:
        request = build_request(request_class, self.request)
        if split.request:
            # Merged, not replaced: a split states only what differs.
            own = build_request(request_class, split.request, option=f"splits[{split.name!r}]")
            request.MergeFrom(own)
        return request

    def _of_message(self, method: Method, option: str) -> Callable[[Any], Any] | None:
        """Compile an option that is asked about every message: a path or a callable."""
        value = getattr(self, option)
        if value is None:
            return None
        if callable(value):
            return guarded(value, f"{option}=")
        try:
            return getter(method.output, value)
        except FieldError as exc:
            raise FieldError(f"{option}={value!r}: {exc}") from exc


@dataclass(frozen=True)
class Plan:
    """A declaration bound to the types of its method.

    Arguments:
        declaration: what was declared.
        method: what is called.
        decoder: bytes → message → records.
        cursor: how to resume.
        error: reads an in-band error.
        marker: tells the end of the snapshot.
        requests: by name of split.
    """

    declaration: Declaration
    method: Method
    decoder: Decoder
    cursor: BoundCursor | None
    error: ErrorField | None
    marker: Marker | None
    requests: Mapping[str, Message]

    def protocol(self, split: Split, resume: CursorValue | None) -> DeclaredProtocol:
        """Return the state machine for one split's life, resumed behind a saved position.

        Raises:
            ConfigurationError: the saved position is of another kind than the cursor's field.
        """
        if self.cursor is not None and resume is not None:
            self.cursor.check(resume, f"{self.declaration.name}/{split.name}")
        declared = self.declaration
        return DeclaredProtocol(
            self.method,
            self.requests[split.name],
            self.decoder,
            Delays(declared.backoff),
            cursor=self.cursor,
            resume=resume,
            error=self.error,
            rules=declared.rules,
            marker=self.marker,
            after_snapshot=declared.after_snapshot,
            timeouts=declared.timeouts,
            on_end=declared.on_end,
            on_poison=declared.on_poison,
            renews=callable(declared.metadata),
            heartbeats=declared.has_heartbeats,
        )

    def take_over(self, old: Plan, protocols: Mapping[str, DeclaredProtocol]) -> None:
        """Let running splits read with the types of this plan.

        Arguments:
            old: the plan that they read with; its counts go on here.
            protocols: by name of split.

        Raises:
            ConfigurationError: a position is of another kind than the cursor's field now; all of
                them go on as they did.
        """
        for name, protocol in protocols.items():
            if self.cursor is not None and protocol.last is not None:
                self.cursor.check(protocol.last, f"{self.declaration.name}/{name}")
        for name, protocol in protocols.items():
            protocol.bind(
                self.method,
                self.requests[name],
                self.decoder,
                self.cursor,
                self.error,
                self.marker,
            )
        self.decoder.bad_timestamps.count += old.decoder.bad_timestamps.count


#: What can be told from an option's type alone, and what would be right.
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "cursor": (Cursor, "Cursor(path, into=request_field)"),
    "tls": ((TLS, bool), "True or TLS(...)"),
    "keepalive": (Keepalive, "Keepalive(...)"),
    "backoff": (Backoff, "Backoff(...)"),
    "timeouts": (Timeouts, "Timeouts(...)"),
    "buffer": (Buffer, "Buffer(...)"),
    "checkpoint": (Checkpoint, "Checkpoint(...)"),
}


def splits_from(
    option: Sequence[Split] | Mapping[str, Mapping[str, Any]] | None,
) -> tuple[Split, ...]:
    """Return the splits of a source: one named ``main`` when none are given.

    Arguments:
        option: ready splits, or a mapping of name → request fields that differ.

    Raises:
        ConfigurationError: none at all, a name twice, or a target that cannot be dialled.
    """
    if option is None:
        return (Split("main"),)
    if isinstance(option, Mapping):
        splits = tuple(Split(name, request) for name, request in option.items())
    else:
        splits = tuple(option)
        for split in splits:
            if not isinstance(split, Split):
                raise ConfigurationError(
                    f"splits=: {split!r} is no Split; write {{{split!r}: {{request fields}}}} or "
                    f"[Split({split!r}, {{request fields}})]"
                )
    names = [split.name for split in splits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"splits=: the name {twice[0]!r} is there twice")
    for split in splits:
        if split.target is not None:
            parse_targets(split.target)
    if not splits:
        raise ConfigurationError("splits=: is empty; leave it out for a single stream")
    return splits
