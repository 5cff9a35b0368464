"""Whether a worker is ready: for probes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from faust.types import AppT

from ..exceptions import ConfigurationError
from ..runner import Runner
from .status import worker_status

__all__ = ["Require", "not_ready", "requirement"]

#: ``assigned``: partitions are assigned and tables recovered. ``receiving``: and every split of
#: this worker has an open call. ``synced``: and has caught up with its server.
Require = Literal["assigned", "receiving", "synced"]

#: What a split may be doing to count, by requirement. Who pauses a split knows that it is paused.
_GOOD: dict[Require, set[str]] = {
    "receiving": {"open", "receiving", "synced", "paused", "finished"},
    "synced": {"synced", "paused", "finished"},
}


def requirement(text: str | None) -> Require:
    """Return what ``?require=`` asks for.

    Raises:
        ConfigurationError: it is none of the three.
    """
    if text is None:
        return "assigned"
    if text not in ("assigned", *_GOOD):
        raise ConfigurationError(
            f"require={text!r}: must be one of 'assigned', 'receiving', 'synced'"
        )
    return text


def not_ready(app: AppT, require: Require) -> Iterator[str]:
    """Yield why this worker is not ready, a line each."""
    waiting_for = Runner.of(app).lifecycle.waiting_for
    if waiting_for:
        yield f"waiting for {waiting_for}"
        return
    if require == "assigned":
        return
    for source in worker_status(app)["sources"]:
        if source["waiting_for"]:
            yield f"{source['name']}: waiting for {source['waiting_for']}"
        for split in source["splits"]:
            if split["here"] and split["state"] not in _GOOD[require]:
                reason = f": {split['reason']}" if split["reason"] else ""
                yield f"{source['name']}/{split['name']}: {split['state']}{reason}"
