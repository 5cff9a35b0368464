"""``faust-grpc pause``, ``resume`` and ``restart``: control of a running source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..exceptions import HostError
from .output import print_json, print_table, say
from .workers import DEFAULT_URL, WorkerPages, chosen, token_option, url_option

__all__ = ["pause", "restart", "resume"]

F = TypeVar("F", bound=Callable[..., Any])


def _shared(command: F) -> F:
    options = [
        click.argument("source"),
        click.option("--split", metavar="NAME", help="Only this split."),
        url_option(
            "--url",
            default=DEFAULT_URL,
            show_default=True,
            help="The web server of any worker of the application.",
        ),
        token_option,
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command(short_help="Stop reading a source until it is resumed.")
@_shared
@click.option("--reason", metavar="TEXT", help="Shown in its status.")
def pause(source: str, split: str | None, reason: str | None, **options: Any) -> None:
    """Pause SOURCE, all its splits or one, in whichever workers they run.

    What agents have is finished and saved. It stays paused over restarts and
    rebalances, until it is resumed.

    \b
    Examples:
      faust-grpc pause orders --url http://worker-1:6066
      faust-grpc pause orders --split north --reason "server is being moved"

    The workers must have a token, and it must be the same here.
    """
    _act("pause", source, split, {"reason": reason} if reason else {}, **options)


@click.command(short_help="Read a source again that was paused or halted.")
@_shared
@click.option("--skip", is_flag=True, help="Pass over the message at which it was halted.")
def resume(source: str, split: str | None, skip: bool, **options: Any) -> None:
    """Resume SOURCE, all its splits or one, where it was paused.

    A split that halted at a bad message tries that again, or with --skip goes on
    behind it.

    \b
    Examples:
      faust-grpc resume orders --url http://worker-1:6066
      faust-grpc resume orders --split north --skip
    """
    _act("resume", source, split, {"skip": True} if skip else {}, **options)


@click.command(short_help="Call the server of a source again, now.")
@_shared
def restart(source: str, split: str | None, **options: Any) -> None:
    """Restart SOURCE, all its splits or one: end the call and make a new one.

    It resumes behind the last message. A split that had stopped for a person gets
    another try.

    \b
    Examples:
      faust-grpc restart orders --url http://worker-1:6066
      faust-grpc restart orders --split north
    """
    _act("restart", source, split, {}, **options)


def _act(
    action: str,
    source: str,
    split: str | None,
    body: dict[str, Any],
    *,
    url: str,
    token: str | None,
    as_json: bool,
) -> None:
    pages = WorkerPages(url, token)
    names = [split] if split is not None else _splits(pages, source)
    done, failures = [], []
    for name in names:
        try:
            done.append({"split": name, **pages.act(source, name, action, **body)})
        except HostError as error:
            failures.append(str(error))
    failures = list(dict.fromkeys(failures))  # a wrong token is one for every split
    if as_json:
        print_json({"source": source, "action": action, "splits": done, "errors": failures})
    elif done:
        rows = ([one["split"], one["state"], one["worker"]] for one in done)
        print_table(("SPLIT", "STATE", "WORKER"), rows)
    for failure in failures[:-1]:
        say(f"faust-grpc: {failure}")
    if failures:
        raise HostError(failures[-1])


def _splits(pages: WorkerPages, source: str) -> list[str]:
    (found,) = chosen(pages.status(), source, pages.url)
    return [split["name"] for split in found["splits"]]
