"""Tables: their stores, and where their writes go."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from faust.streams import _current_event
from faust.tables.base import Collection
from faust.tables.objects import ChangeloggedObjectManager
from faust.tables.table import Table
from faust.types import AppT

from ..changelog import Changelog
from ..exceptions import HostError, MixedTable
from ..messages import SourceMessage
from ..stores import key_partitions

__all__ = ["CheckpointTable", "note_partitions", "take_over_changelog"]


class CheckpointTable(Table):  # type: ignore[type-arg]
    """The table that holds a source's cursors, always in memory.

    Overrides ``Collection._new_store``: ``store="memory://"`` is a falsy URL, for which Faust
    takes the app's store instead. faust-streaming 0.15.
    """

    @classmethod
    def of(cls, app: AppT, source: str, **options: Any) -> CheckpointTable:
        """Return the table of a source; ``options`` are a table's."""
        partitions = app.conf.topic_partitions
        return cls(app, name=f"{source}-checkpoint", partitions=partitions, **options)

    def _new_store(self) -> Any:
        return self._new_store_by_url("memory://")

    def remember(self, key: str, partition: int, value: Any) -> None:
        """Keep what was written to the changelog. Touches ``_key_partition``, see below."""
        store: Any = self.data
        store.data[key] = value
        store._key_partition[key] = partition


def note_partitions(table: Collection) -> None:
    """Have the partition of each key known that is written to a store in memory.

    Faust enters it only when it recovers a key: what is written here stays in memory after its
    partition moved away, and is found there, outdated, when the partition comes back. Wraps the
    instance's ``send_changelog``. faust-streaming 0.15.
    """
    note = _noting(table)
    if note is None:
        return
    plain = table.send_changelog

    def send_changelog(
        partition: int | None,
        key: Any,
        value: Any,
        key_serializer: Any = None,
        value_serializer: Any = None,
    ) -> Any:
        sent: Any = plain(partition, key, value, key_serializer, value_serializer)
        note(sent.message.partition, key, value)
        return sent

    table.send_changelog = send_changelog  # type: ignore[method-assign]


def _noting(table: Collection) -> Callable[[int, Any, Any], None] | None:
    """Return what notes the partition of a key; ``None`` for stores on disk."""
    partitions = key_partitions(table)
    if partitions is None:
        return None

    def note(partition: int, key: Any, value: Any) -> None:
        if value is None:
            partitions.pop(key, None)
        else:
            partitions[key] = partition

    def note_operation(partition: int, key: Any, _value: Any) -> None:
        partitions[key[1]] = partition  # (operation, key)

    return note_operation if isinstance(table.data, ChangeloggedObjectManager) else note


def take_over_changelog(
    table: Collection, changelog: Changelog, refuse: Callable[[HostError], None]
) -> None:
    """Send the table writes of a source's events to our changelog; leave others to Faust.

    Replaces the instance's ``send_changelog``, which ``on_key_set`` and ``on_key_del`` call.
    faust-streaming 0.15.

    Arguments:
        table: any table of the app but a checkpoint.
        changelog: where writes go.
        refuse: called with what is wrong before it is raised, when no event of a source may write
            this table: Faust acks the event of an agent that raises, so the worker must end.
    """
    note_partitions(table)
    plain = table.send_changelog
    note = _noting(table)
    writers: set[bool] = set()
    #: What ``on_key_set`` and ``on_key_del`` want back, by partition that may be written.
    answers: dict[int, Any] = {}

    def look(partition: int | None, *, ours: bool) -> None:
        writers.add(ours)
        if len(writers) > 1 or ours:
            error = _misuse(table, partition, mixed=len(writers) > 1)
            if error is not None:
                answers.clear()
                refuse(error)
                raise error
        if ours:
            assert partition is not None
            answers[partition] = SimpleNamespace(message=SimpleNamespace(partition=partition))

    def send_changelog(
        partition: int | None,
        key: Any,
        value: Any,
        key_serializer: Any = None,
        value_serializer: Any = None,
    ) -> Any:
        reference = _current_event.get(None)
        event = reference() if reference is not None else None
        ours = event is not None and isinstance(event.message, SourceMessage)
        if not ours or partition not in answers:
            look(partition, ours=ours)
        if not ours:
            return plain(partition, key, value, key_serializer, value_serializer)
        assert partition is not None
        changelog.add(table, partition, key, (value, key_serializer, value_serializer))
        if note is not None:
            note(partition, key, value)
        return answers[partition]

    table.send_changelog = send_changelog  # type: ignore[method-assign]


def _misuse(table: Collection, partition: int | None, *, mixed: bool) -> HostError | None:
    """Return why a source's event may not write a table."""
    wanted = table.app.conf.topic_partitions
    if mixed:
        return MixedTable(
            f"table {table.name!r} is written by the events of a gRPC source and by other events: "
            "use two tables, or bring them together with group_by()"
        )
    if partition is None:
        return HostError(
            f"table {table.name!r} has use_partitioner=True: a source's events can write only the "
            "partition they belong to"
        )
    if partition < 0:
        return HostError(
            f"table {table.name!r}: events of a scope='worker' source are in every worker and "
            "cannot write a table; keep a plain dict"
        )
    if table.recovery_buffer_size == 1:
        return HostError(
            f"table {table.name!r} has recovery_buffer_size=1: Faust then goes on to apply the "
            "changelog while agents write, and would undo what is not saved yet; leave it out"
        )
    if table.partitions not in (None, wanted):
        return HostError(
            f"table {table.name!r} has partitions={table.partitions}, but the app has "
            f"topic_partitions={wanted}: a source's events can write only tables with as many; "
            "leave partitions= out of the table"
        )
    return None
