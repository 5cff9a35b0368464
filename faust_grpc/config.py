"""Options, one frozen object per concern. Units are in the names; secrets stay out of repr."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal, get_args

from .exceptions import ConfigurationError

__all__ = [
    "TLS",
    "AfterSnapshot",
    "Backoff",
    "Buffer",
    "Checkpoint",
    "EndPolicy",
    "Guarantee",
    "Keepalive",
    "OverflowPolicy",
    "PoisonPolicy",
    "ReaderKind",
    "Scope",
    "Timeouts",
]

#: ``auto`` reads a few busy streams in threads and many quiet ones on the event loop.
ReaderKind = Literal["auto", "threaded", "aio"]

#: Whether the stream goes on behind its snapshot, or is over with it.
AfterSnapshot = Literal["follow", "stop"]

#: What the end of a stream with status OK means: the next call, a stream that is over, a fault.
EndPolicy = Literal["reconnect", "stop", "fail"]

#: What becomes of messages when agents are slower than the stream.
OverflowPolicy = Literal["block", "drop_oldest", "drop_newest", "latest"]

#: After a bad message was kept as a dead letter: pass over it, or stop this split.
PoisonPolicy = Literal["skip", "halt"]

#: What holds when a worker crashes; see the page about guarantees.
Guarantee = Literal["at_most_once", "at_least_once", "exactly_once"]

#: ``failover``: the first server that can be reached. ``round_robin``: each call the next one.
Balance = Literal["failover", "round_robin"]

#: ``cluster``: one owner per split. ``worker``: every worker reads every split.
Scope = Literal["cluster", "worker"]


def _positive(owner: object) -> None:
    for option in fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, option.name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
            raise ConfigurationError(
                f"{type(owner).__name__}({option.name}={value!r}): must be greater than 0"
            )


@dataclass(frozen=True, kw_only=True)
class TLS:
    """Transport security of a connection.

    Arguments:
        roots: certificates to trust: a path to a PEM file, or PEM bytes. ``"system"`` trusts
            those of the operating system (``SSL_CERT_FILE`` outweighs its file). ``None`` trusts
            the roots that gRPC ships.
        certificate: our own certificate chain (path or PEM bytes), for mutual TLS.
        key: its private key (path or PEM bytes).
        server_name: the name the server's certificate must carry, when it is not the target's.
    """

    roots: str | Path | bytes | None = None
    #: Not shown either: some people keep the key in the same PEM.
    certificate: str | Path | bytes | None = field(default=None, repr=False)
    key: str | Path | bytes | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            # Half of a pair aborts the process inside gRPC's core.
            raise ConfigurationError("TLS: certificate= and key= go together; only one is given")


@dataclass(frozen=True, kw_only=True)
class Keepalive:
    """HTTP/2 pings that notice a dead connection.

    The default interval is one that servers accept as they come: both grpc's core and grpc-go
    close a connection whose client pings more often than every 5 minutes.

    Arguments:
        interval_seconds: time between pings on a connection with an open call.
        timeout_seconds: how long an answer may take.
    """

    interval_seconds: float = 330.0
    timeout_seconds: float = 20.0

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter between the calls of a split.

    The delay before attempt *n* is drawn evenly from 0 to ``initial * multiplier^n``, at most
    ``maximum``. It starts over only after a message was received or a call stood for 10 s, not
    after a mere connect.

    Arguments:
        initial_seconds: upper end of the first delay.
        maximum_seconds: upper end of every delay.
        multiplier: growth of the upper end.
        slow_initial_seconds: upper end of the first delay when the server says that it is at a
            limit (``RESOURCE_EXHAUSTED``); the lower end is half of it.
        slow_maximum_seconds: upper end of every such delay.
        max_attempts: calls in a row without a message after which the split stops; ``None`` is
            no limit.
        give_up_after_seconds: time without a message, since a call failed, after which it stops.
    """

    initial_seconds: float = 0.5
    maximum_seconds: float = 30.0
    multiplier: float = 2.0
    slow_initial_seconds: float = 2.0
    slow_maximum_seconds: float = 60.0
    max_attempts: int | None = None
    give_up_after_seconds: float | None = None

    def __post_init__(self) -> None:
        _positive(self)
        for kind in ("", "slow_"):
            initial, most = f"{kind}initial_seconds", f"{kind}maximum_seconds"
            if getattr(self, most) < getattr(self, initial):
                raise ConfigurationError(
                    f"Backoff: {most}={getattr(self, most)} is less than "
                    f"{initial}={getattr(self, initial)}"
                )


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long silence may last before something is done about it. ``None`` is for ever.

    Arguments:
        connect_seconds: making a connection (TCP, TLS and HTTP/2's first frames) may take so
            long.
        first_message_seconds: after so long without any message since a call was opened, a
            warning tells the request: nothing may match it.
        idle_seconds: after so long without any message, skipped ones and heartbeats included, the
            peer is taken for dead and the next call is made. Off by default: only the author
            knows how quiet the stream may be. Where ``skip=`` names heartbeats by a field path,
            and a call has brought two, it is 5 minutes, or three times their longest interval.
        sync_seconds: while a declared snapshot is not complete, its next event may take so long;
            then the next call is made.
        max_call_age_seconds: a call is ended between two messages when it is so old, and the
            next one resumes at once: so that streams spread over servers that were added. Each
            call's age is drawn from the last quarter, lest all splits move at the same moment.
    """

    connect_seconds: float = 5.0
    first_message_seconds: float | None = 60.0
    idle_seconds: float | None = None
    sync_seconds: float | None = 60.0
    max_call_age_seconds: float | None = None

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Bounds between the socket and the agents, per split.

    Arguments:
        messages: raw messages read ahead; above it the reader stops and HTTP/2 flow control
            holds the server.
        size_bytes: the same, in bytes. HTTP/2 may hold 1/64 of it beyond, 16 KiB to 4 MiB: what
            is lost when a stream is reset.
        unacked: messages handed to the agents and not yet acked. It bounds what is processed
            again after a crash.
        message_size_bytes: largest message accepted; ``None`` is no limit (a resume may send a
            long backlog as one message, which gRPC's own 4 MiB limit would refuse for ever).
        overflow: when agents are slower than the stream. ``"block"`` lets the server wait. The
            others read on, keep up to ``messages`` and ``size_bytes`` more, and drop the rest:
            ``"drop_oldest"``, ``"drop_newest"``, or ``"latest"``, which keeps the newest event of
            each key. What is dropped is counted.
    """

    messages: int = 4096
    size_bytes: int = 16 * 1024 * 1024
    unacked: int = 256
    message_size_bytes: int | None = None
    overflow: OverflowPolicy = "block"

    def __post_init__(self) -> None:
        _positive(self)
        policies = get_args(OverflowPolicy)
        if self.overflow not in policies:
            raise ConfigurationError(
                f"Buffer(overflow={self.overflow!r}): must be one of "
                + ", ".join(map(repr, policies))
            )


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """When the cursors of acked messages are saved.

    Arguments:
        interval_seconds: time between checkpoints.
        drain_seconds: how long agents may take, at a rebalance or a stop, to finish what they
            were given. What they do not finish is given to the next owner again. With
            exactly-once also: how long a checkpoint waits for agents that finish nothing at all.
        dirty_keys: table keys (and operations of set tables) written since the last checkpoint at
            which the next one is taken early. While it cannot be written, nothing more is
            delivered.
        dirty_bytes: the same for their size in the changelog, estimated by the last checkpoint.
        stuck_seconds: a split whose oldest event is not finished for so long is ``stuck``: the
            status and the log say which agent has it. Nothing else happens.
    """

    interval_seconds: float = 0.5
    drain_seconds: float = 5.0
    dirty_keys: int = 100_000
    dirty_bytes: int = 64 * 1024 * 1024
    stuck_seconds: float = 30.0

    def __post_init__(self) -> None:
        _positive(self)
