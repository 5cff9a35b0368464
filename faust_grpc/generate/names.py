"""Names of messages and fields → names that Python and Faust leave free."""

from __future__ import annotations

import builtins
import keyword
from collections import Counter
from collections.abc import Iterable, Mapping

import faust
from google.protobuf.descriptor import Descriptor

__all__ = ["class_names", "field_names"]

#: What the generated text itself uses.
IMPORTED = frozenset(
    {"Any", "FieldDescriptor", "Mapping", "Sequence", "datetime", "faust", "timedelta"}
)
#: Arguments of every Record's constructor.
_ARGUMENTS = frozenset({"kwargs", "self"})
_RECORD = frozenset(dir(faust.Record))
_TYPES = frozenset({"bool", "bytes", "dict", "float", "int", "list", "str"})


def class_names(types: Iterable[Descriptor]) -> dict[str, str]:
    """Return a class name for each message type, by full name.

    The message's own name, behind the names of the messages it is in: ``Order.Item`` is
    ``OrderItem``. Where two packages have the same, the package comes first: ``ShopV1Order``.
    """
    full_names = {described.full_name: described for described in types}
    short = {name: _joined(name, described) for name, described in full_names.items()}
    clashes = {name for name, count in Counter(short.values()).items() if count > 1}
    names: dict[str, str] = {}
    taken: set[str] = set()
    for full_name in sorted(full_names):
        name = short[full_name]
        if name in clashes:
            name = _capitalized(full_name.split("."))
        names[full_name] = _free(name, taken)
        taken.add(names[full_name])
    return names


def _joined(full_name: str, described: Descriptor) -> str:
    package = described.file.package
    return _capitalized((full_name[len(package) + 1 :] if package else full_name).split("."))


def _capitalized(parts: list[str]) -> str:
    return "".join(part[:1].upper() + part[1:] for part in parts)


def _free(name: str, taken: set[str]) -> str:
    while keyword.iskeyword(name) or name in taken or name in IMPORTED or hasattr(builtins, name):
        name += "_"
    return name


def field_names(described: Descriptor, classes: Mapping[str, str]) -> dict[str, str]:
    """Return an attribute name for each field of a message type, by the field's name.

    The same name, with an underscore behind it where Python or Faust want it for themselves:
    keywords, what every Record has, and names of types. Python changes names that begin with two
    underscores: they begin with one.

    Arguments:
        described: the message type.
        classes: names of all generated classes.
    """
    used = _TYPES | IMPORTED | set(classes.values())
    own = {field.name for field in described.fields}
    names: dict[str, str] = {}
    for field in described.fields:
        name = f"_{field.name.lstrip('_')}" if field.name.startswith("__") else field.name
        while (
            keyword.iskeyword(name)
            or name in _ARGUMENTS
            or name in _RECORD
            or name in used
            or (name != field.name and name in own)
            or name in names.values()
        ):
            name += "_"
        names[field.name] = name
    return names
