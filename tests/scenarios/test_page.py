"""The status page as a person has it: in a browser, of workers that run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from support import OrderServer
from support.browser import Browser, Tab
from support.controlled import REGIONS, Controlled
from support.orders import PYTHON_SERVER

from faust_grpc.schema import DescriptorSet
from faust_grpc.testing import (
    Broker,
    Fail,
    ScriptedServer,
    Send,
    Stall,
    broker,
    free_port,
    wait_until,
)

#: Time for a change to be on the page: a refresh is every two seconds, and the machine is busy.
SHOWN_SECONDS = 60.0

#: What names, cursors and errors may hold: ends of whatever they could stand in, and marks that
#: turn the reading around.
HOSTILE = (
    "\u202e\"'></td></main></script><script>window.owned = 1; document.title = 'owned'</script>"
    "<img src=x onerror='window.owned = 2'><svg onload='window.owned = 3'></svg>"
    "<iframe src='javascript:parent.owned = 4'></iframe><style>* {display: none}</style>"
    "<meta http-equiv=refresh content='0; url=/'><base href='http://127.0.0.1:9/'>&lt;b&gt;"
)

SCHEMA = Path(__file__).parents[2] / "examples" / "orders" / "orders.binpb"
ORDER = GetMessageClass(DescriptorSet(SCHEMA).pool.FindMessageTypeByName("shop.v1.Order"))

SPLITS = "table.splits tbody tr"

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
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.tab() as opened:
        opened.see(1280)
        yield opened


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


@pytest.fixture
def make(mock_broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Controlled]]:
    """``make(server, **options)``: a cluster whose workers are still to be started."""
    with ExitStack() as stack:
        yield lambda server, **options: stack.enter_context(
            Controlled(mock_broker, server, tmp_path, app="shown", **options)
        )


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


def button(split: str, action: str) -> str:
    order = {"pause": 1, "resume": 1, "restart": 2}
    return f"[data-split={split}] button:nth-child({order[action]})"


def test_no_token_no_buttons(
    tab: Tab, make: Callable[..., Controlled], order_server: OrderServer
) -> None:
    cluster = make(order_server, FAUST_GRPC_TOKEN="")
    cluster.start("w1")
    cluster.wait_states("w1")
    tab.open(page(cluster))
    refreshed(tab)

    assert tab.count(SPLITS) == 4
    assert tab.count("button") == 0
    well_behaved(tab, cluster)


def test_workers_that_do_not_answer(
    tab: Tab, make: Callable[..., Controlled], order_server: OrderServer
) -> None:
    """First another one, then the one whose page it is."""
    cluster = make(order_server)
    cluster.start("w1", "w2")
    wait_until(lambda: len(owners(cluster)) == 2, 90, "both read")
    cluster.wait_states("w1")
    told = cluster.splits("w1")
    theirs = [name for name in REGIONS if told[name]["worker"] == cluster.urls["w2"]]
    tab.open(page(cluster))
    cluster.workers["w2"].stop()
    wait_states(tab, **dict.fromkeys(theirs, "unknown"))
    assert f"worker {cluster.urls['w2']} does not answer" in tab.text(".problems")
    cluster.workers["w2"].cont()
    wait_states(tab, **dict.fromkeys(REGIONS, "receiving"))
    assert tab.count(".problems") == 0

    cluster.workers["w1"].stop()
    note = "This worker has not answered since"
    wait_until(lambda: tab.text("[role=status]").startswith(note), SHOWN_SECONDS, note)
    assert tab.count(SPLITS) == 4, "what was known is still there"
    cluster.workers["w1"].cont()
    wait_until(lambda: tab.text("[role=status]") == "", SHOWN_SECONDS, "no note")
    well_behaved(tab, cluster)


def test_a_hostile_server_and_hostile_names(
    tab: Tab, make: Callable[..., Controlled], order_server: OrderServer
) -> None:
    """Names, errors, reasons and cursors full of markup are texts; nothing else becomes of them."""
    method = "shop.v1.OrderService/StreamOrders"
    with ScriptedServer() as refusing, ScriptedServer() as sending:
        refusing.script(method, Fail(StatusCode.INVALID_ARGUMENT, HOSTILE))
        order = ORDER(sequence=1, order_id=HOSTILE)
        sending.script(method, (Send(order), Stall()))
        more = [
            {"name": HOSTILE, "target": refusing.target, "splits": [HOSTILE]},
            {
                "name": "sent",
                "target": sending.target,
                "splits": ["one"],
                "cursor": ("order_id", "region"),
            },
        ]
        cluster = make(order_server, regions=["north"], MORE_SOURCES=json.dumps(more))
        cluster.start("w1")
        seen = HOSTILE.replace("\u202e", "\\u202e")
        cluster.wait_states("w1")
        tab.open(page(cluster))
        wait_states(tab, **{seen: "fatal", "one": "receiving"})
        refreshed(tab)
        elements = tab.count("main *")
        refreshed(tab)

        # Each of them is there to be read: two names, the error and the problem, a cursor.
        assert f"{seen}/{seen}: fatal: INVALID_ARGUMENT: {seen}" in tab.text(".problems")
        assert tab.texts("h2") == ["Needs somebody", "orders", seen, "sent", "Workers"]
        assert any(seen in reason for reason in tab.texts(".reason"))
        assert seen in tab.texts(".cursor")
        assert tab.run("window.owned") is None
        assert tab.run("document.title") == f"{cluster.env['APP_ID']}: gRPC sources"
        for injected in ("script", "img", "iframe", "style", "meta", "base", "b", "[onload]"):
            assert tab.count(f"main {injected}") == 0, injected
        assert tab.count("script") == tab.count("style") == 1
        assert tab.count("main *") == elements
        assert tab.run("location.href") == page(cluster)
        for width in (1280, 390):
            tab.see(width, phone=width == 390)
            assert overhang(tab) == []

        # The buttons of such names ask for these names, and nothing else.
        calls = len(refusing.calls)
        tab.click(".problems ~ table [data-split^='\u202e'] button:nth-child(3)", "hush")
        tab.wait_until(lambda: len(refusing.calls) > calls, SHOWN_SECONDS, "a new call")
        well_behaved(tab, cluster)


def test_a_thousand_splits(
    tab: Tab,
    make: Callable[..., Controlled],
    start_go_order_server: Callable[..., OrderServer],
) -> None:
    names = [f"s{number}" for number in range(1000)]
    cluster = make(start_go_order_server(), regions=names, RATE="1")
    cluster.start("w1")
    wait_until(lambda: cluster.get("w1", "health/live")[0] == 200, 60, "a web server")
    tab.open(page(cluster))
    told = "h2 + p + p"
    wait_until(lambda: tab.text(told) == "1000 splits: 1000 receiving", 120, "all receive")
    refreshed(tab)

    assert list(states(tab)) == names
    assert overhang(tab) == []
    tab.click(button("s999", "pause"), "hush")
    wait_until(lambda: tab.texts("[data-split=s999] button") == ["resume"], SHOWN_SECONDS)
    assert tab.text(told) == "1000 splits: 999 receiving, 1 paused"
    assert list(states(tab).values()) == ["receiving"] * 999 + ["paused"]
    well_behaved(tab, cluster)
