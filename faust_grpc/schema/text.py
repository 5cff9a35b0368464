"""Services, messages and enums as the text of a .proto file, for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)

from ..fields import in_oneof, is_map

__all__ = ["field_text", "proto_text"]

_SCALARS = {
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_SFIXED32: "sfixed32",
    FieldDescriptor.TYPE_SFIXED64: "sfixed64",
    FieldDescriptor.TYPE_SINT32: "sint32",
    FieldDescriptor.TYPE_SINT64: "sint64",
}


def proto_text(descriptor: ServiceDescriptor | Descriptor | EnumDescriptor) -> str:
    """Return a service, message or enum much as its .proto file has it.

    Comments and options are not in the descriptor; type names are without the package when it is
    the descriptor's own.
    """
    package = descriptor.file.package
    if isinstance(descriptor, ServiceDescriptor):
        head, body = "service", _lines(_method(method, package) for method in descriptor.methods)
    elif isinstance(descriptor, EnumDescriptor):
        head, body = "enum", _enum(descriptor)
    else:
        head, body = "message", _message(descriptor, package)
    return "\n".join(_block(f"{head} {descriptor.name}", body))


def field_text(field: FieldDescriptor) -> str:
    """Return a field much as its .proto file has it, without the semicolon."""
    assert field.containing_type is not None  # every field has one
    return _field(field, field.containing_type.file.package).removesuffix(";")


def _lines(lines: Iterable[str]) -> Iterator[str]:
    yield from lines


def _block(head: str, body: Iterable[str]) -> Iterator[str]:
    lines = [f"  {line}" for line in body]
    if not lines:
        yield head + " {}"
        return
    yield head + " {"
    yield from lines
    yield "}"


def _method(method: MethodDescriptor, package: str) -> str:
    asked = "stream " if method.client_streaming else ""
    answered = "stream " if method.server_streaming else ""
    request = _short(method.input_type.full_name, package)
    response = _short(method.output_type.full_name, package)
    return f"rpc {method.name}({asked}{request}) returns ({answered}{response});"


def _enum(enum_type: EnumDescriptor) -> Iterator[str]:
    for value in enum_type.values:
        yield f"{value.name} = {value.number};"


def _message(descriptor: Descriptor, package: str) -> Iterator[str]:
    for nested_enum in descriptor.enum_types:
        yield from _block(f"enum {nested_enum.name}", _enum(nested_enum))
    for nested in descriptor.nested_types:
        if not nested.GetOptions().map_entry:
            yield from _block(f"message {nested.name}", _message(nested, package))
    shown: set[str] = set()
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is None or not in_oneof(field):
            yield _field(field, package)
        elif oneof.name not in shown:
            shown.add(oneof.name)
            yield from _block(f"oneof {oneof.name}", (_field(f, package) for f in oneof.fields))


def _field(field: FieldDescriptor, package: str) -> str:
    if is_map(field):
        assert field.message_type is not None
        entry = field.message_type.fields_by_name
        kinds = f"{_type(entry['key'], package)}, {_type(entry['value'], package)}"
        return f"map<{kinds}> {field.name} = {field.number};"
    label = ""
    if field.is_repeated:
        label = "repeated "
    elif field.is_required:
        label = "required "
    elif field.has_presence and field.message_type is None and not in_oneof(field):
        label = "optional "
    return f"{label}{_type(field, package)} {field.name} = {field.number};"


def _type(field: FieldDescriptor, package: str) -> str:
    named = field.message_type or field.enum_type
    return _short(named.full_name, package) if named is not None else _SCALARS[field.type]


def _short(full_name: str, package: str) -> str:
    return full_name.removeprefix(f"{package}.") if package else full_name
