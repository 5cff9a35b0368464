"""What the tests of the status page look for on it."""

from __future__ import annotations

from urllib.parse import urlsplit

from faust_grpc.testing import wait_until

from .browser import Tab
from .controlled import Controlled

__all__ = [
    "SHOWN_SECONDS",
    "SPLITS",
    "button",
    "overhang",
    "owners",
    "page",
    "refreshed",
    "states",
    "wait_states",
    "well_behaved",
]

#: Time for a change to be on the page: a refresh is every two seconds, and the machine is busy.
SHOWN_SECONDS = 60.0

SPLITS = "table.splits tbody tr"


def owners(cluster: Controlled) -> set[str]:
    return {split["worker"] for split in cluster.splits("w1").values() if split["worker"]}


def page(cluster: Controlled, name: str = "w1") -> str:
    return f"{cluster.urls[name]}/grpc/"


def states(tab: Tab) -> dict[str, str]:
    """Return the state of every split, as it can be read."""
    names, words = tab.texts(f"{SPLITS} td:first-child"), tab.texts(f"{SPLITS} .state")
    return dict(zip(names, words, strict=True))


def wait_states(tab: Tab, **wanted: str) -> None:
    """Wait until these splits are shown in these states."""
    found: dict[str, str] = {}

    def told() -> bool:
        found.update(states(tab))
        return wanted.items() <= found.items()

    wait_until(told, SHOWN_SECONDS, f"{wanted} on the page")


def refreshed(tab: Tab, times: int = 2) -> None:
    """Wait until the page has asked for itself so many times more."""
    before = len(tab.requests)
    tab.wait_until(lambda: len(tab.requests) >= before + times, SHOWN_SECONDS, "refreshes")


def overhang(tab: Tab) -> list[str]:
    """Return what is wider than its place; such a thing would have to be scrolled."""
    places = "[...document.querySelectorAll('html, body, main')]"
    wide = f"{places}.filter(place => place.scrollWidth > innerWidth)"
    return list(tab.run(f"{wide}.map(place => `${{place.tagName}} ${{place.scrollWidth}}`)"))


def well_behaved(tab: Tab, cluster: Controlled) -> None:
    """Nothing was complained about, and nobody was asked but the worker."""
    assert tab.complaints == []
    hosts = {urlsplit(url).netloc for url in tab.requests}
    assert hosts == {urlsplit(cluster.urls["w1"]).netloc}


def button(split: str, action: str) -> str:
    order = {"pause": 1, "resume": 1, "restart": 2}
    return f"[data-split={split}] button:nth-child({order[action]})"
