from __future__ import annotations

import pytest

from faust_grpc.exceptions import TargetError
from faust_grpc.targets import Target, parse_target, parse_targets


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("localhost:50051", Target("localhost:50051")),
        ("orders.shop.svc.cluster.local.:443", Target("orders.shop.svc.cluster.local.:443")),
        ("order_service:1", Target("order_service:1")),
        ("127.0.0.1:65535", Target("127.0.0.1:65535")),
        ("[::1]:50051", Target("[::1]:50051")),
        ("dns:50051", Target("dns:50051")),
        ("dns:///orders:50051", Target("dns:///orders:50051")),
        ("dns:orders:50051", Target("dns:///orders:50051")),
        (
            "dns://10.0.0.1/orders:50051",
            Target("dns://10.0.0.1/orders:50051", authority="orders:50051"),
        ),
        ("ipv4:10.0.0.1:5", Target("ipv4:10.0.0.1:5", authority="10.0.0.1:5")),
        (
            "ipv4:10.0.0.1:5,10.0.0.2:6",
            Target("ipv4:10.0.0.1:5,10.0.0.2:6", authority="10.0.0.1:5"),
        ),
        ("ipv6:[::1]:5,[::2]:5", Target("ipv6:[::1]:5,[::2]:5", authority="[::1]:5")),
        ("unix:run/feed.sock", Target("unix:run/feed.sock", authority="localhost")),
        ("unix:///run/feed.sock", Target("unix:///run/feed.sock", authority="localhost")),
        ("unix-abstract:feed", Target("unix-abstract:feed", authority="localhost")),
        ("http://orders:50051", Target("orders:50051", tls=False)),
        ("https://orders:50051/", Target("orders:50051", tls=True)),
        ("HTTPS://orders:50051", Target("orders:50051", tls=True)),
        ("https://[::1]:50051", Target("[::1]:50051", tls=True)),
        ("https://orders", Target("orders:443", tls=True)),
        ("http://orders/", Target("orders:80", tls=False)),
        ("https://[::1]", Target("[::1]:443", tls=True)),
    ],
)
def test_accepted(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("localhost", "gRPC would dial 443: write 'localhost:50051'"),
        ("localhost:", "gRPC would dial 443: write 'localhost:50051'"),
        ("[::1]", "gRPC would dial 443: write '[::1]:50051'"),
        ("dns:///orders", "write 'orders:50051'"),
        ("https://", "is not a host name"),
        ("localhost:0", "'0' is not a port"),
        ("localhost:65536", "'65536' is not a port"),
        ("localhost:grpc", "'grpc' is not a port"),
        ("localhost:٣", "'٣' is not a port"),
        ("localhost:50051/shop.Orders", "path after the port"),
        ("https://localhost:50051/shop.Orders", "write 'https://localhost:50051'"),
        ("::1", "write '[::1]:50051'"),
        ("fe80::1:50051", "in brackets"),
        ("[localhost]:50051", "holds an IPv6 address"),
        ("a:1,b:2", "are a list: target=['a:1', 'b:2']"),
        ("ipv4:orders:50051", "'dns:///orders:port'"),
        ("ipv4:10.0.0.1:5,10.0.0.2", "has no port"),
        ("ipv6:10.0.0.1:5", "is not an address"),
        ("dns://orders:50051", "write 'dns:///orders:50051'"),
        ("unix:", "names no socket"),
        ("unix://host/run/feed.sock", "a unix socket has no host"),
        ("xds:///orders", "set GRPC_XDS_BOOTSTRAP"),
        ("dsn:///orders:1", "no scheme 'dsn': did you mean 'xds', 'dns'"),
        ("postgres://orders:1", "no scheme 'postgres'"),
        (":50051", "is not a host name"),
        ("-orders:50051", "is not a host name"),
        ("orders:50051 ", "white space"),
        ("orders\n:50051", "white space"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_target(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(TargetError) as caught:
        parse_target("https://reader:hunter2@orders:50051")
    assert "hunter2" not in str(caught.value)


def test_reads_as_what_is_dialled() -> None:
    assert str(parse_target("https://orders:50051")) == "orders:50051"


def test_xds_needs_its_configuration() -> None:
    environ = {"GRPC_XDS_BOOTSTRAP": "/etc/xds.json"}
    assert parse_target("xds:///orders", environ) == Target("xds:///orders")
    with pytest.raises(TargetError, match="write 'xds:///service'"):
        parse_target("xds:orders", environ)


@pytest.mark.parametrize(
    ("text", "endpoints"),
    [
        ("orders:50051", [("orders", 50051)]),
        ("dns:50051", [("dns", 50051)]),
        ("dns://10.0.0.1/orders:50051", [("orders", 50051)]),
        ("ipv4:10.0.0.1:5,10.0.0.2:6", [("10.0.0.1", 5), ("10.0.0.2", 6)]),
        ("ipv6:[::1]:5", [("::1", 5)]),
        ("[fe80::1%25eth0]:5", [("fe80::1%eth0", 5)]),
        ("unix:///run/feed.sock", []),
        ("https://orders", [("orders", 443)]),
    ],
)
def test_hosts_and_ports(text: str, endpoints: list[tuple[str, int]]) -> None:
    assert list(parse_target(text).endpoints) == endpoints


def test_several_that_serve_the_same() -> None:
    assert parse_targets("a:1") == (Target("a:1"),)
    assert parse_targets(["a:1", "b:2"]) == (Target("a:1"), Target("b:2"))
    both = parse_targets(["https://a", "https://b:2"])
    assert both == (Target("a:443", tls=True), Target("b:2", tls=True))
    assert parse_targets(both) == both
    assert parse_targets(both[0]) == both[:1]


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ([], "give a target, or a list"),
        (5, "give a target, or a list"),
        (["a:1", "a:1"], "'a:1' is there twice"),
        (["a:1", "https://b"], "some are written with TLS and some without"),
        (["a:1", "b"], "write 'b:50051'"),
    ],
)
def test_several_that_cannot_be(option: object, says: str) -> None:
    with pytest.raises(TargetError) as caught:
        parse_targets(option)  # type: ignore[arg-type]  # what users do
    assert says in str(caught.value)
