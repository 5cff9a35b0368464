from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from faust_grpc.config import TLS
from faust_grpc.credentials import Pairs, ask, channel_credentials, check_metadata
from faust_grpc.exceptions import CredentialsError

AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("localhost")
ROOTS = AUTHORITY.cert_pem.bytes()
CERTIFICATE = ISSUED.cert_chain_pems[0].bytes()
KEY = ISSUED.private_key_pem.bytes()


def test_pems_from_paths_and_bytes(tmp_path: Path) -> None:
    roots = tmp_path / "ca.pem"
    roots.write_bytes(ROOTS)
    assert channel_credentials(TLS())
    assert channel_credentials(TLS(roots=str(roots)))
    assert channel_credentials(TLS(roots=roots))
    assert channel_credentials(TLS(roots=ROOTS, certificate=CERTIFICATE, key=KEY))


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
        channel_credentials(TLS(**options))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert KEY.split(b"\n")[1].decode() not in str(caught.value)


def test_metadata_in_the_form_that_grpc_sends() -> None:
    expected = (("authorization", "Bearer x"), ("trace-bin", b"\0\xff"))
    given = {"Authorization": "Bearer x", "trace-bin": b"\0\xff"}
    assert check_metadata(given) == expected
    assert check_metadata(list(given.items())) == expected
    assert check_metadata([("a", "1"), ("a", "2")]) == (("a", "1"), ("a", "2"))
    assert check_metadata(None) == ()


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        ({"x y": "secret"}, "may only hold"),
        ({"": "secret"}, "may only hold"),
        ({"naïve": "secret"}, "may only hold"),
        ({":path": "secret"}, "may only hold"),
        ({"grpc-timeout": "secret"}, "reserved"),
        ({"token": "secret\n"}, "outside printable ASCII"),
        ({"token": "sécret"}, "outside printable ASCII"),
        ({"token": b"secret"}, "must be str, not bytes"),
        ({"token": None}, "must be str, not NoneType"),
        ({"token-bin": "secret"}, "must be bytes, not str"),
        ({1: "secret"}, "a name is int"),
        ("secret", "not str"),
        (17, "not int"),
        (["secret"], "not a (name, value) pair"),
        ([("a", "secret", "c")], "not a (name, value) pair"),
    ],
)
def test_unusable_metadata_is_named_but_not_shown(pairs: Any, says: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        check_metadata(pairs)
    assert says in str(caught.value)
    assert "cret" not in str(caught.value)


async def test_asking() -> None:
    async def later() -> Pairs:
        return {"Token": "2"}

    assert await ask(None) == ()
    assert await ask({"Token": "0"}) == (("token", "0"),)
    assert await ask(lambda: [("token", "1")]) == (("token", "1"),)
    assert await ask(lambda: None) == ()
    assert await ask(later) == (("token", "2"),)


async def test_a_provider_s_own_error_is_passed_on() -> None:
    def broken() -> Pairs:
        raise LookupError("vault is sealed")

    with pytest.raises(LookupError, match="vault is sealed"):
        await ask(broken)
