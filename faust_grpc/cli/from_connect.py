"""``faust-grpc from-connect``: a Kafka Connect connector's configuration as a declaration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..connect import Connector, module_text, read_connector, translate
from ..exceptions import ConfigurationError, SchemaError
from ..schema import DescriptorSet, Method
from .declare import cursor_lines
from .output import print_code, say

__all__ = ["from_connect"]

_DESCRIPTOR = "grpc.proto.descriptor"


@click.command("from-connect", short_help="Turn a Kafka Connect connector into a source.")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--descriptor-set",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take the types from this file, not from where the connector has it.",
)
@click.option(
    "--broker",
    default="kafka://localhost:9092",
    show_default=True,
    help="Kafka, as Faust writes it.",
)
def from_connect(file: Path, descriptor_set: Path | None, broker: str) -> None:
    """Print a Faust application that does what a kafka-connect-grpc connector does.

    FILE is the connector's configuration: properties, or JSON as Connect's REST interface has it;
    "-" is standard input. Nothing is connected to. What has no equal is said in the text, with
    why; values that look like secrets become environment variables.

    \b
    Examples:
      faust-grpc from-connect orders.properties > app.py
      faust-grpc from-connect orders.json --descriptor-set orders.binpb
      curl -s connect:8083/connectors/orders | faust-grpc from-connect -
    """
    connector = read_connector(_read(file), str(file))
    options = dict(connector.options)
    if descriptor_set is not None:
        options[_DESCRIPTOR] = str(descriptor_set)
    connector = Connector(connector.name, options)
    method = _method(connector, is_given=descriptor_set is not None)
    translation = translate(connector, method=method)
    suggested = cursor_lines(method)
    print_code(module_text(translation, broker=broker, suggested=suggested).rstrip("\n"), "python")
    if translation.notes:
        say(f"faust-grpc: not the same: {len(translation.notes)}; see the first lines of the text")


def _read(file: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        # Connect reads properties as ISO 8859-1 only when they are not UTF-8 by mistake.
        return raw.decode("utf-8")
    except OSError as exc:
        reason = (exc.strerror or type(exc).__name__).lower()
        raise ConfigurationError(f"{file}: {reason}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{file}: not text in UTF-8") from exc


def _method(connector: Connector, *, is_given: bool) -> Method | None:
    """Return the method with its types, when the descriptor set is here."""
    descriptor = connector.options.get(_DESCRIPTOR, "").strip()
    if not descriptor:
        return None
    name = "/".join(
        connector.options.get(option, "").strip()
        for option in ("grpc.service.name", "grpc.method.name")
    )
    try:
        return DescriptorSet(descriptor).method(name)
    except SchemaError:
        if is_given or Path(descriptor).exists():
            raise
        # It is where the connector runs.
        return None
