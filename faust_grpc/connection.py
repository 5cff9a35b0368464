"""A connection to a server, or to several that serve the same, as gRPC channels."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Literal, TypeAlias

import grpc
import grpc.aio

from .channel_options import SINGLE_THREADED, channel_options
from .config import TLS, Backoff, Balance, Buffer, Keepalive, Timeouts
from .diagnosis import Diagnosis
from .endpoints import Endpoints
from .exceptions import ConfigurationError, ReflectionFailed
from .explain import explain
from .proxies import ProxyOption, check_proxy, proxy_of
from .targets import Target, TargetOption, parse_targets
from .tls import RotatingCredentials
from .types import Status

__all__ = ["STREAMS_PER_CONNECTION", "Connection", "Slot"]

Kind: TypeAlias = Literal["aio", "sync"]

#: Many servers allow so many at once; nginx and Envoy too. Further ones would wait, unseen.
STREAMS_PER_CONNECTION = 100
#: So many calls are told how the last one failed before one is made again, for its text.
TOLD_PER_FAILURE = 64


class _Channel:
    """One gRPC channel. It shares its TCP connection with no other channel."""

    def __init__(self, opened: Any, kind: Kind, endpoint: int, credentials: object) -> None:
        self.opened = opened
        self.kind = kind
        self.endpoint = endpoint
        #: What it was made with; the connection may have newer ones.
        self.credentials = credentials
        self.calls = 0
        #: How the last call failed, if it found no server, and how many were told so since.
        self.failure: Status | None = None
        self.told = 0


class Slot:
    """One call's place on a channel. Leave a ``with`` block, or :meth:`release` it, when it ends.

    Arguments:
        connection: whose channel it is.
        channel: counts the call.
    """

    def __init__(self, connection: Connection, channel: _Channel) -> None:
        self._connection = connection
        self._channel: _Channel | None = channel
        #: ``grpc.Channel`` or ``grpc.aio.Channel``, as it was asked for. (Any: grpc-stubs demand
        #: serializers; without them gRPC passes bytes through.)
        self.channel: Any = channel.opened
        channel.calls += 1

    def known_failure(self) -> Status | None:
        """Return how a call would fail, if that is known without making it.

        gRPC's asyncio stack keeps some 500 bytes for ever of each call that finds no server
        (grpc/grpc#38499, #43360), and fails it at once while it waits to dial again.
        """
        channel = self._channel
        if channel is None or channel.failure is None:
            return None
        if self.channel.get_state() is not grpc.ChannelConnectivity.TRANSIENT_FAILURE:
            return None
        channel.told = (channel.told + 1) % TOLD_PER_FAILURE
        return channel.failure if channel.told else None

    def release(self, status: Status | None = None, *, opened: bool = True) -> None:
        """Give the place back; once is enough, more often does no harm.

        Arguments:
            status: how the call ended.
            opened: the server had accepted it.
        """
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.calls -= 1
            self._connection._released(channel, status, opened)

    def __enter__(self) -> Any:
        return self.channel

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Reflection raises what a reader has as its status.
        failed = isinstance(error, ReflectionFailed) and error.retryable
        status = Status(grpc.StatusCode.UNAVAILABLE, str(error)) if failed else None
        self.release(status, opened=not failed)


class Connection:
    """A connection to one target, or to several that serve the same.

    No channel exists until a call asks for its place: gRPC's asyncio stack belongs to the event
    loop that runs then, and no channel survives a fork. Channels never share a TCP connection. One
    takes a bounded number of calls, because what a server's limit of concurrent streams holds
    back would wait without a word.

    All methods are called on the event loop.

    Arguments:
        target: where to connect, see :func:`~faust_grpc.targets.parse_targets`.
        tls: ``None`` does as the target says (``https://``) and else uses plaintext; ``True``
            trusts the roots that gRPC ships.
        call_credentials: added to each call; needs TLS.
        proxy: ``"http://host:port"``; ``False`` for none; ``None`` as the environment says.
        balance: between several targets, and between the addresses of one.
        streams_per_connection: calls on one TCP connection at most.
        connect_seconds: how long making a connection may take.
        keepalive: pings.
        buffer: its bounds set what HTTP/2 may hold and the largest message.
        backoff: core's own reconnect backoff is made to agree with it.

    Raises:
        TargetError: the target cannot be dialled as written.
        CredentialsError: a certificate or key cannot be used.
        ConfigurationError: options are wrong, or contradict each other.
    """

    def __init__(
        self,
        target: TargetOption | Target | tuple[Target, ...],
        *,
        tls: TLS | bool | None = None,
        call_credentials: grpc.CallCredentials | None = None,
        proxy: ProxyOption = None,
        balance: Balance = "failover",
        streams_per_connection: int = STREAMS_PER_CONNECTION,
        connect_seconds: float | None = None,
        keepalive: Keepalive | None = None,
        buffer: Buffer | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.targets = parse_targets(target)
        self.tls = agreed_tls(self.targets, tls)
        check_call_credentials(call_credentials, self.tls)
        check_proxy(proxy)
        self._proxy = proxy
        self._limit = streams_per_connection
        #: What each target's channels are told.
        self.options = [
            channel_options(
                one,
                server_name=self.tls.server_name if self.tls else None,
                proxy=proxy,
                balance=balance,
                connect_seconds=connect_seconds or Timeouts().connect_seconds,
                keepalive=keepalive or Keepalive(),
                buffer=buffer or Buffer(),
                backoff=backoff or Backoff(),
            )
            for one in self.targets
        ]
        self._credentials = RotatingCredentials(self.tls, call_credentials) if self.tls else None
        self._endpoints = Endpoints(len(self.targets), balance)
        self._diagnosis = Diagnosis(self.tls)
        self._channels: list[_Channel] = []
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.targets))
        return f"<Connection {where} {'TLS' if self.tls else 'plaintext'}>"

    # What others see

    @property
    def channels(self) -> int:
        """Channels that are open: as many TCP connections, or one to each address of a target."""
        return len(self._channels)

    @property
    def proxy(self) -> str:
        """The proxy in use, without a password; empty for none."""
        proxies = (proxy_of(target, self._proxy) for target in self.targets)
        return next((str(proxy) for proxy in proxies if proxy is not None), "")

    def explain(self, status: Status) -> str:
        """Return one line on what is probably wrong, or ``""``; see :func:`.explain.explain`."""
        told = explain(status, tls=self.tls is not None, proxy=self.proxy)
        expired = self._credentials.expired if told and self._credentials is not None else ""
        return "; ".join(filter(None, (told, expired, self._diagnosis.finding(status))))

    # Calls

    def acquire(self, kind: Kind) -> Slot:
        """Return a place for one call, on a channel with room and with today's certificates.

        Arguments:
            kind: of the asyncio stack, or of the sync stack for reading in threads.
        """
        if self._closed:
            raise RuntimeError(f"{self!r} is closed")
        credentials = self._credentials.current() if self._credentials is not None else None
        endpoint = self._endpoints.pick()
        self._retire(credentials)
        for channel in self._channels:
            if (
                channel.kind == kind
                and channel.endpoint == endpoint
                and channel.credentials is credentials
                and channel.calls < self._limit
            ):
                return Slot(self, channel)
        channel = _Channel(self._open(kind, endpoint, credentials), kind, endpoint, credentials)
        self._channels.append(channel)
        return Slot(self, channel)

    def _open(self, kind: Kind, endpoint: int, credentials: grpc.ChannelCredentials | None) -> Any:
        text, options = self.targets[endpoint].text, self.options[endpoint]
        if kind == "aio":
            asyncio.get_running_loop()  # outside a loop gRPC would quietly make one of its own
            if credentials is None:
                return grpc.aio.insecure_channel(text, options=options)
            return grpc.aio.secure_channel(text, credentials, options=options)
        options = [*options, SINGLE_THREADED]
        if credentials is None:
            return grpc.insecure_channel(text, options=options)
        return grpc.secure_channel(text, credentials, options=options)

    def _released(self, channel: _Channel, status: Status | None, opened: bool) -> None:
        """A call ended."""
        if self._closed or (status is not None and status.ours and not opened):
            return  # it tells nothing about the server
        if opened or status is None or status.code is not grpc.StatusCode.UNAVAILABLE:
            channel.failure = None
            self._endpoints.report(channel.endpoint, reached=True)
            return
        channel.failure = status
        self._endpoints.report(channel.endpoint, reached=False)
        target = self.targets[channel.endpoint]
        if proxy_of(target, self._proxy) is None:
            self._diagnosis.look(target, status)

    def _retire(self, credentials: object) -> None:
        """Close channels of older credentials once their last call is over."""
        old = [
            channel
            for channel in self._channels
            if channel.credentials is not credentials and not channel.calls
        ]
        for channel in old:
            self._channels.remove(channel)
            closing = asyncio.ensure_future(_close(channel))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all channels; calls that are still open end as CANCELLED."""
        self._closed = True
        channels, self._channels = self._channels, []
        await self._diagnosis.close()
        await asyncio.gather(*self._closing, *map(_close, channels))


async def _close(channel: _Channel) -> None:
    if channel.kind == "aio":
        await channel.opened.close(grace=None)
    else:
        channel.opened.close()


def agreed_tls(targets: tuple[Target, ...], tls: TLS | bool | None) -> TLS | None:
    """Return how to secure a connection; ``None`` is plaintext.

    Raises:
        ConfigurationError: ``tls`` and the target contradict each other.
    """
    written = targets[0].tls
    if written is not None and tls is not None and written is not bool(tls):
        scheme = "https" if written else "http"
        raise ConfigurationError(
            f"tls={tls!r}: the target was written with '{scheme}://', which says the opposite; "
            "give one of the two"
        )
    if isinstance(tls, TLS):
        return tls
    return TLS() if (tls or written) else None


def check_call_credentials(given: object, tls: TLS | None) -> None:
    """Check the ``call_credentials`` option.

    Raises:
        ConfigurationError: it is something else, or there is no TLS.
    """
    if given is None:
        return
    if not isinstance(given, grpc.CallCredentials):
        raise ConfigurationError(
            f"call_credentials=: is {type(given).__name__}; give a grpc.CallCredentials, for "
            "example grpc.access_token_call_credentials(token); plain pairs go in metadata="
        )
    if tls is None:
        raise ConfigurationError(
            "call_credentials=: need TLS, gRPC never sends them in plaintext: add tls=True, or "
            "use metadata="
        )
