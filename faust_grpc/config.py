"""Options, one frozen object per concern. Units are in the names; secrets stay out of repr."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from .exceptions import ConfigurationError

__all__ = [
    "TLS",
    "Backoff",
    "Buffer",
    "Checkpoint",
    "Guarantee",
    "Keepalive",
    "ReaderKind",
    "Scope",
]

#: ``auto`` reads a few busy streams in threads and many quiet ones on the event loop.
ReaderKind = Literal["auto", "threaded", "aio"]

#: What holds when a worker crashes; see the page about guarantees.
Guarantee = Literal["at_most_once", "at_least_once", "exactly_once"]

#: ``cluster``: one owner per split. ``worker``: every worker reads every split.
Scope = Literal["cluster", "worker"]


def _positive(owner: object) -> None:
    for option in fields(owner):  # type: ignore[arg-type]
        value = getattr(owner, option.name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value <= 0:
            raise ConfigurationError(
                f"{type(owner).__name__}({option.name}={value!r}): must be greater than 0"
            )


#: ``failover``: the first server that can be reached. ``round_robin``: each call the next one.
Balance = Literal["failover", "round_robin"]

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
    ``maximum``. It starts over only after a message was received, not after a mere connect.

    Arguments:
        initial_seconds: upper end of the first delay.
        maximum_seconds: upper end of every delay.
        multiplier: growth of the upper end.
    """

    initial_seconds: float = 0.5
    maximum_seconds: float = 30.0
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        _positive(self)
        if self.maximum_seconds < self.initial_seconds:
            raise ConfigurationError(
                f"Backoff: maximum_seconds={self.maximum_seconds} is less than "
                f"initial_seconds={self.initial_seconds}"
            )


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Bounds between the socket and the agents, per split.

    Arguments:
        messages: raw messages read ahead; above it the reader stops and HTTP/2 flow control
            holds the server.
        size_bytes: the same, in bytes.
        unacked: messages handed to the agents and not yet acked. It bounds what is processed
            again after a crash.
        message_size_bytes: largest message accepted; ``None`` is no limit (a resume may send a
            long backlog as one message, which gRPC's own 4 MiB limit would refuse for ever).
    """

    messages: int = 4096
    size_bytes: int = 16 * 1024 * 1024
    unacked: int = 256
    message_size_bytes: int | None = None

    def __post_init__(self) -> None:
        _positive(self)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """When the cursors of acked messages are saved.

    Arguments:
        interval_seconds: time between checkpoints.
        drain_seconds: how long agents may take, at a rebalance or a stop, to finish what they
            were given. What they do not finish is given to the next owner again.
    """

    interval_seconds: float = 0.5
    drain_seconds: float = 5.0

    def __post_init__(self) -> None:
        _positive(self)
