"""Targets: what a user writes, checked at declaration and put in the form that gRPC dials.

gRPC takes almost any text and fails later, as ``UNAVAILABLE``, in a way that does not name the
mistake. So the text is read here first. The syntax is that of gRPC's "Name Resolution" document.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from .exceptions import TargetError, nearest

__all__ = ["Target", "TargetOption", "parse_target", "parse_targets"]

#: A target as it is written: one, or several servers that serve the same.
TargetOption: TypeAlias = "str | Sequence[str]"

_FORMS = "write 'host:port', 'dns:///host:port', 'ipv4:a:port,b:port', 'unix:///path' or 'https://host:port'"
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
#: Of the web's two schemes: whether they mean TLS, and the port that they leave out.
_WEB = {"http": (False, 80), "https": (True, 443)}
_ADDRESSES = {"ipv4": ipaddress.IPv4Address, "ipv6": ipaddress.IPv6Address}
_SCHEMES = (*_WEB, *_ADDRESSES, "dns", "unix", "unix-abstract", "xds")
#: Where gRPC looks for its xDS configuration: a file's path, or the JSON itself.
_XDS_FILE, _XDS_JSON = "GRPC_XDS_BOOTSTRAP", "GRPC_XDS_BOOTSTRAP_CONFIG"


@dataclass(frozen=True)
class Target:
    """A target that gRPC can dial.

    Arguments:
        text: what gRPC dials.
        tls: ``True`` for ``https://``, ``False`` for ``http://``, ``None`` when nothing was said.
        authority: the ``:authority`` to send when gRPC's own choice would not do.
    """

    text: str
    tls: bool | None = None
    authority: str | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each address in it; none for sockets and ``xds:``."""
        scheme, _, rest = self.text.partition(":")
        if scheme in ("unix", "unix-abstract", "xds") and not rest.isdigit():
            return ()
        if scheme == "dns" and rest.startswith("//"):
            items = [rest.rpartition("/")[2]]
        else:
            items = rest.split(",") if scheme in _ADDRESSES else [self.text]
        split = [item.rpartition(":") for item in items]
        return tuple((host.strip("[]").replace("%25", "%"), int(port)) for host, _, port in split)


def parse_targets(option: TargetOption | Target | tuple[Target, ...]) -> tuple[Target, ...]:
    """Read the target option of a source: one target, or several that serve the same.

    What was read before is returned as it is.

    Raises:
        TargetError: one of them cannot be dialled, none is given, one is there twice, or some are
            written with TLS and others without.
    """
    if isinstance(option, str):
        return (parse_target(option),)
    if isinstance(option, Target):
        return (option,)
    if not isinstance(option, Sequence) or not option:
        raise TargetError(f"target={option!r}: give a target, or a list of targets")
    targets = tuple(one if isinstance(one, Target) else parse_target(one) for one in option)
    texts = [target.text for target in targets]
    twice = sorted({text for text in texts if texts.count(text) > 1})
    if twice:
        raise TargetError(f"target={option!r}: {twice[0]!r} is there twice")
    if len({target.tls for target in targets}) > 1:
        raise TargetError(
            f"target={option!r}: some are written with TLS and some without: write all with "
            "'https://', or none and give tls="
        )
    return targets


def parse_target(text: str, environ: Mapping[str, str] = os.environ) -> Target:
    """Read a target.

    Arguments:
        text: ``host:port``, ``dns:///host:port``, ``ipv4:`` or ``ipv6:`` with one or several
            addresses, ``unix:path``, ``unix:///path``, ``unix-abstract:name``, ``http://host``
            or ``https://host`` (with or without a port), ``xds:///service``.
        environ: the process's environment; ``xds:`` needs its configuration there.

    Raises:
        TargetError: gRPC would dial something else than what was meant, or nothing.
    """
    if not isinstance(text, str) or not text.strip():
        raise TargetError(f"target={text!r}: is empty; {_FORMS}")
    if "@" in text:  # the text may hold a password: do not repeat it
        raise TargetError("target: has '@' in it; give user names and passwords as metadata")
    if any(character.isspace() or not character.isprintable() for character in text):
        raise TargetError(f"target={text!r}: has white space in it; {_FORMS}")
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if colon and scheme in _WEB and rest.startswith("//"):
        return _web(text, scheme, rest[2:])
    if colon and scheme in ("unix", "unix-abstract"):
        return _unix(text, scheme, rest)
    if colon and scheme == "dns" and not rest.isdigit():
        return _dns(text, rest)
    if colon and scheme in _ADDRESSES:
        return _addresses(text, scheme, rest)
    if colon and scheme == "xds" and not rest.isdigit():
        return _xds(text, rest, environ)
    if "://" in text:
        known = nearest(scheme, _SCHEMES)
        raise TargetError(f"target={text!r}: gRPC has no scheme {scheme!r}: {known}; {_FORMS}")
    return Target(_endpoint(text, text))


def _web(text: str, scheme: str, rest: str) -> Target:
    rest, _, path = rest.partition("/")
    if path:
        raise TargetError(
            f"target={text!r}: has a path after the port; gRPC takes the path from the method: "
            f"write '{scheme}://{rest}'"
        )
    tls, port = _WEB[scheme]
    if rest and not re.search(r":[^\]]*$", rest):
        rest = f"{rest}:{port}"
    return Target(_endpoint(text, rest), tls=tls)


def _xds(text: str, rest: str, environ: Mapping[str, str]) -> Target:
    if not environ.get(_XDS_FILE) and not environ.get(_XDS_JSON):
        raise TargetError(
            f"target={text!r}: xDS needs its configuration: set {_XDS_FILE} to the path of a "
            f"bootstrap file, or {_XDS_JSON} to its JSON"
        )
    if not rest.startswith("///") or len(rest) == 3:
        raise TargetError(f"target={text!r}: write 'xds:///service'")
    return Target(text)


def _unix(text: str, scheme: str, rest: str) -> Target:
    if rest.startswith("//") and not rest.startswith("///"):
        raise TargetError(
            f"target={text!r}: a unix socket has no host: write 'unix:///path' or 'unix:path'"
        )
    if not rest.strip("/"):
        raise TargetError(f"target={text!r}: names no socket: write 'unix:///path'")
    # gRPC would send the percent-encoded path as the authority, which strict servers refuse.
    return Target(f"{scheme}:{rest}", authority="localhost")


def _dns(text: str, rest: str) -> Target:
    server = ""
    if rest.startswith("//"):
        server, slash, rest = rest[2:].partition("/")
        if not slash:
            raise TargetError(
                f"target={text!r}: '//' starts the name of a DNS server: write 'dns:///{server}'"
            )
    endpoint = _endpoint(text, rest)
    return Target(f"dns://{server}/{endpoint}", authority=endpoint if server else None)


def _addresses(text: str, scheme: str, rest: str) -> Target:
    found = []
    for item in rest.lstrip("/").split(","):
        endpoint = _endpoint(text, item)
        host = endpoint.rpartition(":")[0].strip("[]")
        try:
            _ADDRESSES[scheme](host.partition("%")[0])
        except ValueError:
            raise TargetError(
                f"target={text!r}: {host!r} is not an address; {scheme}: takes addresses, "
                f"names go in 'dns:///{host}:port'"
            ) from None
        found.append(endpoint)
    # Of a list gRPC would send all addresses as the authority; a server expects one.
    return Target(f"{scheme}:{','.join(found)}", authority=found[0])


def _endpoint(text: str, endpoint: str) -> str:
    """Check ``host:port`` and return it."""
    if "," in endpoint:
        several = ", ".join(repr(item.strip()) for item in endpoint.split(","))
        raise TargetError(
            f"target={text!r}: several servers that serve the same are a list: target=[{several}]; "
            "for separate streams give each split its own target"
        )
    endpoint, _, path = endpoint.partition("/")
    if path:
        raise TargetError(
            f"target={text!r}: has a path after the port; gRPC takes the path from the method: "
            f"write {endpoint!r}"
        )
    if endpoint.startswith("["):
        host, bracket, rest = endpoint[1:].partition("]")
        _check_bracketed(text, host, bracket)
        _check_port(text, f"[{host}]", rest)
    else:
        host, _, port = endpoint.partition(":")
        if ":" in port:
            raise _bare_ipv6(text, endpoint)
        if not _HOST.fullmatch(host):
            raise TargetError(f"target={text!r}: {host!r} is not a host name; {_FORMS}")
        _check_port(text, host, endpoint[len(host) :])
    return endpoint


def _check_bracketed(text: str, host: str, bracket: str) -> None:
    try:
        ipaddress.IPv6Address(host.replace("%25", "%").partition("%")[0])
    except ValueError:
        bracket = ""
    if not bracket:
        raise TargetError(f"target={text!r}: '[…]' holds an IPv6 address: write '[::1]:50051'")


def _bare_ipv6(text: str, endpoint: str) -> TargetError:
    try:
        ipaddress.IPv6Address(endpoint)
    except ValueError:
        return TargetError(
            f"target={text!r}: has too many colons; an IPv6 address goes in brackets: '[::1]:50051'"
        )
    return TargetError(
        f"target={text!r}: an IPv6 address goes in brackets: write '[{endpoint}]:50051'"
    )


def _check_port(text: str, host: str, rest: str) -> None:
    port = rest.removeprefix(":")
    if not rest.startswith(":") or not port:
        raise TargetError(
            f"target={text!r}: has no port, and gRPC would dial 443: write '{host}:50051'"
        )
    if not (port.isascii() and port.isdigit() and len(port) < 9 and 0 < int(port) < 65536):
        raise TargetError(f"target={text!r}: {port!r} is not a port: give a number from 1 to 65535")
