"""``faust-grpc generate``: ``faust.Record`` classes out of a schema."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from google.protobuf.descriptor import Descriptor, FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from ..exceptions import ConfigurationError, ReflectionFailed, SchemaError, nearest
from ..schema import DescriptorSet, ProtoFiles
from ..schema.files import PoolSchema
from .catalogue import Catalogue
from .output import print_code, say, waiting
from .server import Server, server_options, tls_from

__all__ = ["generate"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Known:
    """What a schema has.

    Arguments:
        services: its services.
        files: its files; empty when a server was asked for its services only.
        sources: the same as they were given, which may have comments.
    """

    services: Sequence[ServiceDescriptor]
    files: Sequence[FileDescriptor] = ()
    sources: Sequence[FileDescriptorProto] = ()

    def messages(self) -> dict[str, Descriptor]:
        """Return all message types of the files, by full name."""
        found: dict[str, Descriptor] = {}
        waiting = [m for file in self.files for m in file.message_types_by_name.values()]
        while waiting:
            described = waiting.pop()
            # What a map is sent as has no object of its own.
            if not described.GetOptions().map_entry:
                found[described.full_name] = described
                waiting.extend(described.nested_types)
        return found


@click.command(short_help="Write faust.Record classes for a schema's messages.")
@click.argument("target", required=False)
@click.option("--descriptor-set", type=_FILE, help="Take the types from this file.")
@click.option(
    "--proto",
    multiple=True,
    type=click.Path(path_type=Path),
    help="From this .proto file or folder; may be repeated. Needs faust-grpc[proto].",
)
@click.option("--module", help="From this generated module, such as shop_pb2.")
@click.option("--service", multiple=True, help="Only messages of this service's methods.")
@click.option("--message", multiple=True, help="Only this message.")
@click.option("--output", "-o", type=_FILE, help="Write this file, not standard output.")
@click.option("--check", type=_FILE, help="Only compare with this file: exit 1 and a diff.")
@server_options
def generate(
    target: str | None,
    descriptor_set: Path | None,
    proto: tuple[Path, ...],
    module: str | None,
    service: tuple[str, ...],
    message: tuple[str, ...],
    output: Path | None,
    check: Path | None,
    metadata: Any,
    **tls: Any,
) -> None:
    """Write a Python module with a faust.Record for each message.

    Without --service and --message: for all messages that streaming methods send (for all there
    are, when there is no such method). What fields lead to comes with them. The same schema gives
    the same text, so --check in CI tells when a committed file is out of date.

    \b
    Examples:
      faust-grpc generate localhost:50051 --output records.py
      faust-grpc generate --descriptor-set orders.binpb --message shop.v1.Order
      faust-grpc generate --proto protos/ --service shop.v1.OrderService
      faust-grpc generate --module shop_pb2 --check records.py
    """
    given = [option for option in (target, descriptor_set, proto, module) if option]
    if len(given) != 1:
        raise click.UsageError("give one of TARGET, --descriptor-set, --proto and --module")
    if output is not None and check is not None:
        raise click.UsageError("give --output or --check, not both")
    if target is not None:
        with waiting(f"asking {target}"):
            known = asyncio.run(_ask(Server(target, tls_from(**tls), metadata)))
    elif module is not None:
        known = _in_module(module)
    else:
        known = _in_pool(DescriptorSet(descriptor_set) if descriptor_set else ProtoFiles(*proto))
    roots = _roots(known, service, message)
    text = _text(roots, known.sources)
    if check is not None:
        _compare(check, text)
    elif output is not None:
        _write(output, text)
    else:
        print_code(text.rstrip("\n"), "python")


def _in_pool(schema: PoolSchema) -> Known:
    return Known(
        [schema.service(name) for name in schema.services()],
        [schema.pool.FindFileByName(name) for name in schema.files],
        list(schema.files.values()),
    )


def _in_module(name: str) -> Known:
    # As `python -m` does: a module beside oneself is found.
    sys.path.insert(0, os.getcwd())
    try:
        module: ModuleType = importlib.import_module(name.removesuffix("_grpc"))
    except ImportError as exc:
        raise SchemaError(f"--module {name}: {exc}") from exc
    finally:
        sys.path.pop(0)
    file = getattr(module, "DESCRIPTOR", None)
    if not isinstance(file, FileDescriptor):
        raise SchemaError(f"--module {name}: it is not generated by protoc (no DESCRIPTOR in it)")
    return Known(list(file.services_by_name.values()), [file])


async def _ask(server: Server) -> Known:
    connection = server.connect()
    try:
        with connection.acquire("aio") as channel:
            catalogue = await Catalogue.ask(channel, server.metadata, None)
    except ReflectionFailed as error:
        raise server.explained(error) from error
    finally:
        await connection.close()
    return Known(catalogue.services)


def _roots(known: Known, services: Iterable[str], messages: Iterable[str]) -> list[Descriptor]:
    roots = [described for name in services for described in _both_ways(known, name)]
    roots += [_message(known, name) for name in messages]
    if not (services or messages):
        roots = [
            method.output_type
            for service in known.services
            for method in service.methods
            if method.server_streaming
        ]
        roots = roots or list(known.messages().values())
    # protobuf's own are Python values.
    roots = [described for described in roots if described.file.package != "google.protobuf"]
    if not roots:
        raise SchemaError("there is no message to make a Record of")
    return roots


def _both_ways(known: Known, name: str) -> list[Descriptor]:
    for service in known.services:
        if name in (service.full_name, service.name):
            return [
                described
                for method in service.methods
                for described in (method.input_type, method.output_type)
            ]
    clause = nearest(name, [service.full_name for service in known.services])
    raise SchemaError(f"--service {name}: there is no such service: {clause}")


def _message(known: Known, name: str) -> Descriptor:
    for service in known.services[:1]:
        pool = service.file.pool
        try:
            return pool.FindMessageTypeByName(name)
        except KeyError:
            pass  # looked for by the end of its name below
    everything = known.messages()
    if name in everything:
        return everything[name]
    found = Catalogue(known.services).find(name).descriptor if known.services else None
    if not isinstance(found, Descriptor):
        raise SchemaError(f"--message {name}: no such message: {nearest(name, everything)}")
    return found


def _text(roots: Sequence[Descriptor], sources: Sequence[FileDescriptorProto]) -> str:
    # Here, because it takes Faust, and that a second: other commands start without.
    from ..generate import comments_in, records_source

    packages = sorted({described.file.package or "(no package)" for described in roots})
    return records_source(roots, comments_in(sources), origin=", ".join(packages))


def _compare(committed: Path, text: str) -> None:
    try:
        found = committed.read_text(encoding="utf-8")
    except OSError as exc:
        reason = (exc.strerror or type(exc).__name__).lower()
        raise ConfigurationError(f"--check {committed}: {reason}") from exc
    if found == text:
        return
    lines = difflib.unified_diff(
        found.splitlines(keepends=True),
        text.splitlines(keepends=True),
        str(committed),
        "as the schema is now",
    )
    click.echo("".join(lines), nl=False)
    say(f"faust-grpc: {committed} does not match the schema: run generate with --output again")
    raise click.exceptions.Exit(1)


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as exc:
        reason = (exc.strerror or type(exc).__name__).lower()
        raise ConfigurationError(f"--output {output}: {reason}") from exc
