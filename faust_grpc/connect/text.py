"""A translation → the text of a module that formatters leave as it is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .expressions import Code, literal
from .translation import Call, Translation

__all__ = ["module_text"]

#: What formatters allow by default.
_WIDTH = 88


def module_text(translation: Translation, *, broker: str, suggested: Iterable[str] = ()) -> str:
    """Return the text of a module with a Faust application that does a connector's work.

    Arguments:
        translation: what its configuration became.
        broker: Kafka, as Faust writes it.
        suggested: further lines of the declaration, to be looked at by a person.
    """
    body = "\n".join(
        [
            f"app = faust.App({literal(translation.name)}, broker={literal(broker)})",
            *_metadata(translation),
            *_source(translation, suggested),
        ]
    )
    return "\n".join([*_docstring(translation), "", *_imports(body), "", body, ""])


def _docstring(translation: Translation) -> Iterator[str]:
    yield f'"""What the Kafka Connect connector {_escaped(translation.name)} did.'
    yield ""
    yield from _wrapped("Made by `faust-grpc from-connect`.")
    if translation.lookups:
        yield from ["", "Set these environment variables:", ""]
        for lookup in translation.lookups:
            was = f": {lookup.was} in the connector" if lookup.was else ""
            yield from _item(f"{lookup.variable}{was}")
    if translation.notes:
        yield from ["", "What is not the same:", ""]
        for note in translation.notes:
            end = "" if note.text.endswith("?") else "."
            yield from _item(f"{note.option}: {note.text}{end}")
    yield '"""'


def _item(text: str) -> list[str]:
    return _wrapped(_escaped(text), first="- ", rest="  ")


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _escaped(text: str) -> str:
    """Make text safe inside a docstring."""
    printable = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return printable.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _imports(body: str) -> Iterator[str]:
    yield "from __future__ import annotations"
    yield ""
    uses_environment = "os.environ[" in body
    if uses_environment:
        yield "import os"
    times = [name for name in ("datetime", "timedelta", "timezone") if f"{name}(" in body]
    if "timezone.utc" in body:
        times.append("timezone")
    if times:
        yield f"from datetime import {', '.join(sorted(set(times)))}"
    if times or uses_environment:
        yield ""
    yield "import faust"
    # As isort has it: constants, then classes.
    names = [
        "TLS",
        "Backoff",
        "Buffer",
        "Cursor",
        "GrpcSource",
        "Keepalive",
        "ProtoJson",
        "Timeouts",
    ]
    code = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith("#"))
    used = [name for name in names if f"{name}(" in code or name == "ProtoJson"]
    line = f"from faust_grpc import {', '.join(used)}"
    if len(line) <= _WIDTH:
        yield line
    else:
        yield from ["from faust_grpc import (", *(f"    {name}," for name in used), ")"]


def _metadata(translation: Translation) -> Iterator[str]:
    if not translation.metadata:
        yield ""
        return
    yield from ["", "", "def metadata() -> dict[str, str]:"]
    yield '    """Asked before every call."""'
    yield from _lines("return ", translation.metadata, "", 1)
    yield from ["", ""]


def _source(translation: Translation, suggested: Iterable[str]) -> Iterator[str]:
    yield "source = GrpcSource("
    yield "    app,"
    yield f"    {translation.target.text},"
    yield f"    {translation.method.text},"
    yield f"    name={literal(translation.name)},"
    yield "    # Agents read this topic; without it they get the messages directly."
    yield f"    sink=app.topic({translation.topic.text}),"
    yield "    value_type=ProtoJson,"
    for argument in translation.arguments:
        yield from _lines(f"{argument.name}=", argument.value, ",", 1)
    for line in suggested:
        yield f"    {line}"
    yield ")"


def _lines(before: str, value: Any, after: str, depth: int) -> Iterator[str]:
    """Yield a value, one item a line: with a comma at the end formatters keep it so."""
    indent = "    " * depth
    opening, closing, items = _parts(value)
    if not items:
        yield f"{indent}{before}{opening}{closing}{after}"
        return
    yield f"{indent}{before}{opening}"
    for name, item in items:
        yield from _lines(name, item, ",", depth + 1)
    yield f"{indent}{closing}{after}"


def _parts(value: Any) -> tuple[str, str, list[tuple[str, Any]]]:
    if isinstance(value, Call):
        return f"{value.name}(", ")", [(f"{n}=", v) for n, v in value.arguments.items()]
    if isinstance(value, Mapping):
        return "{", "}", [(f"{literal(name)}: ", item) for name, item in value.items()]
    if isinstance(value, list):
        return "[", "]", [("", item) for item in value]
    return _scalar(value), "", []


def _scalar(value: Any) -> str:
    if isinstance(value, Code):
        return value.text
    if isinstance(value, datetime):
        moment = value.astimezone(timezone.utc)
        numbers = [moment.year, moment.month, moment.day, moment.hour, moment.minute]
        numbers += [moment.second, moment.microsecond]
        return f"datetime({', '.join(map(str, numbers))}, tzinfo=timezone.utc)"
    if isinstance(value, timedelta):
        parts = {"days": value.days, "seconds": value.seconds, "microseconds": value.microseconds}
        return f"timedelta({', '.join(f'{n}={v}' for n, v in parts.items() if v)})"
    return literal(value)
