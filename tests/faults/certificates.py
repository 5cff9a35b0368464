"""Certificates for servers and readers that fail in every way certificates can."""

from __future__ import annotations

import ssl
from datetime import datetime, timedelta, timezone
from pathlib import Path

import trustme

__all__ = ["AUTHORITY", "chain_of", "client_pair", "expired", "server_context", "write_pair"]

AUTHORITY = trustme.CA(organization_name="The Authority")


def chain_of(issued: trustme.LeafCert) -> bytes:
    """Return a certificate and those that signed it, as PEM."""
    return b"".join(pem.bytes() for pem in issued.cert_chain_pems)


def client_pair(*, valid_seconds: float = 3600) -> trustme.LeafCert:
    """Return a reader's own certificate."""
    now = datetime.now(timezone.utc)
    return AUTHORITY.issue_cert(
        "reader", not_before=now - timedelta(1), not_after=now + timedelta(seconds=valid_seconds)
    )


def expired(*names: str) -> trustme.LeafCert:
    """Return a certificate that ended yesterday."""
    now = datetime.now(timezone.utc)
    return AUTHORITY.issue_cert(*names, not_before=now - timedelta(9), not_after=now - timedelta(1))


def server_context(
    issued: trustme.LeafCert, *, alpn: bool = True, leaf_only: bool = False, mutual: bool = False
) -> ssl.SSLContext:
    """Return TLS for a server.

    Arguments:
        issued: its certificate.
        alpn: offer HTTP/2.
        leaf_only: leave out the certificates that signed it.
        mutual: ask readers for a certificate, and look at its dates.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if leaf_only:
        with (
            issued.private_key_pem.tempfile() as key,
            issued.cert_chain_pems[0].tempfile() as certificate,
        ):
            context.load_cert_chain(certificate, key)
    else:
        issued.configure_cert(context)
    if alpn:
        context.set_alpn_protocols(["h2"])
    if mutual:
        AUTHORITY.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def write_pair(folder: Path, issued: trustme.LeafCert) -> tuple[Path, Path]:
    """Write a certificate and its key as files, and return their paths."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    certificate.write_bytes(chain_of(issued))
    key.write_bytes(issued.private_key_pem.bytes())
    return certificate, key
