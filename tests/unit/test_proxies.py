from __future__ import annotations

from typing import Any

import pytest

from faust_grpc.exceptions import ConfigurationError
from faust_grpc.proxies import check_proxy, proxy_of
from faust_grpc.targets import parse_target

PROXY = "http://me:hunter2@proxy:3128"


def used(target: str, option: Any = None, **environ: str) -> str:
    return str(proxy_of(parse_target(target), option, environ) or "")


def test_the_first_variable_that_is_set_decides() -> None:
    assert used("orders:1", grpc_proxy=PROXY) == "proxy:3128 (grpc_proxy)"
    assert used("orders:1", https_proxy=PROXY) == "proxy:3128 (https_proxy)"
    assert used("orders:1", http_proxy=PROXY, https_proxy="http://b") == "b (https_proxy)"
    assert used("orders:1", http_proxy=PROXY, grpc_proxy="") == ""
    assert used("orders:1", HTTP_PROXY=PROXY) == ""
    assert used("orders:1") == ""


def test_what_grpc_cannot_use_is_not_used() -> None:
    assert used("orders:1", http_proxy="https://proxy:3128") == ""
    assert used("orders:1", http_proxy="proxy:3128") == ""
    assert used("orders:1", http_proxy="socks5://proxy:3128") == ""
    assert used("orders:1", http_proxy="http://[") == ""


@pytest.mark.parametrize(
    ("target", "no_proxy", "excepted"),
    [
        ("localhost:1", "localhost", True),
        ("127.0.0.1:1", "localhost", False),
        ("127.0.0.1:1", "a, 127.0.0.1", True),
        ("127.0.0.1:1", "127.0.0.0/8", True),
        ("127.0.0.1:1", "127.0.0.1:1", False),
        ("dns:///a.shop.org:1", "shop.org", True),
        ("a.shop.org:1", ".shop.org", True),
        ("a.shop.org:1", "SHOP.ORG", True),
        ("workshop.org:1", "shop.org", False),
        ("orders:1", "*", False),
    ],
)
def test_exceptions(target: str, no_proxy: str, excepted: bool) -> None:
    assert (used(target, http_proxy=PROXY, no_proxy=no_proxy) == "") is excepted
    assert used(target, http_proxy=PROXY, no_grpc_proxy="", no_proxy=no_proxy) != ""
    assert (used(target, PROXY, no_grpc_proxy=no_proxy) == "") is excepted


def test_the_option_outweighs_the_environment() -> None:
    assert used("orders:1", False, http_proxy=PROXY) == ""
    assert used("orders:1", "http://own:1", http_proxy=PROXY) == "own:1 (proxy=)"


def test_sockets_have_no_proxy() -> None:
    assert used("unix:///run/feed.sock", http_proxy=PROXY) == ""


@pytest.mark.parametrize("option", [None, False, PROXY])
def test_options_that_are_right(option: Any) -> None:
    check_proxy(option)


@pytest.mark.parametrize(
    "option", [True, 5, "proxy:3128", "https://me:hunter2@proxy", "socks5://proxy:1", ""]
)
def test_options_that_are_wrong(option: Any) -> None:
    with pytest.raises(ConfigurationError, match="'http://host:port'") as caught:
        check_proxy(option)
    assert "hunter2" not in str(caught.value)
