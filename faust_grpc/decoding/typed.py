"""Messages → objects of model classes, field by field as the annotations say.

A field is read into the model's field of the same name (a Record's ``input_name``, a dataclass
field's ``metadata={"field": …}``, a msgspec field's ``name``; ``from_`` reads ``from``, and
``createdAt`` reads ``created_at``). What is not set is the model's
default, or ``None`` where ``Optional``; where neither, a ConversionError. Whether a message
field fits an annotation is checked once, when the source is declared.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from ..exceptions import ConfigurationError, ConversionError, nearest
from ..fields import element_kind, has_presence, is_map
from .aliases import Aliases, alias_source, finds_itself
from .base import Converter
from .models import Field, is_model, is_pydantic, model_of
from .plain import Assembly, PlainConverters, list_of, map_of
from .scalars import Misfit, scalar_converter

__all__ = ["TypedConverters"]

_LISTS: dict[Any, Any] = {tuple: tuple, set: set, frozenset: frozenset}


class TypedConverters:
    """Compiles pairs of model class and message type into converters, each once."""

    def __init__(self) -> None:
        self._plain = PlainConverters()
        self._aliases = Aliases()
        self._models: dict[tuple[Any, str], Converter] = {}

    def model(self, cls: Any, descriptor: Descriptor) -> Converter:
        """Return the converter from a message type to a model class.

        Raises:
            ConfigurationError: a field of the model is not in the message, or of another type.
        """
        pair = cls, descriptor.full_name
        if pair not in self._models:
            if is_pydantic(cls):
                self._models[pair] = self._pydantic(cls, descriptor)
            else:
                self._compile(cls, descriptor)
        return self._models[pair]

    def _compile(self, cls: Any, descriptor: Descriptor) -> None:
        model, assembly = model_of(cls), Assembly()
        sources = {field.name: alias_source(field.source, descriptor) for field in model.fields}
        _check_names(cls, descriptor, model.fields, sources)
        assembly.blank.update(model.blank)
        # Known before its fields are compiled: they may hold the same pair again.
        self._models[cls, descriptor.full_name] = _constructed(assembly, model.construct)
        for field in model.fields:
            source = sources[field.name]
            if source is None:
                continue
            label = f"{cls.__name__}.{field.name}"
            assembly.add(field.name, source, self._checked(cls, field, source))
            if has_presence(source) and not field.has_default:
                if _is_optional(field.annotation):
                    assembly.blank[field.name] = None
                else:
                    assembly.require(field.name, f"{label}: {source.full_name} is not set")

    def _checked(self, cls: Any, field: Field, source: FieldDescriptor) -> Converter:
        try:
            return self._field(field.annotation, source)
        except Misfit as exc:
            raise ConfigurationError(
                f"value_type={cls.__name__}: its field {field.name!r} wants {_shown(exc.wanted)} "
                f"where {source.full_name} has {exc.found}"
            ) from exc

    def _field(self, annotation: Any, field: FieldDescriptor) -> Converter:
        wanted = _bare_type(annotation)
        if wanted is None:
            return self._plain.field(field)
        origin, arguments = get_origin(wanted) or wanted, get_args(wanted)
        if is_map(field):
            if not (isinstance(origin, type) and issubclass(dict, origin)):
                raise Misfit(annotation, "a map")
            assert field.message_type is not None
            value = field.message_type.fields_by_name["value"]
            return map_of(self._element(arguments[1] if len(arguments) == 2 else None, value))
        if field.is_repeated:
            collect = _LISTS.get(origin)
            if collect is None and not (isinstance(origin, type) and issubclass(list, origin)):
                raise Misfit(annotation, "many")
            elements = list_of(self._element(arguments[0] if arguments else None, field))
            return elements if collect is None else _collected(elements, collect)
        return self._element(wanted, field)

    def _element(self, annotation: Any, field: FieldDescriptor) -> Converter:
        wanted = _bare_type(annotation)
        if wanted is None:
            return self._plain.element(field)
        message_type = field.message_type
        if is_model(wanted) or is_pydantic(wanted):
            if message_type is None:
                raise Misfit(wanted, element_kind(field))
            return self.model(wanted, message_type)
        if message_type is not None and (get_origin(wanted) or wanted) in (dict, Mapping):
            return self._plain.element(field)
        return scalar_converter(wanted, field, self._plain)

    def _pydantic(self, cls: Any, descriptor: Descriptor) -> Converter:
        fields = tuple(
            Field(name, info.alias or name, info.annotation, not info.is_required())
            for name, info in cls.model_fields.items()
        )
        if not any(map(finds_itself, cls.model_fields.values())):
            sources = {field.name: alias_source(field.source, descriptor) for field in fields}
            _check_names(cls, descriptor, fields, sources)
        plain, validate = self._plain.message(descriptor), cls.model_validate
        rename = self._aliases.of(cls, descriptor)

        def convert(message: Any) -> Any:
            values = plain(message)
            rename(values)
            try:
                return validate(values)
            except ValueError as exc:
                raise ConversionError(f"{cls.__name__}: {' '.join(str(exc).split())}") from exc

        return convert


def _constructed(assembly: Assembly, construct: Converter) -> Converter:
    read = assembly.converter()
    return lambda message: construct(read(message))


def _collected(elements: Converter, collect: Any) -> Converter:
    return lambda values: collect(elements(values))


def _check_names(
    cls: Any,
    descriptor: Descriptor,
    fields: tuple[Field, ...],
    sources: Mapping[str, FieldDescriptor | None],
) -> None:
    lacking = [f.source for f in fields if not f.has_default and sources[f.name] is None]
    if lacking:
        known = list(descriptor.fields_by_name)
        close = f" ({nearest(lacking[0], known)})" if len(lacking) == 1 and len(known) > 8 else ""
        raise ConfigurationError(
            f"value_type={cls.__name__}: {descriptor.full_name} has no field "
            f"{', '.join(map(repr, lacking))}{close}; {cls.__name__} has: "
            f"{', '.join(field.name for field in fields)}; the message has: {', '.join(known)}"
        )


def _is_optional(annotation: Any) -> bool:
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    return _bare_type(annotation) is None or type(None) in get_args(annotation)


def _bare_type(annotation: Any) -> Any:
    """Return the one type that an annotation asks for, or ``None`` when anything will do."""
    while True:
        origin = get_origin(annotation)
        if origin in (Union, types.UnionType):
            members = [member for member in get_args(annotation) if member is not type(None)]
            if len(members) != 1:
                return None
            annotation = members[0]
        elif hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            unknown = origin is Literal or isinstance(annotation, (str, TypeVar))
            return None if unknown or annotation in (None, Any, object) else annotation


def _shown(annotation: Any) -> str:
    # In Python 3.10 list[str] passes for a class.
    is_class = isinstance(annotation, type) and not get_args(annotation)
    return annotation.__name__ if is_class else str(annotation)
