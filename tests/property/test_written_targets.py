"""Targets: whatever is written is dialled as it is meant, or refused in one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from faust_grpc.exceptions import TargetError
from faust_grpc.proxies import proxy_of
from faust_grpc.targets import Target, parse_target

HOSTS = ["a", "orders", "127.0.0.1", "127.1", "::1", "[::1]", "[", "]", "é"]
MARKS = ["%", ":", "/", "//", "///", ",", ".", "-", "@", " ", "\n"]
PORTS = ["443", "0", "99999", "٣", "9" * 5000]
SCHEMES = ["dns", "ipv4", "ipv6", "unix", "http", "https", "xds"]
PIECES = st.sampled_from([*HOSTS, *MARKS, *PORTS, *SCHEMES])
WRITTEN = st.one_of(st.text(), st.lists(PIECES, max_size=9).map("".join))
ENVIRON = {"http_proxy": "http://proxy:3128", "no_proxy": "orders,10.0.0.0/8,::1"}


def read(text: str) -> Target | str:
    """Return what is dialled, or what is said."""
    try:
        return parse_target(text, {})
    except TargetError as error:
        return str(error)


@given(WRITTEN)
def test_anything_is_read_or_refused_in_one_line(text: str) -> None:
    target = read(text)
    if isinstance(target, str):
        assert len(target.splitlines()) == 1
        return
    for host, port in target.endpoints:
        assert host
        assert 0 < port < 65536
    proxy_of(target, environ=ENVIRON)


@given(WRITTEN)
def test_what_was_read_is_read_again_as_it_is(text: str) -> None:
    target = read(text)
    if isinstance(target, Target):
        again = read(str(target))
        assert isinstance(again, Target)
        assert (again.text, again.authority) == (target.text, target.authority)


@given(st.sampled_from(["", "https://", "dns:///"]), WRITTEN, WRITTEN)
def test_a_password_is_never_repeated(scheme: str, user: str, host: str) -> None:
    said = read(f"{scheme}{user}:hunter2@{host}")
    assert isinstance(said, str)
    assert "hunter2" not in said
