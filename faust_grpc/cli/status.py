"""``faust-grpc status``: what the workers of an application do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from .output import print_json, print_table, say
from .workers import DEFAULT_URL, WorkerPages, chosen, url_option

__all__ = ["status"]


@click.command(short_help="Show what the workers of an application do.")
@url_option(
    "--url",
    default=DEFAULT_URL,
    show_default=True,
    help="The web server of any worker of the application.",
)
@click.option("--source", metavar="NAME", help="Only this source.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, url: str, source: str | None, as_json: bool) -> None:
    """Show every source and split, who reads it, and what needs a person.

    One worker is asked; it asks the others.

    \b
    Examples:
      faust-grpc status --url http://worker-1:6066
      faust-grpc status --json | jq '.sources[].splits[] | select(.needs_person)'

    Exit status 1 if something needs a person: a split that stopped for good, or a
    worker that does not answer.
    """
    told = WorkerPages(url).status()
    sources = told["sources"] if source is None else chosen(told, source, url)
    if as_json:
        print_json({**told, "sources": sources})
    else:
        _print(told, sources)
    if told["problems"]:
        ctx.exit(1)


def _print(told: dict[str, Any], sources: list[dict[str, Any]]) -> None:
    rows = [[one["name"], *row] for one in sources for row in _rows(one)]
    print_table(("SOURCE", "SPLIT", "STATE", "CURSOR", "MESSAGES", "UNACKED", "WORKER"), rows)
    print()
    workers = (
        [worker["url"], worker.get("phase", ""), str(worker["splits"] or "idle")]
        for worker in told["workers"]
    )
    print_table(("WORKER", "PHASE", "SPLITS"), workers)
    for line in _notes(told, sources):
        say(line)


def _rows(source: dict[str, Any]) -> Iterator[list[str]]:
    for split in source["splits"]:
        yield [
            split["name"],
            split["state"],
            _cursor(split.get("cursor")),
            str(split.get("messages", "-")),
            str(split.get("unacked", "-")),
            split["worker"] or "-",
        ]


def _cursor(cursor: Any) -> str:
    if isinstance(cursor, dict):
        return str(cursor.get("bytes", ""))
    return "-" if cursor is None else str(cursor)


def _notes(told: dict[str, Any], sources: list[dict[str, Any]]) -> Iterator[str]:
    problems = set(told["problems"])
    yield from told["problems"]
    for source in sources:
        if source["waiting_for"]:
            yield f"{source['name']}: waiting for {source['waiting_for']}"
        for split in source["splits"]:
            line = f"{source['name']}/{split['name']}: {split['state']}: {split['reason']}"
            if split["reason"] and line not in problems:
                yield line
