"""``faust-grpc tail``: the messages of a stream, as JSON lines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ..cursors import Cursor
from ..schema import schema_from
from .following import Following
from .server import Server, server_options, tls_from

__all__ = ["tail"]


@click.command(short_help="Print the messages of a stream, and keep at it.")
@click.argument("target")
@click.argument("method")
@click.option("--request", "-d", metavar="JSON", help="The request, as JSON or @FILE.")
@click.option(
    "--descriptor-set",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take the types from this file instead of server reflection.",
)
@click.option(
    "--limit", "-n", metavar="N", type=click.IntRange(min=1), help="Stop after N messages."
)
@click.option(
    "--cursor",
    metavar="PATH:INTO",
    help="Resume a broken stream: the response field that holds the position, and the request "
    "field that takes it.",
)
@server_options
def tail(
    target: str,
    method: str,
    request: str | None,
    descriptor_set: Path | None,
    limit: int | None,
    cursor: str | None,
    metadata: Any,
    **tls: Any,
) -> None:
    """Print the messages of METHOD at TARGET, one line of JSON each.

    It reads as a source does: a stream that breaks or ends is called again, behind the last
    message when there is a --cursor. What happens is said on standard error.

    \b
    Examples:
      faust-grpc tail localhost:50051 shop.v1.OrderService/StreamOrders \\
          --request '{"region": "north"}' --cursor sequence:after_sequence
      faust-grpc tail localhost:50051 shop.v1.OrderService/StreamOrders \\
          --request '{"region": "north"}' --limit 100 | jq .total

    Bytes are printed as base64, times as ISO 8601, NaN as null.
    """
    server = Server(target, tls_from(**tls), metadata)
    schema = schema_from(descriptor_set)
    following = Following(server, schema, method, request, _cursor(cursor), limit)
    if asyncio.run(following.run()):
        raise KeyboardInterrupt


def _cursor(option: str | None) -> Cursor | None:
    if option is None:
        return None
    path, colon, into = option.partition(":")
    if not (colon and path and into):
        raise click.BadParameter(
            "write it as PATH:INTO, for example sequence:after_sequence", param_hint="--cursor"
        )
    return Cursor(path, into=into)
