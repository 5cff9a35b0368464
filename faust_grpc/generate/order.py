"""Which message types are needed, and in what order Python can define them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf.descriptor import Descriptor

from ..fields import is_map

__all__ = ["needs_later", "ordered"]

#: Types that stand for a Python value and need no class.
_WELL_KNOWN = "google.protobuf."


def ordered(roots: Iterable[Descriptor]) -> list[Descriptor]:
    """Return the types and all types that their fields lead to: what is used before what uses it.

    Types that need each other come in the order in which they are reached. protobuf's own are left
    out. Nothing depends on the order of the roots.
    """
    done: dict[str, Descriptor] = {}
    entered: set[str] = set()
    for root in sorted(roots, key=lambda described: described.full_name):
        # No recursion: a schema may nest deeper than Python likes.
        waiting = [(root, False)]
        while waiting:
            described, is_left = waiting.pop()
            if is_left:
                done[described.full_name] = described
            elif described.full_name not in entered and not _is_well_known(described):
                entered.add(described.full_name)
                waiting.append((described, True))
                waiting.extend((used, False) for used in reversed(_used(described)))
    return list(done.values())


def needs_later(types: Sequence[Descriptor]) -> set[str]:
    """Return the full names of types with a field of a type that stands behind them."""
    later: set[str] = set()
    position = {described.full_name: index for index, described in enumerate(types)}
    for index, described in enumerate(types):
        if any(position.get(used.full_name, -1) > index for used in _used(described)):
            later.add(described.full_name)
    return later


def _is_well_known(described: Descriptor) -> bool:
    return described.full_name.startswith(_WELL_KNOWN)


def _used(described: Descriptor) -> list[Descriptor]:
    used = []
    for field in described.fields:
        message_type = field.message_type
        if message_type is not None and is_map(field):
            message_type = message_type.fields_by_name["value"].message_type
        if message_type is not None:
            used.append(message_type)
    return used
