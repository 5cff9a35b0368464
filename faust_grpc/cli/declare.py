"""A method → the declaration of a source, to paste and change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..config import TLS
from ..fields import element_kind, is_map
from ..schema import Method
from .server import Server

__all__ = ["cursor_lines", "declaration_text"]

#: How requests call the field that takes a position.
_RESUME = ("after", "since", "from", "start", "resume", "cursor", "offset", "begin", "last")
#: How messages call their position, and how events call their key.
_POSITION = ("sequence", "seq", "revision", "offset", "cursor", "token", "version", "position")
_KEY = ("id", "key", "uid", "uuid", "name", "symbol", "code")


def declaration_text(method: Method, server: Server, *, schema: Path | None) -> str:
    """Return Python that declares a source; key, timestamp and cursor are guessed from names.

    Arguments:
        method: the method.
        server: how it is reached; values of metadata are not repeated, they may be secrets.
        schema: the descriptor set that its types came from.
    """
    name = method.full_name.rpartition("/")[2]
    options = [
        f"{_quoted(server.target)},",
        f"{_quoted(method.full_name)},",
        *_request(method.input),
        "value_type=dict,",
        *_key_and_timestamp(method.output),
        *cursor_lines(method),
        *_connection(server, schema),
    ]
    imports = _imports(options)
    lines = [f"from faust_grpc import {', '.join(imports)}", "", f"{_snake(name)} = GrpcSource("]
    return "\n".join([*lines, "    app,", *(f"    {option}" for option in options), ")"])


def _imports(options: list[str]) -> list[str]:
    used = {"Cursor": "cursor=Cursor(", "TLS": "tls=TLS("}
    there = [name for name, start in used.items() if any(o.startswith(start) for o in options)]
    return [*sorted(there), "GrpcSource"] if there != ["TLS"] else ["TLS", "GrpcSource"]


def _request(request: Descriptor) -> Iterator[str]:
    if not request.fields:
        return
    yield "request={"
    for field in request.fields:
        yield f'    # "{field.name}": {_kind(field)},'
    yield "},"


def _kind(field: FieldDescriptor) -> str:
    if is_map(field):
        return "{...}"
    if field.message_type is not None:
        kind = field.message_type.name
    elif field.enum_type is not None:
        kind = field.enum_type.name
    else:
        kind = element_kind(field)
    return f"[{kind}, ...]" if field.is_repeated else kind


def _key_and_timestamp(response: Descriptor) -> Iterator[str]:
    key = _best(response, _KEY, kinds=("str", "int"))
    yield f"key={_quoted(key)}," if key else '# key="FIELD",'
    times = [
        field.name
        for field in response.fields
        if field.message_type is not None
        and field.message_type.full_name == "google.protobuf.Timestamp"
        and not field.is_repeated
    ]
    yield f"timestamp={_quoted(times[0])}," if times else '# timestamp="FIELD",'


def cursor_lines(method: Method | None) -> Iterator[str]:
    """Guess how the stream is resumed: a pair of fields of one kind, each named like its part.

    Arguments:
        method: the method; ``None`` when its types are not known.
    """
    if method is None:
        yield "# Without a cursor, what is sent while nobody reads is lost."
        yield '# cursor=Cursor("RESPONSE_FIELD", into="REQUEST_FIELD"),'
        return
    into = _best(method.input, _RESUME, kinds=("int", "str", "bytes"), at_start=True)
    kind = element_kind(method.input.fields_by_name[into]) if into else ""
    path = _best(method.output, _POSITION, kinds=(kind,)) if into else ""
    if into and path:
        yield "# Guessed: messages come in this order, and a call that sends it resumes there."
        yield f"cursor=Cursor({_quoted(path)}, into={_quoted(into)}),"
    else:
        yield "# No field looks like a position: without a cursor, what is sent while nobody"
        yield "# reads is lost."
        yield '# cursor=Cursor("RESPONSE_FIELD", into="REQUEST_FIELD"),'


def _best(
    descriptor: Descriptor,
    words: tuple[str, ...],
    *,
    kinds: tuple[str, ...],
    at_start: bool = False,
) -> str:
    for word in words:
        for field in descriptor.fields:
            part = field.name.split("_")[0 if at_start else -1]
            plain = not field.is_repeated and field.message_type is None
            if part == word and plain and element_kind(field) in kinds:
                return field.name
    return ""


def _connection(server: Server, schema: Path | None) -> Iterator[str]:
    if isinstance(server.tls, TLS):
        given = [
            f"{name}={_quoted(str(value))}"
            for name in ("roots", "certificate", "key")
            if (value := getattr(server.tls, name)) is not None
        ]
        yield f"tls=TLS({', '.join(given)}),"
    elif server.tls:
        yield "tls=True,"
    if server.metadata:
        pairs = ", ".join(f"{_quoted(name)}: {_hidden(value)}" for name, value in server.metadata)
        yield f"metadata={{{pairs}}},"
    if schema is not None:
        yield f"schema={_quoted(str(schema))},"


def _hidden(value: str | bytes) -> str:
    return 'b"..."' if isinstance(value, bytes) else '"..."'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _snake(name: str) -> str:
    words = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
    return words or "source"
