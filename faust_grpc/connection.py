"""One connection to one target: a gRPC channel of each kind, opened when first used."""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import grpc
import grpc.aio

from .config import TLS, Backoff, Buffer, Keepalive
from .credentials import channel_credentials
from .exceptions import ConfigurationError
from .targets import Target, parse_target

__all__ = ["Connection"]

ChannelOption: TypeAlias = "tuple[str, str | int]"

#: Servers explain a refusal in metadata; core's own limit of 8 KiB turns a long explanation into
#: RESOURCE_EXHAUSTED.
MAX_METADATA_BYTES = 64 * 1024
#: Core's ``min_reconnect_backoff_ms`` is its connect time-out too: a busy server or a TLS
#: handshake over a long way takes seconds.
CONNECT_TIMEOUT_MS = 5_000
#: Core fails calls at once while it waits to connect again. It must not wait much longer than
#: our own backoff, or a server that came back would be found late.
MAX_RECONNECT_MS = 5_000
#: The part of a buffer's bytes that HTTP/2 may hold before it (core announces up to twice this).
#: What is in flight is lost when a stream is reset. Measured on loopback: 64 KiB to 1 MiB read
#: equally fast.
LOOKAHEAD_DIVISOR = 64
LOOKAHEAD_BYTES = (64 * 1024, 4 * 1024 * 1024)

# The value of grpc.experimental.ChannelOptions.SingleThreadedUnaryStream: calls of the sync stack
# are then read by the thread that iterates them, about ten times as fast.
SINGLE_THREADED = ("SingleThreadedUnaryStream", 1)


class Connection:
    """One connection to one target.

    Neither channel exists until it is first asked for: gRPC's asyncio stack belongs to the event
    loop that runs then, and neither survives a fork. Two connections never share a TCP
    connection, so each has a server's whole limit of concurrent streams (often 100).

    Arguments:
        target: where to connect, see :func:`~faust_grpc.targets.parse_target`.
        tls: ``None`` does as the target says (``https://``) and else uses plaintext; ``True``
            trusts the roots that gRPC ships.
        keepalive: pings.
        buffer: its bounds set what HTTP/2 may hold and the largest message.
        backoff: core's own reconnect backoff is made to agree with it.

    Raises:
        TargetError: the target cannot be dialled as written.
        CredentialsError: a certificate or key cannot be used.
        ConfigurationError: ``tls`` and the target contradict each other.
    """

    def __init__(
        self,
        target: str | Target,
        *,
        tls: TLS | bool | None = None,
        keepalive: Keepalive | None = None,
        buffer: Buffer | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.target = target if isinstance(target, Target) else parse_target(target)
        self.tls = _agreed(self.target, tls)
        self.options = _options(
            self.target,
            self.tls,
            keepalive or Keepalive(),
            buffer or Buffer(),
            backoff or Backoff(),
        )
        self._credentials = channel_credentials(self.tls) if self.tls else None
        self._aio: grpc.aio.Channel | None = None
        self._sync: grpc.Channel | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<Connection {self.target} {'TLS' if self.tls else 'plaintext'}>"

    @property
    def aio(self) -> grpc.aio.Channel:
        """The channel of the asyncio stack; opened in the running event loop."""
        if self._aio is None:
            self._check_open()
            asyncio.get_running_loop()  # outside a loop gRPC would quietly make one of its own
            if self._credentials is None:
                self._aio = grpc.aio.insecure_channel(self.target.text, options=self.options)
            else:
                self._aio = grpc.aio.secure_channel(
                    self.target.text, self._credentials, options=self.options
                )
        return self._aio

    @property
    def sync(self) -> grpc.Channel:
        """The channel of the sync stack, for reading in threads."""
        if self._sync is None:
            self._check_open()
            options = [*self.options, SINGLE_THREADED]
            if self._credentials is None:
                self._sync = grpc.insecure_channel(self.target.text, options=options)
            else:
                self._sync = grpc.secure_channel(
                    self.target.text, self._credentials, options=options
                )
        return self._sync

    async def close(self) -> None:
        """Close both channels; calls that are still open end as CANCELLED."""
        self._closed = True
        aio, self._aio = self._aio, None
        sync, self._sync = self._sync, None
        if aio is not None:
            await aio.close(grace=None)
        if sync is not None:
            sync.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f"{self!r} is closed")


def _agreed(target: Target, tls: TLS | bool | None) -> TLS | None:
    """Return how to secure the connection; ``None`` is plaintext."""
    if target.tls is not None and tls is not None and target.tls is not bool(tls):
        written = "https" if target.tls else "http"
        raise ConfigurationError(
            f"tls={tls!r}: the target was written with '{written}://', which says the opposite; "
            "give one of the two"
        )
    if isinstance(tls, TLS):
        return tls
    return TLS() if (tls or target.tls) else None


def _options(
    target: Target, tls: TLS | None, keepalive: Keepalive, buffer: Buffer, backoff: Backoff
) -> list[ChannelOption]:
    least, most = LOOKAHEAD_BYTES
    initial_ms = round(backoff.initial_seconds * 1000)
    options: list[ChannelOption] = [
        ("grpc.max_receive_message_length", buffer.message_size_bytes or -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", round(keepalive.interval_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(keepalive.timeout_seconds * 1000)),
        # Core stops after two pings without data, which is what a quiet stream is.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", initial_ms),
        ("grpc.min_reconnect_backoff_ms", CONNECT_TIMEOUT_MS),
        (
            "grpc.max_reconnect_backoff_ms",
            max(initial_ms, min(round(backoff.maximum_seconds * 1000), MAX_RECONNECT_MS)),
        ),
        ("grpc.use_local_subchannel_pool", 1),
        # The probe lets the window grow to megabytes on a busy stream.
        ("grpc.http2.bdp_probe", 0),
        (
            "grpc.http2.lookahead_bytes",
            max(least, min(buffer.size_bytes // LOOKAHEAD_DIVISOR, most)),
        ),
    ]
    if target.authority:
        options.append(("grpc.default_authority", target.authority))
    if tls is not None and tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return options
