from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import trustme

from faust_grpc.config import TLS
from faust_grpc.exceptions import CredentialsError
from faust_grpc.pems import Pems, check_pems, expiry, read_pems, system_roots

AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("localhost")
ROOTS = AUTHORITY.cert_pem.bytes()
CERTIFICATE = ISSUED.cert_chain_pems[0].bytes()
KEY = ISSUED.private_key_pem.bytes()
NOW = datetime.now(timezone.utc)


def dated(begins: datetime, ends: datetime) -> Pems:
    issued = AUTHORITY.issue_cert("localhost", not_before=begins, not_after=ends)
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return Pems(ROOTS, chain, issued.private_key_pem.bytes())


def test_pems_from_paths_and_bytes(tmp_path: Path) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_bytes(ROOTS)
    assert read_pems(TLS()) == Pems(None, None, None)
    assert read_pems(TLS(roots=str(roots))).roots == ROOTS
    assert read_pems(TLS(roots=roots)).roots == ROOTS
    pems = read_pems(TLS(roots=ROOTS, certificate=CERTIFICATE, key=KEY))
    assert pems == Pems(ROOTS, CERTIFICATE, KEY)
    check_pems(pems)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"roots": "/no/such/ca.pem"}, "'/no/such/ca.pem': cannot be read: No such file"),
        ({"roots": "/"}, "cannot be read: Is a directory"),
        ({"roots": b""}, "roots=: is empty"),
        ({"roots": b" \n"}, "roots=: is empty"),
        ({"roots": b"/etc/ca.pem"}, "if it is a path, give it as str"),
        ({"roots": b"\x30\x82" + bytes(500)}, "looks like DER"),
        ({"roots": ROOTS.decode()}, "PEM text as str"),
        ({"roots": KEY}, "not a certificate"),
        ({"certificate": KEY, "key": KEY}, "certificate=: holds a PEM"),
        ({"certificate": CERTIFICATE, "key": CERTIFICATE}, "key=: holds a PEM certificate"),
        (
            {
                "certificate": CERTIFICATE,
                "key": b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n",
            },
            "the key is encrypted",
        ),
    ],
)
def test_unusable_pems_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        read_pems(TLS(**options))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY.split(b"\n")[1].decode() not in str(caught.value)


@pytest.mark.parametrize(
    ("pems", "says"),
    [
        (Pems(ROOTS, CERTIFICATE, AUTHORITY.issue_cert("x").private_key_pem.bytes()), "belong"),
        (Pems(ROOTS, ROOTS + CERTIFICATE, KEY), "certificate 2 is the key's own"),
        (dated(NOW - timedelta(9), NOW - timedelta(1)), "expired on"),
        (dated(NOW + timedelta(1), NOW + timedelta(9)), "not valid before"),
        (
            Pems(CERTIFICATE[:99] + CERTIFICATE[140:], None, None),
            "roots=: a certificate is damaged",
        ),
        (Pems(None, CERTIFICATE, KEY[:99] + KEY[140:]), "the private key is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_named(pems: Pems, says: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        check_pems(pems)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY.split(b"\n")[1].decode() not in str(caught.value)


def test_roots_are_refused_when_all_have_expired() -> None:
    other = trustme.CA()
    late = datetime(9000, 1, 1, tzinfo=timezone.utc)
    with pytest.raises(CredentialsError, match=r"roots=: the certificate of .* expired on"):
        check_pems(Pems(ROOTS + other.cert_pem.bytes(), None, None), now=late)


def test_when_our_own_ends() -> None:
    ends = (NOW + timedelta(9)).replace(microsecond=0)
    assert expiry(dated(NOW, ends)) == ends
    assert expiry(Pems(ROOTS, None, None)) is None


def test_what_the_system_trusts(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ROOTS)
    assert system_roots({"SSL_CERT_FILE": str(bundle)}) == ROOTS
    with pytest.raises(CredentialsError, match=r"SSL_CERT_FILE='/no/bundle.pem': no such file"):
        system_roots({"SSL_CERT_FILE": "/no/bundle.pem"})
    bundle.write_bytes(KEY)
    with pytest.raises(CredentialsError, match="not a certificate"):
        system_roots({"SSL_CERT_FILE": str(bundle)})


def test_the_system_s_own_file() -> None:
    """Certificates, or one line that says where they were looked for."""
    try:
        found = system_roots({}).decode()
    except CredentialsError as exc:
        found = str(exc)
    assert found.count("-----BEGIN CERTIFICATE-----") > 10 or "SSL_CERT_FILE" in found
