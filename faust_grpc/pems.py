"""PEM files of a TLS connection: read, and checked before gRPC's core sees them.

The core takes what it is given and reports a mistake as ``UNAVAILABLE`` when the first call is
made, for ever. Here each is named. No text ever holds a key.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .config import TLS
from .exceptions import CredentialsError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["SYSTEM", "Pems", "check_pems", "expiry", "read_pems", "system_roots"]

#: ``TLS(roots=SYSTEM)``: what the operating system trusts.
SYSTEM = "system"

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_PEM_LIKE = re.compile(r"-----BEGIN |\n")

#: Where distributions keep what they trust, when OpenSSL's own default is not there.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  # Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",  # older RHEL
    "/etc/ssl/ca-bundle.pem",  # openSUSE
    "/etc/ssl/cert.pem",  # Alpine, macOS
)


class Pems(NamedTuple):
    """The contents of the three files; ``None`` where none is given."""

    roots: bytes | None
    certificate: bytes | None
    key: bytes | None


def read_pems(tls: TLS, environ: Mapping[str, str] = os.environ) -> Pems:
    """Read the PEMs of ``tls``, and see that each holds what it should.

    Raises:
        CredentialsError: a file that cannot be read, or that holds something else.
    """
    if tls.roots == SYSTEM:
        roots: bytes | None = system_roots(environ)
    else:
        roots = _read("roots", tls.roots, "CERTIFICATE")
    certificate = _read("certificate", tls.certificate, "CERTIFICATE")
    return Pems(roots, certificate, _read("key", tls.key, "PRIVATE KEY"))


def system_roots(environ: Mapping[str, str] = os.environ) -> bytes:
    """Return the certificates that the operating system trusts.

    Arguments:
        environ: the process's environment: ``SSL_CERT_FILE`` outweighs the system's file, as it
            does for OpenSSL.

    Raises:
        CredentialsError: there is no such file.
    """
    named = environ.get("SSL_CERT_FILE")
    default = ssl.get_default_verify_paths().openssl_cafile
    for path in [named] if named else [default, *_BUNDLES]:
        if os.path.isfile(path):
            where = f"TLS: roots='system' ({path})"
            content = _content(where, path)
            _check_kind(where, content, "CERTIFICATE")
            return content
    if named:
        raise CredentialsError(f"TLS: roots='system': SSL_CERT_FILE={named!r}: no such file")
    raise CredentialsError(
        "TLS: roots='system': this system has no file of trusted certificates: install its "
        "package ca-certificates, or set SSL_CERT_FILE to the path of a PEM file"
    )


def _read(option: str, given: str | Path | bytes | None, kind: str) -> bytes | None:
    if given is None:
        return None
    where, content = f"TLS: {option}=", given
    if isinstance(content, Path):
        content = str(content)
    if isinstance(content, str):
        if _PEM_LIKE.search(content):
            raise CredentialsError(f"{where} is PEM text as str; give it as bytes, or give a path")
        where = f"{where}{content!r}"
        content = _content(where, content)
    _check_kind(where, content, kind)
    return content


def _content(where: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CredentialsError(f"{where}: cannot be read: {error.strerror}") from None


def _check_kind(where: str, content: bytes, kind: str) -> None:
    if not content.strip():
        raise CredentialsError(f"{where}: is empty; a PEM {kind.lower()} is needed")
    found = [label.decode() for label in _BEGIN.findall(content)]
    if not found:
        hint = ""
        if len(content) < 200 and b"\n" not in content.strip() and b"\0" not in content:
            hint = "; if it is a path, give it as str"
        elif content.startswith(b"\x30"):
            hint = "; it looks like DER: convert it with 'openssl x509 -inform der'"
        raise CredentialsError(f"{where}: is not PEM: no '-----BEGIN {kind}-----'{hint}")
    if not any(label.endswith(kind) for label in found):
        raise CredentialsError(f"{where}: holds a PEM {found[0].lower()}, not a {kind.lower()}")
    if "ENCRYPTED PRIVATE KEY" in found or b"Proc-Type: 4,ENCRYPTED" in content:
        raise CredentialsError(
            f"{where}: the key is encrypted; gRPC takes it without a passphrase: "
            "'openssl pkey -in KEY -out PLAIN' removes it"
        )


def check_pems(pems: Pems, *, now: datetime | None = None) -> None:
    """Look into the certificates: dates, and whether the key belongs to ours.

    Arguments:
        pems: as read. What the operating system trusts is big, and is taken as it is.
        now: time to check dates at.

    Raises:
        CredentialsError: they cannot work.
    """
    moment = now or datetime.now(timezone.utc)
    if pems.roots is not None and pems.roots.count(b"-----BEGIN") <= _FEW:
        roots = _parsed("roots", pems.roots)
        if all(_out_of_date(root, moment) for root in roots):
            raise CredentialsError(f"TLS: roots=: {_out_of_date(roots[0], moment)}")
    if pems.certificate is None or pems.key is None:
        return
    chain = _parsed("certificate", pems.certificate)
    dated = _out_of_date(chain[0], moment)
    if dated:
        raise CredentialsError(f"TLS: certificate=: {dated}")
    _check_pair(chain, pems.key)


#: More than that is a whole bundle, in which some roots are always old or odd.
_FEW = 20


def expiry(pems: Pems) -> datetime | None:
    """Return when our own certificate ends, if there is one."""
    if pems.certificate is None:
        return None
    return _parsed("certificate", pems.certificate)[0].not_valid_after_utc


def _parsed(option: str, content: bytes) -> Sequence[Certificate]:
    from cryptography import x509  # 50 ms: only those who need it wait for it

    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise CredentialsError(f"TLS: {option}=: a certificate is damaged: {error}") from None


def _out_of_date(certificate: Certificate, now: datetime) -> str:
    """Say what is wrong with a certificate's dates, if anything is."""
    subject = certificate.subject.rfc4514_string()
    if certificate.not_valid_after_utc <= now:
        return f"the certificate of {subject!r} expired on {certificate.not_valid_after_utc}"
    if certificate.not_valid_before_utc > now:
        begins = certificate.not_valid_before_utc
        return f"the certificate of {subject!r} is not valid before {begins} (is the clock right?)"
    return ""


def _check_pair(chain: Sequence[Certificate], key: bytes) -> None:
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        public = load_pem_private_key(key, None).public_key().public_bytes(*form)
    except (ValueError, TypeError):  # its text might quote the key
        raise CredentialsError("TLS: key=: the private key is damaged") from None
    owners = [
        index for index, one in enumerate(chain) if one.public_key().public_bytes(*form) == public
    ]
    if not owners:
        subject = chain[0].subject.rfc4514_string()
        raise CredentialsError(
            f"TLS: key=: the key does not belong to the certificate of {subject!r}"
        )
    if owners[0]:
        raise CredentialsError(
            f"TLS: certificate=: certificate {owners[0] + 1} is the key's own: it must come "
            "first, then the one that signed it, and so on"
        )
