"""The status page in a browser, of workers that are started for one test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode
from support import OrderServer
from support.browser import Tab
from support.controlled import REGIONS, Controlled
from support.pages import (
    SHOWN_SECONDS,
    SPLITS,
    button,
    overhang,
    owners,
    page,
    refreshed,
    states,
    wait_states,
    well_behaved,
)

from faust_grpc.schema import DescriptorSet
from faust_grpc.testing import Broker, Fail, ScriptedServer, Send, Stall, wait_until

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


@pytest.fixture
def make(mock_broker: Broker, tmp_path: Path) -> Iterator[Callable[..., Controlled]]:
    """``make(server, **options)``: a cluster whose workers are still to be started."""
    with ExitStack() as stack:
        yield lambda server, **options: stack.enter_context(
            Controlled(mock_broker, server, tmp_path, app="shown", **options)
        )


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
