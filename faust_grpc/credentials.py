"""Credentials: certificates and metadata, checked in Python before gRPC's core sees them.

The core takes what it is given and reports a mistake as ``UNAVAILABLE`` or ``INTERNAL`` when the
first call is made, or ends the process. No text here ever holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import isawaitable
from pathlib import Path
from typing import TypeAlias

import grpc

from .config import TLS
from .exceptions import CredentialsError
from .types import Metadata

__all__ = ["MetadataProvider", "Pairs", "ask", "channel_credentials", "check_metadata"]

#: Metadata as people write it.
Pairs: TypeAlias = "Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]"

#: Metadata, or a function asked for it before every call (a token that is renewed, say).
MetadataProvider: TypeAlias = "Pairs | Callable[[], Pairs | Awaitable[Pairs | None] | None] | None"

# gRPC over HTTP/2: Custom-Metadata → Header-Name is 1*( %x30-39 / %x61-7A / "_" / "-" / ".")
_NAME = re.compile(r"[0-9a-z_.-]+")
# ASCII-Value is 1*( %x20-%x7E ): space and printable ASCII.
_VALUE = re.compile(r"[\x20-\x7e]*")
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_PEM_LIKE = re.compile(r"-----BEGIN |\n")


def channel_credentials(tls: TLS) -> grpc.ChannelCredentials:
    """Read and check the PEMs of ``tls`` and make credentials of them.

    Raises:
        CredentialsError: a file that cannot be read, or that holds something else.
    """
    roots = _read("roots", tls.roots, "CERTIFICATE")
    certificate = _read("certificate", tls.certificate, "CERTIFICATE")
    key = _read("key", tls.key, "PRIVATE KEY")
    return grpc.ssl_channel_credentials(
        root_certificates=roots, private_key=key, certificate_chain=certificate
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
        path = content
        where = f"{where}{path!r}"
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise CredentialsError(f"{where}: cannot be read: {error.strerror}") from None
    _check_pem(where, content, kind)
    return content


def _check_pem(where: str, content: bytes, kind: str) -> None:
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
        raise CredentialsError(f"{where}: the key is encrypted; gRPC takes it without a passphrase")


def check_metadata(pairs: Pairs | None) -> Metadata:
    """Return metadata in the form that gRPC sends.

    Arguments:
        pairs: names to values, or pairs of them (a name may come twice). Names are made lower
            case; values of names that end in ``-bin`` are bytes, all others str.

    Raises:
        CredentialsError: a name or a value that gRPC would refuse. It names the name only.
    """
    if pairs is None:
        return ()
    return tuple(_pair(item) for item in _items(pairs))


def _items(pairs: object) -> list[object]:
    if isinstance(pairs, Mapping):
        return list(pairs.items())
    if not isinstance(pairs, Iterable) or isinstance(pairs, (str, bytes)):
        raise CredentialsError(
            "metadata: give a dict or a list of (name, value) pairs, not " + type(pairs).__name__
        )
    return list(pairs)


def _pair(item: object) -> tuple[str, str | bytes]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise CredentialsError("metadata: an item is not a (name, value) pair")
    name, value = item
    if not isinstance(name, str):
        raise CredentialsError(f"metadata: a name is {type(name).__name__}, not str")
    lower = name.lower()
    if not _NAME.fullmatch(lower):
        raise CredentialsError(
            f"metadata: the name {name!r} may only hold letters, digits, '-', '_' and '.'"
        )
    if lower.startswith("grpc-"):
        raise CredentialsError(f"metadata: the name {name!r}: 'grpc-' is reserved for gRPC itself")
    if lower.endswith("-bin"):
        if not isinstance(value, bytes):
            raise CredentialsError(
                f"metadata: {name!r} ends in '-bin', so its value must be bytes, "
                f"not {type(value).__name__}"
            )
    elif not isinstance(value, str):
        raise CredentialsError(
            f"metadata: the value of {name!r} must be str, not {type(value).__name__}; "
            "bytes need a name that ends in '-bin'"
        )
    elif not _VALUE.fullmatch(value):
        raise CredentialsError(
            f"metadata: the value of {name!r} has a character outside printable ASCII "
            "(a line break at its end, perhaps)"
        )
    return lower, value


async def ask(provider: MetadataProvider) -> Metadata:
    """Return the metadata of the next call.

    Called before every call, since metadata is sent only when a call opens: a renewed token
    needs a new call. What the provider raises is passed on.

    Raises:
        CredentialsError: the provider gave something that gRPC would refuse.
    """
    if not callable(provider):
        return check_metadata(provider)
    answer = provider()
    if isawaitable(answer):
        answer = await answer
    return check_metadata(answer)
