"""What is probably wrong, told from how a call ended.

gRPC reports a wrong certificate, a wrong port and a proxy in the way all as ``UNAVAILABLE``; what
tells them apart is the text. The texts are those of gRPC's C core, as found by provoking each;
an unknown text is left alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .types import Status

__all__ = ["explain"]


class Rule(NamedTuple):
    """A text of gRPC and its probable cause.

    Arguments:
        pattern: found in the details.
        cause: one line.
        tls: holds only for connections with (``True``) or without TLS; ``None``: for both.
        proxy: an HTTP proxy may be behind it.
    """

    pattern: re.Pattern[str]
    cause: str
    tls: bool | None = None
    proxy: bool = False


def _rule(pattern: str, cause: str, *, tls: bool | None = None, proxy: bool = False) -> Rule:
    return Rule(re.compile(pattern, re.IGNORECASE), cause, tls, proxy)


_CONNECTING = r"failed to connect to all addresses.*"
_CLOSED = r"(Socket closed|Connection reset by peer|Broken pipe)"

#: The first rule that fits is the answer.
_RULES = (
    # The TLS handshake.
    _rule(
        r"WRONG_VERSION_NUMBER",
        "the server does not speak TLS on this port: use tls=False, or 'http://' in the target",
    ),
    _rule(
        r"certificate has expired",
        "the server's certificate has expired (or this machine's clock is wrong)",
    ),
    _rule(
        r"certificate is not yet valid",
        "the server's certificate is not valid yet (or this machine's clock is wrong)",
    ),
    _rule(
        r"CERTIFICATE_VERIFY_FAILED",
        "the server's certificate is not signed by a root that is trusted here, or its chain is "
        "incomplete (the server must send the certificates between its own and the root): give "
        'TLS(roots=...) the file of the authority that signed it, or TLS(roots="system") if the '
        "operating system trusts it",
    ),
    _rule(
        r"Hostname Verification Check failed|is not in peer certificate",
        "the server's certificate is for another name than the target's: give "
        "TLS(server_name=...), or dial the name that the certificate carries",
    ),
    _rule(
        r"missing selected ALPN property",
        "the server speaks TLS but does not offer HTTP/2 (ALPN 'h2'): it is no gRPC server, or a "
        "proxy before it does not pass HTTP/2",
    ),
    _rule(
        _CONNECTING + r"Handshake read failed",
        "the server closed or never answered the TLS handshake: the port may not speak TLS",
    ),
    _rule(
        r"Getting metadata from plugin failed",
        "call_credentials= failed: gRPC asks them for metadata before each call",
    ),
    # What answers is no gRPC server.
    _rule(
        r"HTTP proxy returned response code",
        "the HTTP proxy refused to open a connection to the target",
        proxy=True,
    ),
    _rule(
        r"Expected SETTINGS frame as the first frame|Failed parsing HTTP/2|an http1\.x server",
        "something that is not HTTP/2 answers on this port (an HTTP/1 server, perhaps)",
        proxy=True,
    ),
    _rule(
        r"Received http2 header with status: 413",
        "a proxy's limit on the size of a request: what a long call sends adds up there",
        proxy=True,
    ),
    _rule(
        r"Received http2 header with status: 429",
        "a proxy's limit on the rate of calls",
        proxy=True,
    ),
    _rule(
        r"Received http2 header with status: 50[23]",
        "a proxy answered: the gRPC server behind it is down or not ready",
        proxy=True,
    ),
    _rule(
        r"Received http2 header with status: 504",
        "a proxy answered: the gRPC server behind it kept it waiting for too long",
        proxy=True,
    ),
    _rule(
        r"Received http2 header with status: \d+",
        "a proxy or web server answered instead of the gRPC server: check the target and what "
        "stands before it",
        proxy=True,
    ),
    _rule(
        r"upstream connect error|no healthy upstream",
        "Envoy cannot reach the gRPC server behind it",
        proxy=True,
    ),
    _rule(
        # The shorter text is that of older cores.
        r"Data frame with END_STREAM|^Stream removed$",
        "the stream ended without a gRPC status: a web page, a proxy, or a server that died",
        proxy=True,
    ),
    # No connection.
    _rule(
        r"Connection refused",
        "nothing listens on this address and port: is the server up, is the port right?",
        proxy=True,
    ),
    _rule(
        r"errors resolving|DNS resolution failed|address lookup failed|Domain name not found",
        "the host name cannot be resolved: is it spelled right, and known to this machine's DNS? "
        "(gRPC asks DNS by itself; GRPC_DNS_RESOLVER=native in the environment makes it ask the "
        "system)",
    ),
    _rule(r"unix:.*No such file or directory", "the unix socket does not exist"),
    _rule(
        r"No route to host|Network is unreachable|connect.*timed out$|Deadline.*connect",
        "the address does not answer: a firewall, or a wrong address",
        proxy=True,
    ),
    _rule(
        r"timed out before receiving SETTINGS",
        "the port accepts connections but says nothing: a server that hangs, or one that waits "
        "for TLS ('https://' in the target)",
        tls=False,
        proxy=True,
    ),
    _rule(
        r"timed out before receiving SETTINGS",
        "the port accepts connections but says nothing: a server that hangs",
        proxy=True,
    ),
    _rule(
        _CONNECTING + _CLOSED,
        "the server closed the connection at once: it probably expects TLS; use tls=True, or "
        "'https://' in the target",
        tls=False,
        proxy=True,
    ),
    _rule(
        _CONNECTING + _CLOSED,
        "the server closed the connection at once: it may ask for a client certificate "
        "(TLS(certificate=..., key=...))",
        tls=True,
    ),
    _rule(
        _CONNECTING + _CLOSED,
        "the server closed the connection at once: it expects TLS, or a client certificate",
        proxy=True,
    ),
    # The connection stood.
    _rule(
        r"too[_ ]many[_ ]pings",
        "the server forbids pings this often: raise Keepalive(interval_seconds=...)",
    ),
    _rule(
        r"GOAWAY received",
        "the server, or a proxy, closes the connection in order: a restart, or its greatest age",
    ),
    _rule(r"RST_STREAM with error code", "the server, or a proxy, reset the stream"),
    _rule(
        r"Received message larger than max",
        "a message is larger than Buffer(message_size_bytes=...) allows",
    ),
    _rule(
        r"received metadata size exceeds|metadata size exceeds",
        "the server's headers or error text are larger than gRPC accepts",
    ),
    _rule(
        r"Error parsing 'grpc-encoding'",
        "the server compresses in a way that gRPC for Python does not know (it knows gzip and "
        "deflate)",
    ),
    _rule(
        r"Decompression failed|error decompressing data|Compression bit set but no encoding",
        "the server sent a message that cannot be decompressed",
    ),
    _rule(
        r"keepalive watchdog timeout|ping timeout",
        "the server did not answer a ping in time: the connection was half open, or the server "
        "hangs",
    ),
)


def explain(status: Status, *, tls: bool | None = None, proxy: str = "") -> str:
    """Return one line on what is probably wrong, or ``""`` when the status speaks for itself.

    Arguments:
        status: how the call ended.
        tls: whether the connection uses TLS; ``None`` is not known.
        proxy: the HTTP proxy that the connection goes through, for people.
    """
    for rule in _RULES:
        if rule.tls in (None, tls) and rule.pattern.search(status.details):
            return rule.cause + (_PROXY.format(proxy) if proxy and rule.proxy else "")
    return ""


_PROXY = (
    "; this goes through the HTTP proxy {}, so it may be the proxy: proxy=False dials the server "
    "itself, no_proxy excludes hosts (as the target writes them: localhost is not 127.0.0.1)"
)
