"""``faust-grpc check``: the sources of an application against their live servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from .application import app_option, find_source, load_sources
from .output import print_json, print_table, waiting
from .trying import Finding, try_source

if TYPE_CHECKING:  # Faust is slow to import, and describe and tail do without
    from ..feeds import Feed

__all__ = ["check"]


@click.command(short_help="Try the sources of an application against their servers.")
@click.argument("source", required=False)
@app_option
@click.option(
    "--seconds",
    metavar="S",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    help="How long a server may take.",
)
@click.option("--all-splits", is_flag=True, help="Read every split, not one for each server.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(
    ctx: click.Context,
    source: str | None,
    app_name: str,
    seconds: float,
    all_splits: bool,
    as_json: bool,
) -> None:
    """Check what is declared in an application, all its sources or SOURCE.

    The server is called as a worker would call it: credentials, schema, request
    and cursor are checked, and one message is read. No broker is needed, no agent
    sees anything, no cursor is saved.

    \b
    Examples:
      faust-grpc check -A shop
      faust-grpc check orders -A shop --all-splits --seconds 20
      faust-grpc check -A shop --json | jq '.sources[].findings[]'

    Exit status 1 if something failed.
    """
    app, feeds = load_sources(app_name)
    chosen = feeds if source is None else {source: find_source(feeds, source)}
    with waiting(f"asking the servers of {', '.join(chosen)}"), _in_the_result():
        found = asyncio.run(_check(chosen, seconds, all_splits))
    failed = any(one.verdict == "failed" for findings in found.values() for one in findings)
    if as_json:
        sources = [
            {"name": name, "findings": [one._asdict() for one in findings]}
            for name, findings in found.items()
        ]
        print_json({"app": app.conf.id, "ok": not failed, "sources": sources})
    else:
        rows = (
            [name, one.check, one.verdict, one.text]
            for name, findings in found.items()
            for one in findings
        )
        print_table(("SOURCE", "CHECK", "RESULT", ""), rows)
    if failed:
        ctx.exit(1)


@contextmanager
def _in_the_result() -> Iterator[None]:
    """Keep warnings out of the log: what a server answered is in the result, and once."""
    log = logging.getLogger("faust_grpc")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


async def _check(
    feeds: dict[str, Feed], seconds: float, every_split: bool
) -> dict[str, list[Finding]]:
    found = await asyncio.gather(
        *(try_source(feed, seconds, every_split=every_split) for feed in feeds.values())
    )
    return dict(zip(feeds, found, strict=True))
