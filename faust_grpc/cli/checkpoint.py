"""``faust-grpc checkpoint``: the cursors of a source, shown and changed by people."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..cursors import dump_cursor
from ..exceptions import ConfigurationError, HostError, nearest
from ..saved import Saved
from ..types import CursorValue
from .application import app_option, find_source, load_sources
from .output import print_json, print_table

if TYPE_CHECKING:  # Faust is slow to import, and describe and tail do without
    from ..checkpoint_topic import CheckpointTopic, SavedSplit
    from ..feeds import Feed

__all__ = ["checkpoint"]

F = TypeVar("F", bound=Callable[..., Any])


@click.group(short_help="Show or change the saved cursors of a source.")
def checkpoint() -> None:
    """Show or change where the splits of a source resume.

    \b
    Examples:
      faust-grpc checkpoint show orders -A shop
      faust-grpc checkpoint set orders --split north --to 4711 -A shop
      faust-grpc checkpoint reset orders --split north -A shop

    It reads and writes the source's checkpoint topic itself. Changes are refused
    while a worker of the application runs: it would overwrite them.
    """


def _shared(command: F) -> F:
    options = [
        click.argument("source"),
        app_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_force = click.option(
    "--force", is_flag=True, help="Do not ask the broker whether a worker runs: I know none does."
)


@checkpoint.command(short_help="Show the saved cursors.")
@_shared
@click.option("--split", metavar="NAME", help="Only this split.")
def show(source: str, app_name: str, as_json: bool, split: str | None) -> None:
    """Show what is saved for each split of SOURCE.

    \b
    Examples:
      faust-grpc checkpoint show orders -A shop
      faust-grpc checkpoint show orders -A shop --json | jq '.splits[].cursor'
    """
    topic = _Stopped(app_name, source).topic
    splits = topic.read()
    shown = splits if split is None else [_named(splits, split)]
    if as_json:
        print_json(
            {"source": source, "topic": topic.topic, "splits": [_as_json(one) for one in shown]}
        )
        return
    columns = ("SPLIT", "PARTITION", "CURSOR", "SAVED", "")
    print_table(columns, ([*_row(one), _time(one.saved_at), _note(one)] for one in shown))


@checkpoint.command("set", short_help="Set the cursor of a split.")
@_shared
@click.option("--split", metavar="NAME", help="Which split; needed if there are several.")
@click.option("--to", metavar="CURSOR", required=True, help="The position to resume behind.")
@_force
def set_cursor(
    source: str, app_name: str, as_json: bool, split: str | None, to: str, force: bool
) -> None:
    """Let a split of SOURCE resume behind a position; 'earliest' forgets it.

    Bytes are given as base64. The position before is printed, to go back to.

    \b
    Examples:
      faust-grpc checkpoint set orders --split north --to 4711 -A shop
      faust-grpc checkpoint set orders --split north --to earliest -A shop
    """
    stopped = _Stopped(app_name, source)
    splits = stopped.topic.read()
    chosen = _chosen(splits, split)
    cursor = None if to == "earliest" else parse_cursor(to, stopped.kind(splits))
    stopped.write(
        {chosen: replace(chosen.saved or Saved(), cursor=cursor)}, as_json=as_json, force=force
    )


@checkpoint.command(short_help="Forget the cursors of a source, or of one split.")
@_shared
@click.option("--split", metavar="NAME", help="Only this split.")
@_force
def reset(source: str, app_name: str, as_json: bool, split: str | None, force: bool) -> None:
    """Let SOURCE begin as if it had never run, all its splits or one.

    What is in the tables stays there. A split that is not declared any more is removed.

    \b
    Examples:
      faust-grpc checkpoint reset orders -A shop
      faust-grpc checkpoint reset orders --split north -A shop
    """
    stopped = _Stopped(app_name, source)
    splits = stopped.topic.read()
    chosen = [one for one in splits if one.declared] if split is None else [_named(splits, split)]
    changes = {one: _forgotten(one) for one in chosen}
    stopped.write(changes, as_json=as_json, force=force)


def _forgotten(split: SavedSplit) -> Saved | None:
    if not split.declared:
        return None
    return replace(split.saved or Saved(), cursor=None)


class _Stopped:
    """A source whose application does not run.

    Arguments:
        app_name: as ``-A`` has it.
        source: its name.
    """

    def __init__(self, app_name: str, source: str) -> None:
        from ..checkpoint_topic import CheckpointTopic
        from ..runner import Runner

        self.app, feeds = load_sources(app_name)
        self.feed: Feed = find_source(feeds, source)
        declared = self.feed.declaration
        if declared.scope == "worker":
            raise ConfigurationError(
                f"source {source!r} has scope='worker': its cursors are not saved"
            )
        self._kafka_options = Runner.of(self.app).checkpoints.kafka_options
        self.topic: CheckpointTopic = CheckpointTopic(
            self.app, source, declared.splits, self._kafka_options
        )

    def kind(self, splits: Iterable[SavedSplit]) -> str | None:
        """Return what positions are, from the declaration or from what is saved.

        Raises:
            ConfigurationError: the source has no cursor.
        """
        if self.feed.declaration.cursor is None:
            name = self.feed.declaration.name
            raise ConfigurationError(f"source {name!r} has no cursor=: there is nothing to set")
        plan = self.feed.plan
        if plan is not None and plan.cursor is not None and plan.cursor.kind is not None:
            return plan.cursor.kind
        # Its server is asked for the types, or callables convert: then only what it did counts.
        kinds = {
            type(split.saved.cursor).__name__
            for split in splits
            if split.saved is not None and split.saved.cursor is not None
        }
        return kinds.pop() if len(kinds) == 1 else None

    def write(self, changes: dict[SavedSplit, Saved | None], *, as_json: bool, force: bool) -> None:
        """Write and print what was there before and is there now.

        Raises:
            HostError: a worker runs, or nobody can tell.
        """
        if not force:
            self._refuse_if_running("nothing was changed")
        self.topic.write(changes)
        if as_json:
            print_json({"source": self.feed.declaration.name, "changed": _changed(changes)})
        else:
            columns = ("SPLIT", "PARTITION", "CURSOR BEFORE", "CURSOR NOW")
            print_table(columns, ([*_row(one), _shown(now)] for one, now in changes.items()))
        if not force:
            self._refuse_if_running("it may have read what was there before: stop it, and again")

    def _refuse_if_running(self, consequence: str) -> None:
        from ..checkpoint_topic import find_group

        group = find_group(self.app, self._kafka_options)
        app, timeout = self.app.conf.id, self.app.conf.broker_session_timeout
        if group.unknown:
            raise HostError(
                f"is a worker of {app!r} running? {group.unknown}; {consequence}; if you know that "
                "none is: --force"
            )
        if group.members:
            raise HostError(
                f"{len(group.members)} workers of {app!r} run ({', '.join(group.members[:3])}): "
                f"{consequence}; stop them first (one that was killed leaves after {timeout:g} s), "
                "or use --through-worker URL"
            )


def parse_cursor(text: str, kind: str | None) -> CursorValue:
    """Return a position that somebody typed.

    Arguments:
        text: as typed; bytes as base64.
        kind: ``"int"``, ``"str"`` or ``"bytes"``; ``None`` when nobody knows: then JSON says it.

    Raises:
        ConfigurationError: it is none of that kind.
    """
    if kind == "str":
        return text
    if kind == "bytes":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ConfigurationError(
                f"--to {text!r}: the cursor is bytes; give them as base64"
            ) from error
    if kind == "int":
        if not text.removeprefix("-").isdecimal():
            raise ConfigurationError(f"--to {text!r}: the cursor is an integer")
        return int(text)
    return _from_json(text)


def _from_json(text: str) -> CursorValue:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ConfigurationError(
            f"--to {text!r}: is the cursor an integer or text? The declaration does not say, and "
            f"nothing is saved yet: write 4711 or '\"4711\"'"
        )
    return value


def _named(splits: list[SavedSplit], name: str) -> SavedSplit:
    for split in splits:
        if split.name == name:
            return split
    raise ConfigurationError(f"no split {name!r}: {nearest(name, (one.name for one in splits))}")


def _chosen(splits: list[SavedSplit], name: str | None) -> SavedSplit:
    if name is not None:
        return _named(splits, name)
    if len(splits) == 1:
        return splits[0]
    names = ", ".join(split.name for split in splits)
    raise click.UsageError(f"Missing option '--split': the source has several: {names}")


def _row(split: SavedSplit) -> list[str]:
    return [split.name, str(split.partition), _shown(split.saved)]


def _shown(saved: Saved | None) -> str:
    if saved is None or saved.cursor is None:
        return "-"
    if isinstance(saved.cursor, bytes):
        return base64.b64encode(saved.cursor).decode()
    return str(saved.cursor)


def _note(split: SavedSplit) -> str:
    notes = [
        *([f"paused: {split.saved.paused}"] if split.saved and split.saved.paused else []),
        *([] if split.declared else ["not declared"]),
    ]
    return ", ".join(notes)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _as_json(split: SavedSplit) -> dict[str, Any]:
    saved, at = split.saved, split.saved_at
    return {
        "split": split.name,
        "partition": split.partition,
        "cursor": _cursor_as_json(saved),
        "paused": saved.paused if saved is not None else "",
        "saved_at": None if at is None else datetime.fromtimestamp(at, timezone.utc),
        "declared": split.declared,
    }


def _changed(changes: dict[SavedSplit, Saved | None]) -> list[dict[str, Any]]:
    return [
        {
            "split": split.name,
            "partition": split.partition,
            "before": _cursor_as_json(split.saved),
            "now": _cursor_as_json(now),
        }
        for split, now in changes.items()
    ]


def _cursor_as_json(saved: Saved | None) -> Any:
    return None if saved is None or saved.cursor is None else dump_cursor(saved.cursor)
