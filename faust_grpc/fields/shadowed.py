"""Fields named like a method of protobuf's messages: ``Clear``, ``SerializeToString``, ….

upb finds the field. The pure-Python runtime finds its own method, so that such a field is neither
read nor written by its name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool

from ..exceptions import FieldError
from ..message_classes import message_class

__all__ = ["check_writable", "is_shadowed", "shadowed_reader", "write_shadowed"]


def is_shadowed(field: FieldDescriptor) -> bool:
    """Return whether this runtime has a method where the field should be."""
    message_type = field.containing_type
    assert message_type is not None  # every field has one
    # No value of a field can be called.
    return callable(getattr(message_class(message_type)(), field.name, None))


def shadowed_reader(field: FieldDescriptor) -> Callable[[Any], Any]:
    """Return a function from a message to the value of a field, by its number."""
    number = field.number
    unset: Any = () if field.is_repeated else field.default_value

    def read(message: Any) -> Any:
        for found, value in message.ListFields():
            if found.number == number:
                return value
        return unset

    return read


def check_writable(field: FieldDescriptor, where: str) -> None:
    """Refuse a message, list or map that a method hides: it cannot be filled.

    Arguments:
        field: what is to be set, or set in.
        where: names it in the error.

    Raises:
        FieldError: it cannot be set in this runtime.
    """
    if (field.message_type is not None or field.is_repeated) and is_shadowed(field):
        raise FieldError(
            f"{where}: protobuf's pure-Python runtime has a method of that name, and only single "
            "scalars can be set around it: give the request as a ready message, parsed from bytes"
        )


def write_shadowed(message: Any, field: FieldDescriptor, value: Any) -> None:
    """Set a single scalar by its number: by the bytes of a message that has only this field."""
    twin = _twin(field)
    twin.value = value
    message.ClearField(field.name)
    message.MergeFromString(twin.SerializeToString())


def _twin(field: FieldDescriptor) -> Any:
    # proto2: what is set is sent, zero too.
    file = FileDescriptorProto(name="twin.proto", package="faust_grpc", syntax="proto2")
    kind = FieldDescriptor.TYPE_INT32 if field.enum_type is not None else field.type
    file.message_type.add(name="Twin").field.add(
        name="value",
        number=field.number,
        label=FieldDescriptorProto.LABEL_OPTIONAL,
        type=FieldDescriptorProto.Type.ValueType(kind),
    )
    pool = DescriptorPool()
    pool.Add(file)
    return message_class(pool.FindMessageTypeByName("faust_grpc.Twin"))()
