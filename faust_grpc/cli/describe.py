"""``faust-grpc describe``: what a server offers, and how to declare a source of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from ..exceptions import ReflectionFailed
from ..schema import DescriptorSet
from .catalogue import Catalogue
from .declare import declaration_text
from .output import print_code, waiting
from .server import Server, server_options, tls_from

__all__ = ["describe"]


@click.command(short_help="Show a server's services, methods and messages.")
@click.argument("target", required=False)
@click.argument("name", required=False)
@click.option(
    "--descriptor-set",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Describe this file; no server is asked.",
)
@server_options
def describe(
    target: str | None, name: str | None, descriptor_set: Path | None, metadata: Any, **tls: Any
) -> None:
    """Show what the server at TARGET offers; it is asked by server reflection.

    Without NAME: its services and their methods. NAME is a service, a method, a message or an
    enum; a method comes with its types and a GrpcSource declaration to paste.

    \b
    Examples:
      faust-grpc describe localhost:50051
      faust-grpc describe localhost:50051 shop.v1.OrderService
      faust-grpc describe localhost:50051 shop.v1.OrderService/StreamOrders
      faust-grpc describe https://api.example.com:443 -H "x-api-key=$KEY"
      faust-grpc describe --descriptor-set orders.binpb shop.v1.Order
    """
    if descriptor_set is not None:
        if name is not None:
            raise click.UsageError("give a TARGET or --descriptor-set, not both")
        name = target
        catalogue = Catalogue.of(DescriptorSet(descriptor_set))
        server = Server("localhost:50051", tls_from(**tls), metadata)
    elif target is None:
        raise click.UsageError("Missing argument 'TARGET' (or give --descriptor-set)")
    else:
        server = Server(target, tls_from(**tls), metadata)
        with waiting(f"asking {target}"):
            catalogue = asyncio.run(_ask(server, name))
    if name is None:
        click.echo(catalogue.overview())
        return
    found = catalogue.find(name)
    print_code(found.text(), "protobuf")
    if found.method is not None:
        click.echo()
        print_code(declaration_text(found.method, server, schema=descriptor_set), "python")


async def _ask(server: Server, name: str | None) -> Catalogue:
    connection = server.connect()
    try:
        with connection.acquire("aio") as channel:
            return await Catalogue.ask(channel, server.metadata, name)
    except ReflectionFailed as error:
        raise server.explained(error) from error
    finally:
        await connection.close()
