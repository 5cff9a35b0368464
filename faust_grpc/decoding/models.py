"""Model classes seen alike: a faust.Record, a dataclass, a named tuple, a msgspec or pydantic one.

Faust is not imported here: a Record is known by what every Record class carries.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["Field", "Model", "is_model", "is_pydantic", "model_of"]


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a model class.

    Arguments:
        name: its name in the class.
        source: the name it is read from (``input_name`` of a Record's field).
        annotation: its type.
        has_default: an unset field is left to the class.
    """

    name: str
    source: str
    annotation: Any
    has_default: bool


@dataclasses.dataclass(frozen=True)
class Model:
    """What it takes to make an object of a model class.

    Arguments:
        fields: its fields, in order.
        blank: what unset fields start from.
        construct: a function from a dict of field values to the object.
    """

    fields: tuple[Field, ...]
    blank: dict[str, Any]
    construct: Callable[[dict[str, Any]], Any]


def is_record(cls: Any) -> bool:
    """Return whether a class is a faust.Record."""
    return isinstance(cls, type) and hasattr(cls, "_options") and hasattr(cls, "asdict")


def is_model(cls: Any) -> bool:
    """Return whether objects of a class are made field by field."""
    return isinstance(cls, type) and (
        is_record(cls) or dataclasses.is_dataclass(cls) or _is_named_tuple(cls) or _is_msgspec(cls)
    )


def _is_named_tuple(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def _is_msgspec(cls: Any) -> bool:
    return hasattr(cls, "__struct_fields__") and hasattr(cls, "__struct_config__")


def is_pydantic(cls: Any) -> bool:
    """Return whether a class is a pydantic model."""
    return isinstance(cls, type) and hasattr(cls, "model_validate") and hasattr(cls, "model_fields")


def model_of(cls: Any) -> Model:
    """Return how a Record, dataclass, named tuple or msgspec struct is made.

    Raises:
        ConfigurationError: it cannot be made, or its annotations cannot be read.
    """
    if is_record(cls):
        return _record(cls)
    try:
        hints = typing.get_type_hints(cls)
    except NameError as exc:
        raise ConfigurationError(
            f"value_type={cls.__name__}: an annotation cannot be read: {exc}"
        ) from exc
    if _is_msgspec(cls):
        fields = _struct(cls, hints)
    else:
        fields = _named_tuple(cls, hints) if _is_named_tuple(cls) else _dataclass(cls, hints)
    return Model(fields, {}, lambda values: cls(**values))


def _record(cls: Any) -> Model:
    if getattr(cls, "__is_abstract__", False):
        raise ConfigurationError(f"value_type={cls.__name__}: the Record is abstract")
    options = cls._options
    fields = tuple(
        Field(name, descriptor.input_name, descriptor.type, not descriptor.required)
        for name, descriptor in options.descriptors.items()
    )
    blank = dict(options.defaults)
    if _is_plain_record(cls):
        lazy = [
            name for name, descriptor in options.descriptors.items() if descriptor.lazy_coercion
        ]
        return Model(fields, blank, _bare(cls, lazy))
    return Model(fields, blank, lambda values: cls(**values))


def _is_plain_record(cls: Any) -> bool:
    """Whether the constructor does nothing but store what it is given."""
    options = cls._options
    return (
        cls.__init__ is getattr(cls, "_model_init", None)
        and not hasattr(cls, "__post_init__")
        and not options.validation
        and not options.has_tagged_fields
        and not any(descriptor.coerce for descriptor in options.descriptors.values())
    )


def _bare(cls: Any, lazy: list[str]) -> Callable[[dict[str, Any]], Any]:
    """Make a Record without its constructor: 0.5 µs where that takes 6 for ten fields.

    The constructor sends every value through a Python-level ``__set__``. What it leaves is the
    object's ``__dict__`` and the set of fields that are converted already: all, here.
    """
    new = object.__new__

    def construct(values: dict[str, Any]) -> Any:
        record = new(cls)
        values["__evaluated_fields__"] = set(lazy)
        record.__dict__ = values
        return record

    return construct


def _dataclass(cls: Any, hints: dict[str, Any]) -> tuple[Field, ...]:
    return tuple(
        Field(
            field.name,
            str(field.metadata.get("field", field.name)),
            hints[field.name],
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING,
        )
        for field in dataclasses.fields(cls)
        if field.init
    )


def _named_tuple(cls: Any, hints: dict[str, Any]) -> tuple[Field, ...]:
    return tuple(
        Field(name, name, hints.get(name, Any), name in cls._field_defaults) for name in cls._fields
    )


def _struct(cls: Any, hints: dict[str, Any]) -> tuple[Field, ...]:
    from msgspec import NODEFAULT
    from msgspec.structs import fields

    return tuple(
        Field(
            field.name,
            field.encode_name,
            hints[field.name],
            field.default is not NODEFAULT or field.default_factory is not NODEFAULT,
        )
        for field in fields(cls)
    )
