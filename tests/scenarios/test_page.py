"""The status page as a person has it: in a browser, of workers that run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support import OrderServer
from support.browser import Tab
from support.controlled import REGIONS, Controlled
from support.orders import PYTHON_SERVER
from support.pages import (
    SHOWN_SECONDS,
    SPLITS,
    button,
    overhang,
    owners,
    page,
    wait_states,
    well_behaved,
)

from faust_grpc.testing import broker, free_port, wait_until

#: Every text of the page whose contrast to what is behind it is too low (WCAG 2, level AA).
TOO_PALE = """
(() => {
    const light = ([red, green, blue]) => [red, green, blue]
        .map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
    const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
    const behind = element => {
        const colour = numbers(getComputedStyle(element).backgroundColor);
        const opaque = colour.length === 3 || colour[3] === 1;
        return opaque ? colour : behind(element.parentElement);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const found = [];
    let seen = 0;
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
        const ink = light(numbers(getComputedStyle(element).color)), paper = light(behind(element));
        const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        if (ratio < 4.5) found.push([walker.currentNode.data, ratio]);
        seen += 1;
    }
    return {seen, found, paper: light(behind(document.body))};
})()
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controlled]:
    """Two workers with the source ``orders``, and ``returns``, whose server is not there."""
    directory = tmp_path_factory.mktemp("shop")
    returns = {"name": "returns", "target": f"127.0.0.1:{free_port()}", "splits": ["eu", "us"]}
    with (
        broker("mock") as mock,
        OrderServer(PYTHON_SERVER, directory) as server,
        Controlled(
            mock, server, directory, app="shown", MORE_SOURCES=json.dumps([returns])
        ) as cluster,
    ):
        cluster.start("w1", "w2")
        wait_until(lambda: len(owners(cluster)) == 2, 90, "both read")
        cluster.wait_states("w1")
        yield cluster


def test_every_split_its_state_and_its_owner(tab: Tab, shop: Controlled) -> None:
    tab.open(page(shop))
    wait_states(tab, **dict.fromkeys(REGIONS, "receiving"), eu="waiting", us="waiting")

    assert tab.texts("h2") == ["orders", "returns", "Workers"]
    assert "4 splits: 4 receiving" in tab.text("main")
    told = shop.splits("w1")
    links = tab.run(f"[...document.querySelectorAll('{SPLITS} .worker a')].map(a => a.href)")
    assert links[:4] == [f"{told[name]['worker']}/grpc/" for name in REGIONS]
    reasons = tab.texts(".reason")
    assert len(reasons) == 2
    assert all("Connection refused" in reason for reason in reasons)
    # A line of what came in the last seconds, with a height that follows it.
    wait_until(lambda: tab.count(f"{SPLITS} polyline") == 6, SHOWN_SECONDS, "six lines")
    boxes = tab.run("[...document.querySelectorAll('svg')].map(svg => svg.clientWidth)")
    assert boxes == [90] * 6
    well_behaved(tab, shop)


def test_what_changes_is_shown_without_a_reload(tab: Tab, shop: Controlled) -> None:
    """The server is killed, and comes back."""
    tab.open(page(shop))
    tab.run("window.opened = 'once'")
    wait_states(tab, **dict.fromkeys(REGIONS, "receiving"))
    shop.server.kill()
    wait_states(tab, **dict.fromkeys(REGIONS, "waiting"))
    assert [text for text in tab.texts(".reason") if not text.startswith("UNAVAILABLE")] == []
    shop.server.start()
    wait_states(tab, **dict.fromkeys(REGIONS, "receiving"))

    assert tab.run("window.opened") == "once"
    well_behaved(tab, shop)


def test_what_is_focused_and_selected_survives_a_refresh(tab: Tab, shop: Controlled) -> None:
    tab.open(page(shop))
    focused = "document.activeElement.textContent"
    tab.run("document.querySelector('.worker a').focus()")
    linked = tab.run(focused)
    tab.run("window.first = document.querySelector('main')")
    wait_until(lambda: tab.run("!window.first.isConnected"), SHOWN_SECONDS, "a refresh")
    assert tab.run(focused) == linked

    tab.run("getSelection().selectAllChildren(document.querySelector('.reason'))")
    selected = tab.run("String(getSelection())")
    assert "Connection refused" in selected
    wait_until(lambda: "while text is selected" in tab.text("[role=status]"), SHOWN_SECONDS)
    assert tab.run("String(getSelection())") == selected
    tab.run("getSelection().removeAllRanges()")
    wait_until(lambda: tab.text("[role=status]") == "", SHOWN_SECONDS, "no note")
    well_behaved(tab, shop)


@pytest.mark.parametrize("width", [390, 800, 1100, 1280, 1600])
def test_no_page_is_wider_than_its_window(tab: Tab, shop: Controlled, width: int) -> None:
    tab.see(width, phone=width < 600)
    tab.open(page(shop))

    assert tab.run("innerWidth") == width
    assert overhang(tab) == []
    well_behaved(tab, shop)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_texts_can_be_read_in_both_schemes(tab: Tab, shop: Controlled, dark: bool) -> None:
    tab.see(1280, dark=dark)
    tab.open(page(shop))
    wait_states(tab, north="receiving", eu="waiting")
    looked = tab.run(TOO_PALE)

    assert looked["found"] == []
    assert looked["seen"] > 80
    assert looked["paper"] < 0.05 if dark else looked["paper"] > 0.9


def test_buttons_do_what_they_say(tab: Tab, shop: Controlled) -> None:
    """… in the worker that is looked at, and in the other one."""
    tab.open(page(shop))
    wait_states(tab, **dict.fromkeys(REGIONS, "receiving"))
    here, there = (
        next(name for name, split in shop.splits("w1").items() if split["worker"] == url)
        for url in (shop.urls["w1"], shop.urls["w2"])
    )
    tab.click(button(here, "pause"), "wrong")
    tab.wait_until(lambda: len(tab.dialogs) == 2, SHOWN_SECONDS, "a refusal")
    assert tab.dialogs == ["Token of the workers", "wrong token"]
    assert shop.splits("w1")[here]["state"] == "receiving"

    tab.click(button(here, "pause"), "hush")
    wait_states(tab, **{here: "paused"})
    tab.click(button(there, "pause"))
    wait_states(tab, **{there: "paused"})
    assert shop.splits("w2")[there]["state"] == "paused"
    for name in (here, there):
        assert tab.texts(f"[data-split={name}] button") == ["resume"]
        tab.click(button(name, "resume"))
    wait_states(tab, **dict.fromkeys(REGIONS, "receiving"))

    calls = len(shop.resumed_behind(there))
    tab.click(button(there, "restart"))
    tab.wait_until(lambda: len(shop.resumed_behind(there)) > calls, SHOWN_SECONDS, "a new call")
    wait_states(tab, **{there: "receiving"})
    # Asked for once more after it was wrong, then known.
    assert tab.dialogs == ["Token of the workers", "wrong token", "Token of the workers"]
    complaints = [text for text in tab.complaints if "401" not in text]
    assert complaints == []
