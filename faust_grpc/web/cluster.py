"""The whole application: what the other workers tell is put into what this one knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout
from faust.types import AppT

from .status import problems_of, worker_status

__all__ = ["FORWARDED", "cluster_status", "forward"]

#: How long another worker may take.
STATUS_SECONDS = 2.0
ACTION_SECONDS = 20.0

#: Marks what came from another worker: it is not sent on.
FORWARDED = "X-Faust-Grpc-Forwarded"


async def cluster_status(app: AppT, prefix: str, *, history: bool = False) -> dict[str, Any]:
    """Return :func:`worker_status` with every split as its owner tells it.

    A worker that does not answer is named in ``problems``, and its splits are ``unknown``.

    Arguments:
        app: the application.
        prefix: path of the pages, with every worker the same.
        history: add rates of the last minute.
    """
    status = worker_status(app, history=history)
    page = f"{prefix}/status{'?history=true' if history else ''}"
    others = [worker["url"] for worker in status["workers"] if worker["url"] != _own(status)]
    async with ClientSession(timeout=ClientTimeout(total=STATUS_SECONDS)) as session:
        told = await asyncio.gather(*(_ask(session, f"{url}{page}") for url in others))
    answers = dict(zip(others, told, strict=True))
    for worker in status["workers"]:
        _complete(worker, status["worker"] if worker["url"] == _own(status) else None, answers)
    running = dict(_running(answers.values()))
    for source in status["sources"]:
        source["splits"] = [
            split
            if split["here"]
            else _told(split, running.get((source["name"], split["name"])), answers)
            for split in source["splits"]
        ]
    for worker in status["workers"]:
        splits = (split["worker"] for source in status["sources"] for split in source["splits"])
        worker["splits"] = sum(1 for url in splits if url == worker["url"])
    silent = [
        f"worker {url} does not answer: {answer}"
        for url, answer in answers.items()
        if isinstance(answer, str)
    ]
    return {**status, "problems": [*silent, *problems_of(status["sources"])]}


async def forward(
    app: AppT, url: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, Any]]:
    """Send a request for control on to the worker that owns the split; return its answer."""
    kept = {name: headers[name] for name in ("Authorization", "Content-Type") if name in headers}
    timeout = ClientTimeout(total=ACTION_SECONDS)
    try:
        async with (
            ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers={**kept, FORWARDED: "1"}) as response,
        ):
            return response.status, json.loads(await response.read())
    except (ClientError, OSError, ValueError, asyncio.TimeoutError) as error:
        return 502, {"error": f"its worker does not answer: {url}: {_said(error)}"}


async def _ask(session: ClientSession, url: str) -> dict[str, Any] | str:
    """Return a worker's status, or why there is none."""
    try:
        async with session.get(url) as response:
            if response.status != 200:
                return f"HTTP status {response.status}"
            status = json.loads(await response.read())
    except (ClientError, OSError, ValueError, asyncio.TimeoutError) as error:
        return _said(error)
    ours = isinstance(status, dict) and isinstance(status.get("sources"), list)
    return status if ours else "its answer is not ours"


def _said(error: Exception) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _own(status: Mapping[str, Any]) -> str:
    return str(status["worker"]["url"])


def _complete(
    worker: dict[str, Any],
    own: Mapping[str, Any] | None,
    answers: Mapping[str, Mapping[str, Any] | str],
) -> None:
    answer = answers.get(worker["url"])
    told = own if own is not None else answer["worker"] if isinstance(answer, Mapping) else {}
    worker["answers"] = bool(told)
    worker["phase"] = told.get("phase", "unknown")
    worker["waiting_for"] = told.get("waiting_for", "")


def _running(
    answers: Iterable[Mapping[str, Any] | str],
) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
    """Yield the splits that other workers run, by source and name."""
    for answer in answers:
        for source in answer["sources"] if not isinstance(answer, str) else ():
            for split in source["splits"]:
                if split["here"]:
                    yield (source["name"], split["name"]), {**split, "here": False}


def _told(
    split: dict[str, Any],
    running: dict[str, Any] | None,
    answers: Mapping[str, Mapping[str, Any] | str],
) -> dict[str, Any]:
    """Return a split as its owner tells it."""
    if running is not None:
        return running
    answer = answers.get(split["worker"] or "")
    if answer is None:
        return split
    if isinstance(answer, str):
        return {**split, "state": "unknown", "reason": f"its worker does not answer: {answer}"}
    return {**split, "state": "not running", "reason": answer["worker"]["waiting_for"]}
