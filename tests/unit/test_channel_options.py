from __future__ import annotations

from typing import Any

from faust_grpc.channel_options import channel_options
from faust_grpc.config import Backoff, Buffer, Keepalive
from faust_grpc.targets import parse_target


def options(target: str = "orders:50051", **changed: Any) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "keepalive": Keepalive(),
        "buffer": Buffer(),
        "backoff": Backoff(),
        "connect_seconds": 5.0,
    }
    return dict(channel_options(parse_target(target), **{**defaults, **changed}))


def test_a_channel_shares_its_connection_with_no_other() -> None:
    assert options()["grpc.use_local_subchannel_pool"] == 1


def test_the_authority_of_a_socket() -> None:
    assert options("unix:///run/feed.sock")["grpc.default_authority"] == "localhost"
    assert "grpc.default_authority" not in options()


def test_server_name() -> None:
    assert options(server_name="orders.org")["grpc.ssl_target_name_override"] == "orders.org"
    assert "grpc.ssl_target_name_override" not in options()


def test_proxies() -> None:
    assert not {"grpc.enable_http_proxy", "grpc.http_proxy"} & set(options())
    assert options(proxy=False)["grpc.enable_http_proxy"] == 0
    assert options(proxy="http://proxy:1")["grpc.http_proxy"] == "http://proxy:1"


def test_balance() -> None:
    assert "grpc.service_config" not in options(balance="failover")
    assert "round_robin" in options(balance="round_robin")["grpc.service_config"]


def test_what_http2_may_hold_follows_the_buffer() -> None:
    small, large = Buffer(size_bytes=1), Buffer(size_bytes=1 << 40)
    assert options(buffer=small)["grpc.http2.lookahead_bytes"] == 16 * 1024
    assert options()["grpc.http2.lookahead_bytes"] == 256 * 1024
    assert options(buffer=large)["grpc.http2.lookahead_bytes"] == 4 * 1024 * 1024
    assert options(buffer=small)["grpc.max_receive_message_length"] == -1
    limited = Buffer(message_size_bytes=5)
    assert options(buffer=limited)["grpc.max_receive_message_length"] == 5


def test_core_s_own_backoff_agrees_with_ours() -> None:
    slow = options(backoff=Backoff(initial_seconds=20, maximum_seconds=60))
    assert slow["grpc.initial_reconnect_backoff_ms"] == 20_000
    assert slow["grpc.max_reconnect_backoff_ms"] == 20_000
    assert options()["grpc.max_reconnect_backoff_ms"] == 5_000
