"""All views of a cluster, asked at once: do they tell the same story?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from faust_grpc.testing import wait_until

from .controlled import REGIONS, Controlled

__all__ = ["AGREE_SECONDS", "Story", "agree"]

#: Who looks so long after the first view told a story hears the same from every other.
AGREE_SECONDS = 2.0

#: How long the story itself may take: a rebalance on a busy machine.
REACH_SECONDS = 90.0


@dataclass(frozen=True)
class Story:
    """What all splits of a cluster do.

    Arguments:
        states: each split is in one of them: who waits calls again now and then.
        splits: how many each worker reads, by the worker's name.
    """

    states: frozenset[str]
    splits: Mapping[str, int]

    def in_metrics(self, states: list[str], name: str) -> bool:
        """Tell whether a worker's metrics, which are about its own splits, fit."""
        return len(states) == self.splits[name] and self.states.issuperset(states)

    def in_document(self, cluster: Controlled, splits: list[dict[str, Any]]) -> bool:
        """Tell whether the splits of a status document fit."""
        owners = [split["worker"] for split in splits]
        return (
            len(splits) == len(REGIONS)
            and self.states.issuperset(split["state"] for split in splits)
            and all(owners.count(cluster.urls[name]) == n for name, n in self.splits.items())
        )


@dataclass(frozen=True)
class View:
    """Something to look at.

    Arguments:
        name: for people.
        whole: whether it is about every split, not about some.
        fits: looks at it, and tells whether it shows the story.
    """

    name: str
    whole: bool
    fits: Callable[[], bool]


@dataclass(frozen=True)
class Look:
    """One look at a view: when it was asked and answered, and whether it showed the story."""

    view: View
    asked: float
    answered: float
    fits: bool


def agree(cluster: Controlled, story: Story) -> None:
    """Wait until a story is told, and hold every view to it from two seconds later on.

    What counts is when a view is asked: a slow answer of a busy machine is no old one.
    """
    views = list(_views(cluster, story))
    told: list[float] = []

    def agreed() -> bool:
        looks = list(pool.map(_look, views))
        if not told:
            told.extend(sorted(look.answered for look in looks if look.fits and look.view.whole))
        behind = [look for look in looks if not look.fits]
        late = [look.view.name for look in behind if told and look.asked > told[0] + AGREE_SECONDS]
        assert not late, f"{story} was told {AGREE_SECONDS:g} s ago, but not by {late}"
        return not behind

    with ThreadPoolExecutor(len(views)) as pool:
        wait_until(agreed, REACH_SECONDS, f"{story}")
    for name in story.splits:
        command = json.loads(cluster.run("status", "--json", "--url", cluster.urls[name]))
        assert story.in_document(cluster, command["sources"][0]["splits"]), (name, command)


def _look(view: View) -> Look:
    asked = time.monotonic()
    fits = view.fits()
    return Look(view, asked, time.monotonic(), fits)


def _views(cluster: Controlled, story: Story) -> Iterator[View]:
    for name in story.splits:
        yield View(f"status of {name}", True, partial(_status, cluster, story, name))
        yield View(f"page of {name}", True, partial(_page, cluster, story, name))
        yield View(f"metrics of {name}", False, partial(_metrics, cluster, story, name))
        yield View(f"readiness of {name}", False, partial(_ready, cluster, story, name))


def _status(cluster: Controlled, story: Story, name: str) -> bool:
    return story.in_document(cluster, list(cluster.splits(name).values()))


def _page(cluster: Controlled, story: Story, name: str) -> bool:
    main = cluster.text(name, "/grpc/").partition("<main")[2]
    states = re.findall(r'class="state" data-state="(.*?)"', main)
    owners = {name: f">{cluster.urls[name].partition('://')[2]}</a>" for name in story.splits}
    return (
        len(states) == len(REGIONS)
        and story.states.issuperset(states)
        and all(main.count(owners[name]) == count for name, count in story.splits.items())
    )


def _metrics(cluster: Controlled, story: Story, name: str) -> bool:
    sample = r'^faust_grpc_split_state{.*state="(.*?)"} 1.0$'
    return story.in_metrics(re.findall(sample, cluster.text(name, "/metrics"), re.M), name)


def _ready(cluster: Controlled, story: Story, name: str) -> bool:
    """A worker is ready without its servers too, but not for who requires receiving."""
    receiving = 200 if "receiving" in story.states else 503
    return (
        cluster.get(name, "health/ready")[0] == 200
        and cluster.get(name, "health/ready?require=receiving")[0] == receiving
    )
