"""Metadata of calls, checked in Python before gRPC's core sees it. No text here holds a value.

The core reports bad metadata as ``INTERNAL`` when the call is made, which looks like a fault of
the server.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from inspect import isawaitable
from typing import TypeAlias

from .exceptions import CredentialsError
from .types import Metadata

__all__ = ["CallMetadata", "MetadataProvider", "Pairs", "ask", "check_metadata", "hide"]

#: Metadata as people write it.
Pairs: TypeAlias = "Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]"

#: Metadata, or a function asked for it before every call (a token that is renewed, say).
MetadataProvider: TypeAlias = "Pairs | Callable[[], Pairs | Awaitable[Pairs | None] | None] | None"

# gRPC over HTTP/2: Custom-Metadata → Header-Name is 1*( %x30-39 / %x61-7A / "_" / "-" / ".")
_NAME = re.compile(r"[0-9a-z_.-]+")
# ASCII-Value is 1*( %x20-%x7E ): space and printable ASCII.
_VALUE = re.compile(r"[\x20-\x7e]*")
#: Shorter values are no secrets, and are found in texts by chance.
_SECRET_LENGTH = 6


class CallMetadata(tuple[tuple[str, "str | bytes"], ...]):
    """The metadata of one call, and how long it may be used. Its ``repr`` shows no value.

    A provider may return one: gRPC sends metadata only when a call opens, so a call whose token
    is known to end is opened again before it does.
    """

    expires_at: float | None

    def __new__(
        cls, pairs: Pairs | None = None, *, expires_at: float | datetime | None = None
    ) -> CallMetadata:
        """Check the pairs.

        Arguments:
            pairs: names to values, or pairs of them, as for ``metadata=``.
            expires_at: when it ends: seconds since the epoch, or a ``datetime`` with a time zone.
                ``None``: not known.

        Raises:
            CredentialsError: a name or a value that gRPC would refuse, or a time without zone.
        """
        made = super().__new__(cls, check_metadata(pairs))
        if isinstance(expires_at, datetime):
            if expires_at.tzinfo is None:
                raise CredentialsError("expires_at=: the datetime has no time zone")
            expires_at = expires_at.timestamp()
        elif expires_at is not None and not isinstance(expires_at, (int, float)):
            raise CredentialsError(
                "expires_at=: give seconds since the epoch or a datetime, "
                f"not {type(expires_at).__name__}"
            )
        made.expires_at = expires_at
        return made

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self)
        return f"<CallMetadata {names or 'empty'}>"

    def hide(self, text: str) -> str:
        """Return a text, of the server say, without the values that it repeats."""
        return hide(text, self)


def hide(text: str, metadata: Metadata) -> str:
    """Return a text with each value of metadata in it replaced by its name."""
    for name, value in metadata:
        if isinstance(value, bytes):
            continue
        for secret in (value, value.rpartition(" ")[2]):  # with and without "Bearer"
            if len(secret) >= _SECRET_LENGTH:
                text = text.replace(secret, f"<{name}>")
    return text


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


async def ask(provider: MetadataProvider) -> CallMetadata:
    """Return the metadata of the next call.

    Called before every call, since metadata is sent only when a call opens: a renewed token
    needs a new call. What the provider raises is passed on.

    Raises:
        CredentialsError: the provider gave something that gRPC would refuse.
    """
    answer = provider() if callable(provider) else provider
    if isawaitable(answer):
        answer = await answer
    return answer if isinstance(answer, CallMetadata) else CallMetadata(answer)
