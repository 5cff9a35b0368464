"""What a worker tells of its sources, as plain JSON values."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from faust.types import AppT

from .. import __version__
from ..assignment import partition_of
from ..cursors import dump_cursor
from ..feeds import Feed
from ..runner import Runner
from .history import History

__all__ = ["problems_of", "worker_status"]

#: States that do not end by themselves.
_NEEDS_A_PERSON = {"fatal", "stuck"}


def worker_status(app: AppT, *, history: bool = False) -> dict[str, Any]:
    """Return what this worker does, and who does the rest.

    Every split of every source is there: those that run here with all that is known, the others
    with the address of the worker that owns them.

    Arguments:
        app: the application.
        history: add rates of the last minute.
    """
    runner = Runner.of(app)
    url = str(app.conf.canonical_url)
    owners = _owners(runner)
    sources = [_source(runner, feed, url, owners) for feed in runner.feeds.values()]
    if history:
        _add_rates(app, sources)
    return {
        "app": app.conf.id,
        "version": __version__,
        "worker": {
            "url": url,
            "pid": os.getpid(),
            "phase": runner.lifecycle.phase.value,
            "phase_seconds": round(runner.lifecycle.seconds, 1),
            "waiting_for": runner.lifecycle.waiting_for,
        },
        "workers": list(_workers(owners, sources, url)),
        "sources": sources,
        "problems": list(problems_of(sources)),
    }


def problems_of(sources: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a line about everything that needs a person."""
    for source in sources:
        for split in source["splits"]:
            if split.get("needs_person"):
                yield f"{source['name']}/{split['name']}: {split['state']}: {split['reason']}"


def _add_rates(app: AppT, sources: Iterable[Mapping[str, Any]]) -> None:
    known = History.of(app)
    for source in sources:
        for split in source["splits"]:
            if split["here"]:
                split["rate"] = known.rate(source["name"], split["name"])
                split["history"] = known.rates(source["name"], split["name"])


def _owners(runner: Runner) -> dict[str, frozenset[int]]:
    """Return every worker's partitions, by its address, as the group agreed on them."""
    topics = set(runner.checkpoints.topics)
    distribution = runner.app.router.tables_metadata()
    return {
        url: frozenset(
            partition
            for topic, partitions in assigned.items()
            if topic in topics
            for partition in partitions
        )
        for url, assigned in distribution.items()
    }


def _workers(
    owners: Mapping[str, frozenset[int]], sources: Iterable[Mapping[str, Any]], url: str
) -> Iterator[dict[str, Any]]:
    owned = [split["worker"] for source in sources for split in source["splits"]]
    for worker in sorted({url, *owners}):
        yield {
            "url": worker,
            "partitions": sorted(owners.get(worker, ())),
            "splits": owned.count(worker),
        }


def _source(
    runner: Runner, feed: Feed, url: str, owners: Mapping[str, frozenset[int]]
) -> dict[str, Any]:
    declared = feed.declaration
    status: Any = feed.channel.status()  # type: ignore[attr-defined]  # it is a GrpcSource
    running = {split.name: _running(asdict(split), url) for split in status.splits}
    partitions, places = runner.app.conf.topic_partitions, runner.placement.places(declared.name)
    owner = {partition: worker for worker, owned in owners.items() for partition in owned}
    splits = []
    for index, split in enumerate(declared.splits):
        partition = places.get(split.name, partition_of(index, partitions))
        elsewhere = _elsewhere(split.name, partition, owner.get(partition), url)
        splits.append(running.get(split.name) or elsewhere)
    return {
        "name": feed.declaration.name,
        "method": declared.method,
        "targets": [str(target) for target in declared.targets],
        "proxy": status.proxy,
        "scope": declared.scope,
        "guarantee": declared.guarantee,
        "waiting_for": status.waiting_for,
        "bad_timestamps": status.bad_timestamps,
        "splits": splits,
    }


def _running(split: dict[str, Any], url: str) -> dict[str, Any]:
    cursor = split["cursor"]
    return {
        **split,
        "cursor": None if cursor is None else dump_cursor(cursor),
        "worker": url,
        "here": True,
        "needs_person": split["state"] in _NEEDS_A_PERSON,
    }


def _elsewhere(name: str, partition: int, owner: str | None, url: str) -> dict[str, Any]:
    # An owner with our own address that is not us: two workers on one host with one --web-port.
    state, reason = ("elsewhere", "") if owner not in (None, url) else ("not running", "")
    return {
        "name": name,
        "partition": partition,
        "state": state,
        "reason": reason,
        "worker": owner,
        "here": False,
        "needs_person": False,
    }
