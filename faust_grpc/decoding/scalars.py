"""One value of a message field → one value of an annotated type."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from ..exceptions import ConversionError
from ..fields import element_kind
from .base import Converter, same
from .plain import EnumNames, PlainConverters
from .texts import text_converter
from .wellknown import DURATION, TIMESTAMP, epoch_seconds, is_wrapper

__all__ = ["Misfit", "scalar_converter"]


class Misfit(Exception):
    """A field cannot become the type that is wanted of it."""

    def __init__(self, wanted: Any, found: str) -> None:
        super().__init__(wanted, found)
        self.wanted = wanted
        self.found = found


def scalar_converter(wanted: Any, field: FieldDescriptor, plain: PlainConverters) -> Converter:
    """Return the converter from one value of a field to a type.

    Arguments:
        wanted: the type; one that is not known here is not checked, and gets the plain value.
        field: the field.
        plain: converts what needs no type.

    Raises:
        Misfit: the field never fits the type.
    """
    if field.message_type is not None:
        return _from_message(wanted, field, field.message_type, plain)
    if field.enum_type is not None:
        return _from_enum(wanted, field, field.enum_type)
    kind = element_kind(field)
    if wanted is _EXACT[kind]:
        return text_converter(field) if kind == "str" else same
    if isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        convert: Converter | None = wanted
    else:
        convert = _CONVERSIONS.get((kind, wanted))
    if convert is not None:
        return convert if convert is same else _labelled(field.full_name, wanted, convert)
    if _is_known(wanted):
        raise Misfit(wanted, kind)
    return text_converter(field) if kind == "str" else same


def _is_known(wanted: Any) -> bool:
    return wanted in _KNOWN or (isinstance(wanted, type) and issubclass(wanted, enum.Enum))


def _labelled(label: str, wanted: Any, convert: Converter) -> Converter:
    def labelled(value: Any) -> Any:
        try:
            return convert(value)
        except (ArithmeticError, ValueError) as exc:
            raise ConversionError(f"{label}: {value!r} is no {wanted.__name__}") from exc

    return labelled


def _from_message(
    wanted: Any, field: FieldDescriptor, message_type: Descriptor, plain: PlainConverters
) -> Converter:
    name = message_type.full_name
    if isinstance(wanted, type) and issubclass(wanted, Message):
        if wanted.DESCRIPTOR.full_name != name:
            raise Misfit(wanted, name)
        if wanted.DESCRIPTOR is message_type:
            return same
        return lambda message: wanted.FromString(message.SerializePartialToString())
    if name == TIMESTAMP and wanted is float:
        return _labelled(field.full_name, wanted, _seconds)
    if name == DURATION and wanted is float:
        return lambda duration: duration.seconds + duration.nanos / 1e9
    if is_wrapper(name):
        inner = scalar_converter(wanted, message_type.fields_by_name["value"], plain)
        return lambda wrapper: inner(wrapper.value)
    if _is_known(wanted) and _NATURAL.get(name) not in (wanted, Any):
        raise Misfit(wanted, name)
    return plain.element(field)


def _seconds(timestamp: Any) -> float:
    seconds = epoch_seconds(timestamp)
    if seconds is None:
        raise ValueError(timestamp)
    return seconds


def _from_enum(wanted: Any, field: FieldDescriptor, enum_type: EnumDescriptor) -> Converter:
    if wanted is int:
        return same
    if wanted is str:
        names = EnumNames(enum_type)
        # A number without a name stays readable, and text as the annotation promises.
        return lambda number: str(names[number])
    if not (isinstance(wanted, type) and issubclass(wanted, enum.Enum)):
        if _is_known(wanted):
            raise Misfit(wanted, f"the enum {enum_type.full_name}")
        return EnumNames(enum_type).__getitem__
    members = _members(wanted, enum_type)
    if not members:
        raise Misfit(wanted, f"the enum {enum_type.full_name}, none of whose values it has")

    def convert(number: int) -> Any:
        member = members.get(number)
        if member is None:
            raise ConversionError(f"{field.full_name}: {number} is no {wanted.__name__}")
        return member

    return convert


def _members(wanted: type[enum.Enum], enum_type: EnumDescriptor) -> dict[int, enum.Enum]:
    """Match by name, else by number; a member of the class may stand for several aliases."""
    by_value = {member.value: member for member in wanted}
    members: dict[int, enum.Enum] = {}
    for value in enum_type.values:
        member = wanted.__members__.get(value.name, by_value.get(value.number))
        if member is not None:
            members.setdefault(value.number, member)
    return members


_EXACT: dict[str, type] = {"bool": bool, "bytes": bytes, "float": float, "int": int, "str": str}

_KNOWN = frozenset({bool, bytes, float, int, str, Decimal, UUID, datetime, timedelta, list, dict})

#: What the plain converter makes of a well-known type.
_NATURAL: dict[str, Any] = {
    TIMESTAMP: datetime,
    DURATION: timedelta,
    "google.protobuf.Struct": dict,
    "google.protobuf.ListValue": list,
    "google.protobuf.FieldMask": list,
    "google.protobuf.Value": Any,
}


def _iso(text: str) -> datetime:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


_CONVERSIONS: dict[tuple[str, Any], Converter] = {
    ("bool", int): same,
    ("int", float): float,
    ("int", Decimal): Decimal,
    # By its shortest text, so that 0.1 is Decimal("0.1").
    ("float", Decimal): lambda value: Decimal(repr(value)),
    ("str", Decimal): Decimal,
    ("str", UUID): UUID,
    ("str", datetime): _iso,
    ("bytes", UUID): lambda value: UUID(bytes=value),
}
