"""Message types → the text of a module of ``faust.Record`` classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from .annotations import annotation, default, literal
from .names import class_names, field_names
from .order import needs_later, ordered

__all__ = ["records_source"]

#: What formatters allow by default.
_WIDTH = 88


def records_source(
    roots: Iterable[Descriptor], comments: Mapping[str, str] | None = None, *, origin: str
) -> str:
    """Return the text of a module with a ``faust.Record`` per message type.

    The same types give the same text, whatever order they come in; formatters leave it as it is.

    Arguments:
        roots: message types; what their fields lead to is generated with them.
        comments: comments of messages and fields, by full name.
        origin: what the module's first line says the types are from.
    """
    types = ordered(roots)
    classes = class_names(types)
    later = needs_later(types)
    known = comments or {}
    blocks = [
        "\n".join(_class(described, classes, known, is_lazy=described.full_name in later))
        for described in types
    ]
    body = "\n\n\n".join(blocks)
    if later:
        # A class that names one defined behind it is completed when all are there.
        calls = [f"{classes[t.full_name]}.make_final()" for t in types if t.full_name in later]
        body = "\n".join([body, "", "", *calls])
    return "\n".join([*_head(origin, body, sorted(classes.values())), "", "", body, ""])


def _head(origin: str, body: str, names: list[str]) -> Iterator[str]:
    yield f'"""Records of {_escaped(origin)}: made by `faust-grpc generate`, not to be edited."""'
    yield ""
    yield "from __future__ import annotations"
    yield ""
    imports = [
        _import("collections.abc", ("Mapping", "Sequence"), body),
        _import("datetime", ("datetime", "timedelta"), body),
        _import("typing", ("Any",), body),
    ]
    if any(imports):
        yield from filter(None, imports)
        yield ""
    yield "import faust"
    if "= FieldDescriptor(" in body:
        yield "from faust.models.fields import FieldDescriptor"
    yield ""
    yield "__all__ = ["
    for name in names:
        yield f'    "{name}",'
    yield "]"


def _import(module: str, names: tuple[str, ...], body: str) -> str:
    # In annotations only: comments may have these words too.
    lines = [line for line in body.splitlines() if _FIELD.match(line)]
    used = [name for name in names if any(re.search(rf"\b{name}\b", line) for line in lines)]
    return f"from {module} import {', '.join(used)}" if used else ""


_FIELD = re.compile(r"    \w+: ")


def _class(
    described: Descriptor, classes: Mapping[str, str], comments: Mapping[str, str], *, is_lazy: bool
) -> Iterator[str]:
    names = field_names(described, classes)
    options = ["faust.Record"]
    if any("datetime" in annotation(field, classes) for field in described.fields):
        # Else what is read back from JSON stays text.
        options.append("isodates=True")
    if is_lazy:
        options.append("lazy_creation=True")
    yield f"class {classes[described.full_name]}({', '.join(options)}):"
    yield from _docstring(comments.get(described.full_name, ""), described.full_name)
    if described.fields:
        yield ""
    for field in described.fields:
        yield from _comment(comments.get(field.full_name, ""), field)
        yield _fitted(_attribute(field, names[field.name], classes))


def _docstring(comment: str, full_name: str) -> Iterator[str]:
    if not comment:
        yield f'    """``{full_name}``."""'
        return
    first, *rest = [line.expandtabs().rstrip() for line in comment.splitlines()]
    yield f'    """{_escaped(first)}'
    for line in rest:
        yield f"    {_escaped(line)}" if line else ""
    yield ""
    yield f"    The message ``{full_name}``."
    yield '    """'


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    # A quote behind the opening ones would be one of them.
    return f"\\{text}" if text.startswith('"') else text


def _comment(comment: str, field: FieldDescriptor) -> Iterator[str]:
    lines = [line.expandtabs().rstrip() for line in comment.splitlines()]
    if field.enum_type is not None:
        lines.append(f"One of {', '.join(value.name for value in field.enum_type.values)}.")
    for line in lines:
        yield f"    #: {line}" if line else "    #:"


def _attribute(field: FieldDescriptor, name: str, classes: Mapping[str, str]) -> str:
    unset = default(field)
    if name != field.name:
        unset = f"FieldDescriptor(field={literal(field.name)}, required=False, default={unset})"
    return f"    {name}: {annotation(field, classes)} = {unset}"


def _fitted(line: str) -> str:
    return line if len(line) <= _WIDTH else f"{line}  # fmt: skip"
