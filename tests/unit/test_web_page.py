"""The status page: what it shows, and that nobody can write into it."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from faust_grpc.web.html import link, sparkline, tag
from faust_grpc.web.page import SHOWN, page, policy

#: What a server (or a split's name) may say.
HOSTILE = "\"><script>alert('&')</script><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """The elements, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def split(name: str, **known: Any) -> dict[str, Any]:
    return {
        "name": name,
        "partition": 0,
        "state": "receiving",
        "reason": "",
        "worker": "http://w1:6066",
        "here": True,
        "needs_person": False,
        "messages": 12,
        "cursor": 42,
        "rate": 3.5,
        "history": [3.0, 4.0],
        **known,
    }


def status(*splits: dict[str, Any], **known: Any) -> dict[str, Any]:
    return {
        "app": "shop",
        "version": "1",
        "worker": {"url": "http://w1:6066", "phase": "running", "waiting_for": ""},
        "workers": [
            {"url": "http://w1:6066", "phase": "running", "partitions": [0], "splits": 1},
            {"url": "http://w2:6066", "phase": "running", "partitions": [1], "splits": 0},
        ],
        "sources": [
            {
                "name": "orders",
                "method": "shop.v1.OrderService/StreamOrders",
                "targets": ["localhost:50051"],
                "proxy": "",
                "guarantee": "at_least_once",
                "waiting_for": "",
                "splits": list(splits),
            }
        ],
        "problems": [],
        **known,
    }


def shown(told: dict[str, Any], *, control: bool = False) -> Elements:
    text, _ = page(told, prefix="/grpc", control=control)
    return Elements(text)


def test_every_split_with_its_owner_and_idle_workers() -> None:
    seen = shown(status(split("north"), split("south", worker="http://w2:6066")))

    for text in ("north", "south", "receiving", "42", "3.5/s", "at least once", "idle"):
        assert text in seen.text
    links = [value for name, value in seen.attributes if name == "href"]
    assert "http://w2:6066/grpc/" in links


def test_what_needs_a_person_stands_first() -> None:
    bad = split("south", state="fatal", reason="INVALID_ARGUMENT: no", needs_person=True)
    seen = shown(status(split("north"), bad, problems=["orders/south: fatal: no"]))

    assert seen.text.index("south") < seen.text.index("north")
    assert "INVALID_ARGUMENT: no" in seen.text
    assert "Nothing needs a person" not in seen.text


def test_the_proxy_in_use_and_the_rule_that_fired() -> None:
    rule = "built in: UNAVAILABLE: retry"
    told = status(
        split("north", state="waiting", reason="UNAVAILABLE: gone", rule=rule),
        split("south", rule="an older rule"),
    )
    told["sources"][0]["proxy"] = "proxy:3128 (http_proxy)"
    seen = shown(told)

    assert "localhost:50051 through proxy:3128 (http_proxy)" in seen.text
    assert f"UNAVAILABLE: gone; rule: {rule}" in seen.text
    assert "an older rule" not in seen.text


def test_a_hostile_server_writes_no_markup() -> None:
    calm = shown(status(split("north", reason="calm", hint="calm"), problems=["calm"]))
    told = status(
        split(HOSTILE, state=HOSTILE, reason=HOSTILE, hint=HOSTILE, cursor=HOSTILE, worker=HOSTILE),
        app=HOSTILE,
        problems=[HOSTILE],
    )
    told["sources"][0] |= {
        "name": HOSTILE,
        "method": HOSTILE,
        "targets": [HOSTILE],
        "proxy": HOSTILE,
        "waiting_for": HOSTILE,
    }
    told["workers"][0] |= {"url": HOSTILE, "phase": HOSTILE, "waiting_for": HOSTILE}
    told["worker"] |= {"url": HOSTILE, "waiting_for": HOSTILE}
    seen = shown(told, control=True)

    assert set(seen.tags) - set(calm.tags) <= {"button"}
    assert seen.tags.count("script") == 1
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    assert HOSTILE in seen.text


def test_an_address_that_is_no_address_is_no_link() -> None:
    assert link("w", "javascript:alert(1)") == "<span>w</span>"
    assert 'href="https://w:1/"' in link("w", "https://w:1/")


def test_more_than_a_thousand_splits_are_not_all_drawn() -> None:
    splits = [split(f"s{number}") for number in range(SHOWN + 500)]
    splits[-100] |= {"state": "fatal", "needs_person": True}
    text, _ = page(status(*splits), prefix="/grpc", control=True)

    assert "500 more: see /grpc/status" in text
    assert f"{SHOWN + 500} splits: {SHOWN + 499} receiving, 1 fatal" in text
    assert f">s{SHOWN + 400}<" in text
    assert text.count('class="state"') == SHOWN


@pytest.mark.parametrize(
    ("state", "buttons"),
    [
        ("receiving", ["pause", "restart"]),
        ("paused", ["resume"]),
        ("fatal", ["pause", "resume", "restart"]),
    ],
)
def test_buttons_only_with_a_token_and_only_what_makes_sense(
    state: str, buttons: list[str]
) -> None:
    assert "button" not in shown(status(split("north", state=state))).tags
    seen = shown(status(split("north", state=state)), control=True)

    assert seen.tags.count("button") == len(buttons)
    assert "".join(buttons) in seen.text
    assert ("data-split", "north") in seen.attributes


def test_nothing_is_asked_for_elsewhere() -> None:
    text, nonce = page(status(split("north")), prefix="/grpc", control=True)
    seen = Elements(text)
    asked = [v for name, v in seen.attributes if name in ("src", "href", "action", "data")]

    assert all(value and value.startswith(("data:,", "http://w")) for value in asked)
    rules = policy(nonce)["Content-Security-Policy"]
    assert f"script-src 'nonce-{nonce}'" in rules
    assert "default-src 'none'" in rules
    assert seen.attributes.count(("nonce", nonce)) == 2
    assert page(status(), prefix="/grpc", control=False)[1] != nonce


def test_texts_and_attributes_are_escaped() -> None:
    assert tag("td", "<&>", data_x='"') == '<td data-x="&quot;">&lt;&amp;&gt;</td>'
    assert tag("p", tag("b", "x"), class_="c") == '<p class="c"><b>x</b></p>'


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_values_draw_nothing(values: list[float]) -> None:
    assert sparkline(values) == ""


def test_a_line_stays_inside_its_picture() -> None:
    drawn = dict(Elements(sparkline([0.0, 5.0, 10.0])).attributes)

    assert drawn["points"] == "0,19 1,10 2,1"
    assert drawn["viewbox"] == "0 0 2 20"
    assert "0,19" in sparkline([0.0, 0.0])


def test_marks_that_turn_a_text_around_can_be_seen() -> None:
    assert tag("td", "ab\u202ecd\u2066") == "<td>ab\\u202ecd\\u2066</td>"
    # Not where it is an address: what is asked for is the name as it is.
    assert "\u202e" in tag("td", data_split="\u202e")
