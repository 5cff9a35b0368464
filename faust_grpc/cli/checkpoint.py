"""``faust-grpc checkpoint``: the cursors of a source, shown and changed by people."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..cursors import dump_cursor
from ..exceptions import ConfigurationError, HostError, nearest
from ..saved import Saved
from ..types import CursorValue
from .application import app_option, find_source, load_sources
from .output import print_json, print_table, waiting
from .positions import parse_cursor, position_text, saved_json, saved_row
from .workers import WorkerPages, token_option

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

    It reads and writes the source's checkpoint topic. While a worker of the
    application runs, changes are refused: it would overwrite them. It can make
    them itself: --through-worker.
    """


def _options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    shared = [
        click.argument("source"),
        app_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]

    def decorate(command: F) -> F:
        for option in reversed([*shared, *options]):
            command = option(command)
        return command

    return decorate


_changing = (
    click.option(
        "--through-worker",
        metavar="URL",
        help="Have it done by the running workers; URL is the web server of any of them.",
    ),
    token_option,
    click.option(
        "--force", is_flag=True, help="Do not ask the broker whether a worker runs: none does."
    ),
)


@checkpoint.command(short_help="Show the saved cursors.")
@_options(click.option("--split", metavar="NAME", help="Only this split."))
def show(source: str, app_name: str, as_json: bool, split: str | None) -> None:
    """Show what is saved for each split of SOURCE.

    \b
    Examples:
      faust-grpc checkpoint show orders -A shop
      faust-grpc checkpoint show orders -A shop --json | jq '.splits[].cursor'
    """
    topic = _Source(app_name, source).topic
    with waiting(f"reading {topic.topic}"):
        splits = topic.read()
    shown = splits if split is None else [_named(splits, split)]
    if as_json:
        rows = [saved_json(one) for one in shown]
        print_json({"source": source, "topic": topic.topic, "splits": rows})
    else:
        print_table(("SPLIT", "PARTITION", "CURSOR", "SAVED", ""), map(saved_row, shown))


@checkpoint.command("set", short_help="Set the cursor of a split.")
@_options(
    click.option("--split", metavar="NAME", help="Which split; needed if there are several."),
    click.option("--to", metavar="CURSOR", required=True, help="The position to resume behind."),
    *_changing,
)
def set_cursor(
    source: str, app_name: str, split: str | None, to: str, as_json: bool, **how: Any
) -> None:
    """Let a split of SOURCE resume behind a position; 'earliest' forgets it, and
    'latest' is what Cursor(latest=...) says.

    Bytes are given as base64. The position before is printed, to go back to.

    \b
    Examples:
      faust-grpc checkpoint set orders --split north --to 4711 -A shop
      faust-grpc checkpoint set orders --split north --to earliest -A shop
      faust-grpc checkpoint set orders --split north --to 4711 -A shop \\
          --through-worker http://worker-1:6066
    """
    opened = _Source(app_name, source)
    change = _Change(opened, **how)
    chosen = _chosen(change.before, split)
    cursor = opened.position(to, change.before)
    change.make({chosen: cursor}, as_json=as_json)


@checkpoint.command(short_help="Forget the cursors of a source, or of one split.")
@_options(click.option("--split", metavar="NAME", help="Only this split."), *_changing)
def reset(source: str, app_name: str, split: str | None, as_json: bool, **how: Any) -> None:
    """Let SOURCE begin as if it had never run, all its splits or one.

    What is in the tables stays there. The positions before are printed.

    \b
    Examples:
      faust-grpc checkpoint reset orders -A shop
      faust-grpc checkpoint reset orders --split north -A shop
    """
    change = _Change(_Source(app_name, source), **how)
    before = change.before
    chosen = [one for one in before if one.declared] if split is None else [_named(before, split)]
    change.make(dict.fromkeys(chosen), as_json=as_json)


class _Source:
    """A source of an application, and its checkpoint topic.

    Arguments:
        app_name: as ``-A`` has it.
        source: its name.
    """

    def __init__(self, app_name: str, source: str) -> None:
        from ..checkpoint_topic import CheckpointTopic
        from ..runner import Runner

        self.app, feeds = load_sources(app_name)
        self.feed: Feed = find_source(feeds, source)
        self.name = source
        declared = self.feed.declaration
        if declared.scope == "worker":
            raise ConfigurationError(
                f"source {source!r} has scope='worker': its cursors are not saved"
            )
        runner = Runner.of(self.app)
        self.kafka_options = runner.checkpoints.kafka_options
        self.topic: CheckpointTopic = CheckpointTopic(
            self.app, source, declared.splits, self.kafka_options, runner.transactional_ids(source)
        )

    def position(self, to: str, splits: Iterable[SavedSplit]) -> CursorValue | None:
        """Return the position that ``--to`` means; ``None`` to begin as the first start did.

        Raises:
            ConfigurationError: the source has no cursor, or none like that.
        """
        cursor = self.feed.declaration.cursor
        if cursor is None:
            raise ConfigurationError(
                f"source {self.name!r} has no cursor=: there is nothing to set"
            )
        if to == "earliest":
            return None
        if to != "latest":
            return parse_cursor(to, self._kind(splits))
        if cursor.latest is None:
            raise ConfigurationError(
                "--to latest: which position stands for the newest? Declare Cursor(latest=...)"
            )
        return cursor.latest

    def _kind(self, splits: Iterable[SavedSplit]) -> str | None:
        """Return what positions are, from the declaration or from what is saved."""
        plan = self.feed.plan
        if plan is not None and plan.cursor is not None and plan.cursor.kind is not None:
            return plan.cursor.kind
        # Its server is asked for the types, or callables convert: then only what it did counts.
        saved = (split.saved for split in splits if split.saved is not None)
        kinds = {type(one.cursor).__name__ for one in saved if one.cursor is not None}
        return kinds.pop() if len(kinds) == 1 else None


class _Change:
    """A change of cursors: in the topic, or by the workers that would overwrite it.

    Arguments:
        source: whose.
        through_worker: the web server of a worker, if they are to do it.
        token: what they were given.
        force: the broker is not asked whether a worker runs.

    Raises:
        HostError: a worker runs, or nobody can tell.
    """

    def __init__(
        self, source: _Source, through_worker: str | None, token: str | None, force: bool
    ) -> None:
        self._source = source
        self._pages = WorkerPages(through_worker, token) if through_worker else None
        self._alone = self._pages is not None or force
        with waiting(f"reading {source.topic.topic}"):
            if not self._alone:
                self._refuse_if_running("nothing was changed")
            if self._pages is None:
                source.topic.take_over()
            self.before = source.topic.read()

    def make(self, changes: dict[SavedSplit, CursorValue | None], *, as_json: bool) -> None:
        """Make it, and print what was there before and is there now."""
        if self._pages is None:
            self._source.topic.write(
                {
                    split: replace(split.saved or Saved(), cursor=cursor)
                    for split, cursor in changes.items()
                }
            )
        else:
            for split, cursor in changes.items():
                value = None if cursor is None else dump_cursor(cursor)
                self._pages.act(self._source.name, split.name, "checkpoint", cursor=value)
        self._print(changes, as_json=as_json)
        if not self._alone:
            self._refuse_if_running("it may have read what was there before: stop it, and again")

    def _print(self, changes: dict[SavedSplit, CursorValue | None], *, as_json: bool) -> None:
        if as_json:
            changed = [
                {**saved_json(split), "now": None if cursor is None else dump_cursor(cursor)}
                for split, cursor in changes.items()
            ]
            print_json({"source": self._source.name, "changed": changed})
            return
        rows = ([*saved_row(split)[:3], position_text(cursor)] for split, cursor in changes.items())
        print_table(("SPLIT", "PARTITION", "CURSOR BEFORE", "CURSOR NOW"), rows)

    def _refuse_if_running(self, consequence: str) -> None:
        from ..checkpoint_topic import find_group

        app = self._source.app
        group, timeout = (
            find_group(app, self._source.kafka_options),
            app.conf.broker_session_timeout,
        )
        if group.unknown:
            raise HostError(
                f"is a worker of {app.conf.id!r} running? {group.unknown}; {consequence}; if you "
                "know that none is: --force"
            )
        if group.members:
            raise HostError(
                f"workers of {app.conf.id!r} run ({', '.join(group.members[:3])}): {consequence}; "
                f"stop them first (one that was killed leaves after {timeout:g} s), or use "
                "--through-worker URL"
            )


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
