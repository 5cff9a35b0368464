"""The status page: one file, which asks for nothing from anywhere else."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from .html import Markup, link, sparkline, table, tag

__all__ = ["page", "policy"]

#: Splits of one source that are shown; those that need somebody come first.
SHOWN = 1000

_DIRECTORY = Path(__file__).parent
_SHELL = Template((_DIRECTORY / "page.html").read_text())
_STYLE = (_DIRECTORY / "page.css").read_text()
_SCRIPT = (_DIRECTORY / "page.js").read_text()

_NUMBER_COLUMNS = ("messages", "un-acked", "buffered", "calls", "dead", "gaps")
_COLUMNS = ("split", "state", "rate", "cursor", *_NUMBER_COLUMNS, "worker")

#: What makes sense in a state; in any other: all of it.
_RUNNING, _ALL = ("pause", "restart"), ("pause", "resume", "restart")
_ACTIONS = {
    "connecting": _RUNNING,
    "open": _RUNNING,
    "receiving": _RUNNING,
    "synced": _RUNNING,
    "waiting": _RUNNING,
    "paused": ("resume",),
}

#: What of a split is shown in those columns.
_NUMBERS = ("messages", "unacked", "buffered", "calls", "dead_letters", "possible_gaps")


def policy(nonce: str) -> dict[str, str]:
    """Return headers that keep everything out that we did not write."""
    rules = (
        "default-src 'none'",
        "img-src data:",
        f"style-src 'nonce-{nonce}'",
        f"script-src 'nonce-{nonce}'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(rules),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def page(status: Mapping[str, Any], *, prefix: str, control: bool) -> tuple[str, str]:
    """Return the page, and the nonce of its style and script.

    Arguments:
        status: of the whole application.
        prefix: path of the pages.
        control: whether this worker has a token, so that buttons make sense.
    """
    nonce = secrets.token_urlsafe(16)
    text = _SHELL.substitute(
        title=tag("title", f"{status['app']}: gRPC sources"),
        nonce=nonce,
        style=_STYLE,
        script=_SCRIPT,
        main=tag("main", *_parts(status, prefix, control), data_prefix=prefix),
    )
    return text, nonce


def _parts(status: Mapping[str, Any], prefix: str, control: bool) -> Iterator[Markup]:
    worker = status["worker"]
    phase = worker["waiting_for"] and f", waiting for {worker['waiting_for']}"
    yield tag("h1", status["app"])
    yield tag("p", f"as {worker['url']} sees it ({worker['phase']}{phase})", class_="quiet")
    if status["problems"]:
        yield tag("h2", "Needs somebody")
        yield tag("ul", *(tag("li", line) for line in status["problems"]), class_="problems")
    else:
        yield tag("p", "Nothing needs a person.", class_="fine")
    for source in status["sources"]:
        yield from _source(source, prefix, control)
    yield tag("h2", "Workers")
    rows = (_worker(one, prefix) for one in status["workers"])
    yield table(("worker", "phase", "partitions", "splits"), rows)
    yield tag("p", f"faust-grpc {status['version']}", class_="quiet")


def _worker(worker: Mapping[str, Any], prefix: str) -> Iterator[str]:
    waiting = worker.get("waiting_for", "")
    phase = worker.get("phase", "")
    yield link(worker["url"], f"{worker['url']}{prefix}/")
    yield f"{phase}, waiting for {waiting}" if waiting else phase
    yield ", ".join(map(str, worker["partitions"])) or "-"
    yield str(worker["splits"] or "idle")


def _source(source: Mapping[str, Any], prefix: str, control: bool) -> Iterator[Markup]:
    yield tag("h2", source["name"])
    servers = ", ".join(source["targets"])
    if source["proxy"]:
        servers += f" through {source['proxy']}"
    guarantee = source["guarantee"].replace("_", " ")
    yield tag("p", f"{source['method']} at {servers}, {guarantee}", class_="quiet")
    if source["waiting_for"]:
        yield tag("p", f"Waiting for {source['waiting_for']}", class_="waits")
    if source["splits"]:
        yield tag("p", _count(source["splits"]), class_="quiet")
    splits = sorted(source["splits"], key=lambda split: not split["needs_person"])
    columns = (*_COLUMNS, "") if control else _COLUMNS
    rows = (_split(source["name"], split, prefix, control) for split in splits[:SHOWN])
    yield table(columns, rows, class_="splits")
    if len(splits) > SHOWN:
        yield tag("p", f"{len(splits) - SHOWN} more: see {prefix}/status", class_="quiet")


def _count(splits: Sequence[Mapping[str, Any]]) -> str:
    states = Counter(split["state"] for split in splits)
    told = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{len(splits)} {'split' if len(splits) == 1 else 'splits'}: {told}"


def _split(source: str, split: Mapping[str, Any], prefix: str, control: bool) -> Iterator[str]:
    yield split["name"]
    yield _state(split)
    rate = split.get("rate")
    shown = "-" if rate is None else f"{rate:g}/s "
    line = sparkline(split.get("history") or [])
    yield tag("td", tag("span", shown), line, class_="rate", data_label="rate")
    cursor = split.get("cursor")
    at = "-" if cursor is None else str(cursor["bytes"] if isinstance(cursor, dict) else cursor)
    yield tag("td", at, class_="cursor", data_label="cursor")
    for key, label in zip(_NUMBERS, _NUMBER_COLUMNS, strict=True):
        yield tag("td", str(split.get(key, "-")), class_="number", data_label=label)
    worker = split["worker"] or ""
    place = link(worker.partition("://")[2] or "-", f"{worker}{prefix}/")
    yield tag("td", place, class_="worker", data_label="worker")
    if control:
        yield _buttons(source, split)


def _state(split: Mapping[str, Any]) -> Markup:
    kind = "bad" if split["needs_person"] or split["state"] == "unknown" else split["state"]
    word = tag("span", split["state"], class_="state", data_state=kind)
    reasons = [text for text in (split["reason"], split.get("hint", "")) if text]
    if reasons and split.get("rule"):
        reasons.append(f"rule: {split['rule']}")
    reason = [tag("div", "; ".join(reasons), class_="reason")] if reasons else []
    return tag("td", word, *reason, class_="wide", data_label="state")


def _buttons(source: str, split: Mapping[str, Any]) -> Markup:
    # Shown by the script: without it they would do nothing.
    actions = _ACTIONS.get(split["state"], _ALL)
    buttons = (tag("button", action, type="button") for action in actions)
    names = {"data_source": source, "data_split": split["name"]}
    return tag("td", tag("span", *buttons, class_="actions", **names), class_="wide", data_label="")
