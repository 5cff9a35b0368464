"""``faust-grpc status``, ``pause``, ``resume`` and ``restart`` against a worker's pages."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from support_app import orders
from support_web import TOKEN, pages

from faust_grpc.cli.base import commands
from faust_grpc.testing import free_port

#: Split b's third message is none.
BAD = {"b": [*orders(2), b"\xff no order", *orders(5)[3:]]}


async def test_K02_one_bad_message_stops_one_split_until_it_is_passed_over() -> None:
    async with pages(BAD, on_poison="halt") as worker:
        await worker.reach(b="fatal")
        status = await worker.command("status")
        retried = await worker.command("resume", "orders", "--split", "b")
        await worker.reach(b="fatal")
        calls = len(worker.servers["b"].calls)
        skipped = await worker.command("resume", "orders", "--split", "b", "--skip")
        await worker.reach()
        after = await worker.command("status", "--json")

    assert status.exit_code == 1
    assert "orders/b: fatal: " in status.stderr
    assert status.stdout.count("receiving") == 3
    assert retried.exit_code == 0
    assert calls == 2, "it was tried again, and halted again"
    assert skipped.exit_code == 0
    assert after.exit_code == 0
    (source,) = json.loads(after.stdout)["sources"]
    assert [split["cursor"] for split in source["splits"]] == [5, 5, 5, 5]


async def test_K02_with_skip_all_go_on() -> None:
    async with pages(BAD, on_poison="skip") as worker:
        await worker.reach()
        status = await worker.command("status", "--json")

    (source,) = json.loads(status.stdout)["sources"]
    assert [split["dead_letters"] for split in source["splits"]] == [0, 1, 0, 0]
    assert [split["cursor"] for split in source["splits"]] == [5, 5, 5, 5]


async def test_a_whole_source_is_paused_and_one_split_resumed() -> None:
    async with pages() as worker:
        await worker.reach()
        paused = await worker.command("pause", "orders", "--reason", "server moves")
        await worker.reach(a="paused", b="paused", c="paused", d="paused")
        resumed = await worker.command("resume", "orders", "--split", "c", "--json")
        await worker.reach(a="paused", b="paused", c="open", d="paused")
        status = await worker.command("status")

    assert paused.stdout.count("paused") == 4
    (split,) = json.loads(resumed.stdout)["splits"]
    assert split["name"] == "c"
    assert status.exit_code == 0, "who paused it knows"
    assert "orders/a: paused: server moves" in status.stderr


NAMED = [
    "wrong token; here by --token or $FAUST_GRPC_TOKEN",
    "'orders'",
    "'orders'",
    "no split 'e'",
]


async def test_refusals_are_one_line() -> None:
    async with pages() as worker:
        await worker.reach()
        refused = [
            await worker.command("pause", "orders", "--token", "wrong"),
            await worker.command("pause", "order"),
            await worker.command("status", "--source", "order"),
            await worker.command("restart", "orders", "--split", "e"),
        ]
    for result, named in zip(refused, NAMED, strict=True):
        assert result.exit_code == 1
        assert named in result.stderr
        assert result.stderr.count("\n") == 1
        assert TOKEN not in result.output


async def test_tables_fit_in_80_columns() -> None:
    async with pages() as worker:
        await worker.reach()
        result = await worker.command("status")

    # In a pipe a row is one line; these are short.
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (f"http://127.0.0.1:{free_port()}", "does not answer"),
        ("localhost:6066", "give a URL such as http://localhost:6066"),
    ],
    ids=["a closed port", "no URL"],
)
def test_no_worker_there(url: str, named: str) -> None:
    result = CliRunner().invoke(commands, ["status", "--url", url])

    assert result.exit_code == 1
    assert named in result.stderr
    assert result.stderr.count("\n") == 1
