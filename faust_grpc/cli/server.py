"""What the commands that call a server share: options, the connection, the types."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
from grpc import StatusCode

from ..config import TLS
from ..connection import Connection
from ..credentials import check_metadata
from ..exceptions import CredentialsError, ReflectionFailed
from ..types import Metadata, Status

__all__ = ["Server", "server_options", "tls_from"]

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Server:
    """How to reach a server, as the options say.

    Arguments:
        target: as a source's ``target``.
        tls: as a source's ``tls``.
        metadata: sent with every call.
    """

    target: str
    tls: TLS | bool | None
    metadata: Metadata = field(repr=False)

    def connect(self) -> Connection:
        """Return a connection; raises ConfigurationError for what cannot be dialled."""
        return Connection(self.target, tls=self.tls)

    def explained(self, error: ReflectionFailed) -> ReflectionFailed:
        """Return an error of server reflection with what is probably wrong, or would help here."""
        advice = self.connect().explain(Status(StatusCode.UNKNOWN, str(error)))
        if not error.retryable:
            advice = "here: --descriptor-set FILE"
        text = f"{error} [{advice}]" if advice else str(error)
        return ReflectionFailed(text, retryable=error.retryable)


def server_options(command: F) -> F:
    """Add the options that say how to reach a server; the command gets ``tls`` and ``metadata``."""
    options = [
        click.option("--tls", "use_tls", is_flag=True, help="Use TLS (as 'https://' does)."),
        click.option("--roots", type=_FILE, help="PEM file of certificates to trust; implies TLS."),
        click.option("--certificate", type=_FILE, help="PEM file of our certificate, for mTLS."),
        click.option("--key", type=_FILE, help="PEM file of its private key."),
        click.option(
            "--metadata",
            "-H",
            multiple=True,
            metavar="NAME=VALUE",
            callback=_metadata,
            help="Send with every call; may be repeated. Values of '-bin' names are base64.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def tls_from(
    use_tls: bool, roots: Path | None, certificate: Path | None, key: Path | None
) -> TLS | bool | None:
    """Return what the options mean as a source's ``tls``."""
    if roots is None and certificate is None and key is None:
        return True if use_tls else None
    return TLS(roots=_text(roots), certificate=_text(certificate), key=_text(key))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _metadata(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> Metadata:
    # Never the value in an error: it may be a secret.
    pairs: list[tuple[str, str | bytes]] = []
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise click.BadParameter("write it as NAME=VALUE", ctx, option)
        if name.lower().endswith("-bin"):
            try:
                pairs.append((name, base64.b64decode(value, validate=True)))
            except binascii.Error:
                raise click.BadParameter(
                    f"{name}: the value of a '-bin' name is base64", ctx, option
                ) from None
        else:
            pairs.append((name, value))
    try:
        return check_metadata(pairs)
    except CredentialsError as error:
        raise click.BadParameter(str(error).removeprefix("metadata: "), ctx, option) from error
