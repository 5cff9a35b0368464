"""Message classes that live as long as anybody can meet them.

protobuf makes the class of a message type without generated code when it is asked for, and
remembers it without holding it. Nested messages are the trap: their classes are garbage as soon as
no message of theirs is left, and are made again with the next one. That costs, and can end the
process: a class that one thread's garbage collector is about to clear can still be given to
another thread, whose next message is then a segmentation fault (seen with protobuf 7.36 in
``PyUpb_Descriptor_GetDef``).
"""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

__all__ = ["message_class"]

#: Where a class holds those of the messages that can be in its own.
_HELD = "_faust_grpc_held"


def message_class(descriptor: Descriptor) -> type[Message]:
    """Return the class of a message type, which holds the classes of all messages in it.

    Whoever has the class, or a message of it, has the others too: those of fields and extensions,
    theirs, and so on. Hold it, then, for as long as the type is in use.
    """
    found = GetMessageClass(descriptor)
    if _HELD not in vars(found):
        held = [GetMessageClass(inner) for inner in _within(descriptor)]
        for one in held:
            if _HELD not in vars(one):
                setattr(one, _HELD, held)
    return found


def _within(descriptor: Descriptor) -> list[Descriptor]:
    """Return the types of all messages that can be in one, itself included."""
    known = {descriptor.full_name: descriptor}
    waiting = [descriptor]
    while waiting:
        outer = waiting.pop()
        fields = [*outer.fields, *outer.file.pool.FindAllExtensions(outer)]
        for inner in (field.message_type for field in fields):
            if inner is not None and inner.full_name not in known:
                known[inner.full_name] = inner
                waiting.append(inner)
    return list(known.values())
