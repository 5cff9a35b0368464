"""What a gRPC channel is told when it is made. Each option is there for a reason."""

from __future__ import annotations

from typing import TypeAlias

from .config import Backoff, Balance, Buffer, Keepalive
from .proxies import ProxyOption
from .targets import Target

__all__ = ["SINGLE_THREADED", "ChannelOption", "channel_options"]

ChannelOption: TypeAlias = "tuple[str, str | int]"

#: Servers explain a refusal in metadata; core's own limit of 8 KiB turns a long explanation into
#: RESOURCE_EXHAUSTED.
MAX_METADATA_BYTES = 64 * 1024
#: Core fails calls at once while it waits to connect again. It must not wait much longer than
#: our own backoff, or a server that came back would be found late.
MAX_RECONNECT_MS = 5_000
#: The part of a buffer's bytes that HTTP/2 may hold before it (core announces up to twice this).
#: What is in flight is lost when a stream is reset, so a small buffer has a small window. Measured
#: on loopback: 64 KiB to 1 MiB read equally fast; below, a long way to the server costs speed.
LOOKAHEAD_DIVISOR = 64
LOOKAHEAD_BYTES = (16 * 1024, 4 * 1024 * 1024)

# The value of grpc.experimental.ChannelOptions.SingleThreadedUnaryStream: calls of the sync stack
# are then read by the thread that iterates them, about ten times as fast.
SINGLE_THREADED = ("SingleThreadedUnaryStream", 1)
#: The servers behind one name share the calls. Core's own default takes the first that answers.
ROUND_ROBIN = '{"loadBalancingConfig":[{"round_robin":{}}]}'


def channel_options(
    target: Target,
    *,
    server_name: str | None = None,
    proxy: ProxyOption = None,
    balance: Balance = "failover",
    connect_seconds: float,
    keepalive: Keepalive,
    buffer: Buffer,
    backoff: Backoff,
) -> list[ChannelOption]:
    """Return the options of a channel to one target.

    Arguments:
        target: where it goes.
        server_name: the name that the server's certificate must carry, if it is not the target's.
        proxy: the proxy to use, ``False`` for none, ``None`` as the environment says.
        balance: between the addresses of the target, when it has several.
        connect_seconds: how long TCP, TLS and HTTP/2's first frames may take.
        keepalive: pings.
        buffer: its bounds set what HTTP/2 may hold and the largest message.
        backoff: core's own reconnect backoff is made to agree with it.
    """
    least, most = LOOKAHEAD_BYTES
    initial_ms = round(backoff.initial_seconds * 1000)
    options: list[ChannelOption] = [
        ("grpc.max_receive_message_length", buffer.message_size_bytes or -1),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", round(keepalive.interval_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(keepalive.timeout_seconds * 1000)),
        # Core waits at least a minute for the answer to a ping, keepalive's too, unless told here.
        ("grpc.http2.ping_timeout_ms", round(keepalive.timeout_seconds * 1000)),
        # Core stops after two pings without data, which is what a quiet stream is.
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", initial_ms),
        # This is core's connect time-out too.
        ("grpc.min_reconnect_backoff_ms", round(connect_seconds * 1000)),
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
    if server_name:
        options.append(("grpc.ssl_target_name_override", server_name))
    if proxy is False:
        options.append(("grpc.enable_http_proxy", 0))
    elif isinstance(proxy, str):
        options.append(("grpc.http_proxy", proxy))
    if balance == "round_robin":
        options.append(("grpc.service_config", ROUND_ROBIN))
    return options
