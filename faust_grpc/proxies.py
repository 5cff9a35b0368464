"""The HTTP proxy that a connection goes through: as gRPC's core decides it, for people to see.

The core reads the process's environment itself. Its rules differ from those of other programs, so
they are repeated here; each was found by running it (grpcio 1.85).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

from .exceptions import ConfigurationError
from .targets import Target

__all__ = ["Proxy", "ProxyOption", "check_proxy", "proxy_of"]

#: ``None``: as the environment says. ``False``: none. A text: ``http://host:port``.
ProxyOption: TypeAlias = "str | bool | None"

# Lower case only. The first that is set decides, even when it is empty.
_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPT = ("no_grpc_proxy", "no_proxy")


class Proxy(NamedTuple):
    """A proxy in use.

    Arguments:
        address: ``host:port``; never with a user's name or password.
        origin: the variable or option that names it.
    """

    address: str
    origin: str

    def __str__(self) -> str:
        return f"{self.address} ({self.origin})"


def check_proxy(option: ProxyOption) -> None:
    """Check the ``proxy`` option.

    Raises:
        ConfigurationError: it is no proxy that gRPC can use. The text has no password in it.
    """
    if option is None or option is False:
        return
    if not isinstance(option, str):
        raise ConfigurationError(
            f"proxy={option!r}: give 'http://host:port', False for no proxy, or leave it out: "
            "then the environment decides"
        )
    url = _url(option)
    if url is None or url.scheme != "http":
        found = f"'{url.scheme}:'" if url is not None and url.scheme else "no scheme"
        raise ConfigurationError(
            f"proxy=: has {found}; gRPC goes through HTTP proxies only: write 'http://host:port'"
        )


def proxy_of(
    target: Target, option: ProxyOption = None, environ: Mapping[str, str] = os.environ
) -> Proxy | None:
    """Return the proxy that gRPC dials instead of a target, or ``None``.

    Arguments:
        target: where to connect; sockets are never reached through a proxy.
        option: the ``proxy`` option; it outweighs the variables that name a proxy, not those
            that name exceptions.
        environ: the process's environment.
    """
    if option is False or not target.endpoints:
        return None
    if isinstance(option, str):
        origin, text = "proxy=", option
    else:
        origin = next((name for name in _VARIABLES if name in environ), "")
        text = environ.get(origin, "")
    url = _url(text)
    if url is None or url.scheme != "http":
        return None  # of others gRPC logs that it cannot use them, and dials directly
    if all(_is_excepted(host, environ) for host, _ in target.endpoints):
        return None
    return Proxy(url.netloc.rpartition("@")[2], origin)


def _url(text: str) -> SplitResult | None:
    try:
        url = urlsplit(text)
    except ValueError:
        return None
    return url if url.hostname else None


def _is_excepted(host: str, environ: Mapping[str, str]) -> bool:
    name = next((name for name in _EXCEPT if name in environ), "")
    entries = (entry.strip().lower() for entry in environ.get(name, "").split(","))
    return any(_fits(host.lower(), entry) for entry in entries if entry)


def _fits(host: str, entry: str) -> bool:
    """Whether an entry of ``no_proxy`` is the host, a domain above it, or a network around it."""
    domain = entry.removeprefix(".")
    if host == domain or host.endswith(f".{domain}"):
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
