"""Control over HTTP: a request becomes a call of :class:`Control`, here or in another worker."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from faust.types import AppT

from ..control import Control, NotHere
from ..cursors import load_cursor
from ..exceptions import ConfigurationError, DataError, HostError, nearest
from ..runner import Runner
from .cluster import cluster_status, forward
from .status import worker_status

__all__ = ["Asked", "perform"]

_ACTIONS = ("pause", "resume", "restart", "checkpoint")


class Asked(NamedTuple):
    """A request for control, its token checked."""

    source: str
    split: str
    action: str
    headers: Mapping[str, str]
    body: bytes


async def perform(
    app: AppT, asked: Asked, prefix: str, *, forwarded: bool
) -> tuple[int, dict[str, Any]]:
    """Do what was asked; return the HTTP status and the answer.

    Arguments:
        app: the application.
        asked: what.
        prefix: path of the pages, with every worker the same.
        forwarded: another worker sent it here: it is not sent on.
    """
    try:
        control = _control(app, asked)
        await _act(control, asked)
    except NotHere as error:
        if forwarded:
            return 409, {"error": f"{error}: a rebalance began; try again"}
        return await _elsewhere(app, asked, prefix)
    except ConfigurationError as error:
        return 400, {"error": str(error)}
    except DataError as error:
        return 409, {"error": str(error)}
    except HostError as error:
        return 503, {"error": str(error)}
    return 200, _find(asked, worker_status(app))


def _control(app: AppT, asked: Asked) -> Control:
    runner = Runner.of(app)
    if asked.source not in runner.feeds:
        clause = nearest(asked.source, runner.feeds)
        raise ConfigurationError(f"no source {asked.source!r}: {clause}")
    if asked.action not in _ACTIONS:
        raise ConfigurationError(f"no action {asked.action!r}: {nearest(asked.action, _ACTIONS)}")
    return Control(runner, runner.feeds[asked.source])


async def _act(control: Control, asked: Asked) -> None:
    options = _options(asked.body)
    match asked.action:
        case "pause":
            reason = options.get("reason")
            await control.pause(asked.split, *([str(reason)] if reason else []))
        case "resume":
            await control.resume(asked.split, skip=options.get("skip") is True)
        case "restart":
            await control.restart(asked.split)
        case _:
            await control.move(asked.split, _cursor(options))


def _options(body: bytes) -> dict[str, Any]:
    try:
        options = json.loads(body or b"{}")
    except ValueError:
        options = None
    if not isinstance(options, dict):
        raise ConfigurationError("the body is no JSON object")
    return options


def _cursor(options: Mapping[str, Any]) -> Any:
    if "cursor" not in options:
        raise ConfigurationError('give {"cursor": ...}: an integer, text, or null for none')
    cursor = options["cursor"]
    try:
        if isinstance(cursor, bool):
            raise ValueError
        return None if cursor is None else load_cursor(cursor)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f'cursor {cursor!r}: give an integer, text, {{"bytes": base64}}, or null'
        ) from error


async def _elsewhere(app: AppT, asked: Asked, prefix: str) -> tuple[int, dict[str, Any]]:
    owner = _find(asked, await cluster_status(app, prefix))["worker"]
    if owner is None or owner == str(app.conf.canonical_url):
        return 503, {"error": f"{asked.source}/{asked.split} runs nowhere yet: try again"}
    path = "/".join(quote(part, safe="") for part in (asked.source, asked.split, asked.action))
    return await forward(app, f"{owner}{prefix}/{path}", asked.headers, asked.body)


def _find(asked: Asked, status: Mapping[str, Any]) -> dict[str, Any]:
    for source in status["sources"]:
        for split in source["splits"] if source["name"] == asked.source else ():
            if split["name"] == asked.split:
                return dict(split)
    raise ConfigurationError(f"source {asked.source!r} has no split {asked.split!r}")
