"""A closer look at a server that cannot be reached: what gRPC does not tell.

gRPC names the last address it tried, and neither whose certificate it refused nor whether another
program would find the name. Looking costs a connection, so it is done in the background, now and
then; what was found is told with the next failure.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from .config import TLS
from .targets import Target
from .types import Status

__all__ = ["Diagnosis", "addresses_tried", "certificate_seen", "resolved_by_system"]

#: How long one look may take.
TIMEOUT_SECONDS = 3.0
#: How long a finding is good for.
REPEAT_SECONDS = 60.0


class Diagnosis:
    """Findings about the servers of one connection.

    Arguments:
        tls: as the connection's; ``None`` is plaintext.
    """

    def __init__(self, tls: TLS | None) -> None:
        self._tls = tls
        self._findings: dict[tuple[_Look, Target], str] = {}
        self._looked: dict[tuple[_Look, Target], float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, target: Target, status: Status) -> None:
        """Look at a target in the background, if that may tell more about a failure."""
        look, now = _look_for(status), time.monotonic()
        if look is None or not target.endpoints:
            return
        if now - self._looked.get((look, target), float("-inf")) < REPEAT_SECONDS:
            return
        self._looked[look, target] = now
        task = asyncio.ensure_future(self._find(look, target))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def finding(self, status: Status) -> str:
        """Return what was found about such a failure, or ``""``."""
        wanted = _look_for(status)
        found = [text for (look, _), text in self._findings.items() if look is wanted]
        return "; ".join(filter(None, dict.fromkeys(found)))

    async def close(self) -> None:
        """End looks that are under way."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _find(self, look: _Look, target: Target) -> None:
        try:
            found = await asyncio.wait_for(look.at(target, self._tls), TIMEOUT_SECONDS)
        except (OSError, asyncio.TimeoutError, ValueError):
            found = ""  # it cannot be seen from here either
        self._findings[look, target] = found


async def certificate_seen(target: Target, tls: TLS | None) -> str:
    """Tell whose certificate a server shows, and who signed it."""
    from cryptography import x509

    if tls is None:
        return ""
    host, port = target.endpoints[0]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # to look at what is refused; nothing is sent
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname=tls.server_name or host
    )
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    certificate = x509.load_der_x509_certificate(shown)
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    return f"it shows the certificate of {subject!r}{_names(certificate)}, issued by {issuer!r}"


def _names(certificate: object) -> str:
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ""
    names = [str(name.value) for name in extension.value]
    return f" (for {', '.join(names[:5])}{', …' if len(names) > 5 else ''})"


async def resolved_by_system(target: Target, _tls: TLS | None) -> str:
    """Tell whether the operating system knows a name that gRPC could not resolve."""
    host, port = target.endpoints[0]
    try:
        addresses = await _addresses(host, port)
    except socket.gaierror as error:
        return f"the system's resolver does not know {host!r} either: {error.strerror}"
    return (
        f"the system's resolver knows {host!r} ({', '.join(addresses)}): start the worker with "
        "GRPC_DNS_RESOLVER=native in its environment, then gRPC asks it too"
    )


async def addresses_tried(target: Target, _tls: TLS | None) -> str:
    """Tell what each address of a target answers."""
    asked = [
        (address, port)
        for host, port in target.endpoints
        for address in await _addresses(host, port)
    ]
    if len(asked) < 2:
        return ""  # gRPC named it
    answers = await asyncio.gather(*(_answer(address, port) for address, port in asked))
    return "tried " + ", ".join(answers)


async def _addresses(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


async def _answer(address: str, port: int) -> str:
    shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError as error:
        return f"{shown} ({(error.strerror or str(error)).lower()})"
    writer.transport.abort()
    return f"{shown} (answers)"


class _Look(NamedTuple):
    """A failure, told by its text, and how to look closer."""

    pattern: re.Pattern[str]
    at: Callable[[Target, TLS | None], Awaitable[str]]


_LOOKS = (
    _Look(
        re.compile(
            "CERTIFICATE_VERIFY_FAILED|Hostname Verification Check failed"
            "|is not in peer certificate"
        ),
        certificate_seen,
    ),
    _Look(
        re.compile("errors resolving|DNS resolution failed|address lookup failed"),
        resolved_by_system,
    ),
    _Look(
        re.compile("failed to connect to all addresses.*(refused|timed out|unreachable|No route)"),
        addresses_tried,
    ),
)


def _look_for(status: Status) -> _Look | None:
    return next((look for look in _LOOKS if look.pattern.search(status.details)), None)
