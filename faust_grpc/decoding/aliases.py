"""Pydantic models whose fields have other names than the message's: aliases, ``from_``, camelCase.

Such a model validates a dict by its own names, so a plain value's keys are renamed first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, get_args

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..fields import is_map
from .models import is_pydantic

__all__ = ["Aliases", "alias_source", "finds_itself"]

Rename: TypeAlias = Callable[[dict[str, Any]], None]


def alias_source(name: str, descriptor: Descriptor) -> FieldDescriptor | None:
    """Return the field of a message that a model's name means."""
    fields = descriptor.fields_by_name
    # A name that Python keeps for itself is written with an underscore.
    found = fields.get(name) or fields.get(name.rstrip("_"))
    return found or descriptor.fields_by_camelcase_name.get(name)


def finds_itself(info: Any) -> bool:
    """Return whether a pydantic field looks in places of its own (``validation_alias``)."""
    # An alias is one for validation too.
    return info.validation_alias not in (None, info.alias)


class Aliases:
    """Compiles what renames the keys of plain values, in place; nested models included."""

    def __init__(self) -> None:
        self._compiled: dict[tuple[Any, str], Rename] = {}

    def of(self, cls: Any, descriptor: Descriptor) -> Rename:
        """Return the function that renames a message's keys for a pydantic model."""
        pair = cls, descriptor.full_name
        if pair not in self._compiled:
            names: list[tuple[str, str]] = []
            nested: list[tuple[str, Rename]] = []
            # Known before its fields are compiled: they may hold the same pair again.
            self._compiled[pair] = _renaming(names, nested)
            for name, info in cls.model_fields.items():
                target = info.alias or name
                field = alias_source(target, descriptor)
                if field is None or finds_itself(info):
                    continue
                if field.name != target:
                    names.append((field.name, target))
                nested.extend((target, rename) for rename in self._inside(info.annotation, field))
        return self._compiled[pair]

    def _inside(self, annotation: Any, field: FieldDescriptor) -> Iterator[Rename]:
        value = field.message_type
        if is_map(field) and value is not None:
            value = value.fields_by_name["value"].message_type
        models = list(_models_in(annotation))
        # The well-known types are no dicts of their fields.
        if value is not None and len(models) == 1 and value.file.package != "google.protobuf":
            rename = self.of(models[0], value)
            if is_map(field):
                yield lambda values: _each(values.values(), rename)
            elif field.is_repeated:
                yield lambda values: _each(values, rename)
            else:
                yield rename


def _each(values: Any, rename: Rename) -> None:
    for value in values:
        rename(value)


def _models_in(annotation: Any) -> Iterator[Any]:
    if is_pydantic(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _renaming(names: list[tuple[str, str]], nested: list[tuple[str, Any]]) -> Rename:
    def rename(values: dict[str, Any]) -> None:
        for name, target in names:
            values[target] = values.pop(name)
        for target, inside in nested:
            if values[target] is not None:
                inside(values[target])

    return rename
