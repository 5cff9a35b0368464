"""What a newcomer gets wrong, as a worker tells it: the last words are one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from support import Worker

from faust_grpc.testing import ScriptedServer, Send, Stall, broker
from faust_grpc.testing.orders import FILES, OrderHistory

METHOD = "shop.v1.OrderService/StreamOrders"
ORDERS = FILES  # the descriptor set
SET = FileDescriptorSet.FromString(FILES.read_bytes())


def orders(count: int) -> list[bytes]:
    return [OrderHistory("r0").wire(number) for number in range(1, count + 1)]


# Run as a newcomer runs it: ``faust -A newcomer worker``


APP = """
import json, os
import faust
from faust_grpc import Cursor, GrpcSource

scenario = json.loads(os.environ["SCENARIO"])
app = faust.App(scenario["id"], **scenario["app"])
orders = GrpcSource(
    app,
    scenario["target"],
    name="orders",
    cursor=Cursor("sequence", into="after_sequence"),
    **{"method": "shop.v1.OrderService/StreamOrders", **scenario.get("source", {})},
)
table = app.Table("counts", default=int, partitions=scenario.get("table"))

if scenario.get("agent", True):
    @app.agent(orders)
    async def count(orders):
        async for order in orders:
            if "table" in scenario:
                table[order.region] += 1
            print(f"processed {order.sequence}", flush=True)
"""

SCENARIOS: dict[str, dict[str, Any]] = {
    "wrong method": {"source": {"method": "shop.v1.OrderService/StreamOrder"}},
    "wrong key at import": {"source": {"schema": str(ORDERS), "key": "orderid"}},
    "server down": {},
    "server down, static schema": {"source": {"schema": str(ORDERS)}},
    "no agent": {"agent": False},
    "topics with 4 partitions": {"app": {"topic_partitions": 8}},
    "table with 2 partitions": {"table": 2},
}


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[ScriptedServer, ScriptedServer]]:
    """An order service that is up, and one that is down."""
    up, down = ScriptedServer(files=SET, calls_at_once=32), ScriptedServer(files=SET)
    for server in (up, down):
        server.script(METHOD, (Send(*orders(3)), Stall()))
    with up:
        yield up, down
        down.stop()


@pytest.fixture(scope="module")
def workers(
    tmp_path_factory: pytest.TempPathFactory, services: tuple[ScriptedServer, ScriptedServer]
) -> Iterator[dict[str, Worker]]:
    """One worker per scenario, all at once: each waits some seconds for its group."""
    directory = tmp_path_factory.mktemp("newcomers")
    (directory / "newcomer.py").write_text(APP)
    up, down = services
    with ExitStack() as stack:
        settings = stack.enter_context(broker("mock")).faust_settings()
        settings |= {"store": "memory://", "topic_replication_factor": 1}
        started = {}
        for number, (name, scenario) in enumerate(SCENARIOS.items()):
            worker = started[name] = Worker(
                "faust",
                *("-A", "newcomer", "worker", "--without-web", "-l", "info"),
                log=directory / f"{number}.log",
                name=name,
                cwd=directory,
                env={
                    "SCENARIO": json.dumps(
                        {
                            "id": f"newcomer-{number}",
                            "target": (down if "down" in name else up).target,
                            **scenario,
                            "app": {**settings, **scenario.get("app", {})},
                        }
                    )
                },
            )
            stack.callback(worker.kill)
            worker.start()
        yield started


def last_words(worker: Worker) -> str:
    """Return the last line of a worker that ended by itself, without success."""
    assert worker.wait(60) == 1
    output = worker.output()
    assert "Traceback" not in output, output
    return output.rstrip().splitlines()[-1]


def test_a_server_that_is_down_is_waited_for(
    workers: dict[str, Worker], services: tuple[ScriptedServer, ScriptedServer]
) -> None:
    waiting = [workers["server down"], workers["server down, static schema"]]
    for worker in waiting:
        worker.wait_for_line(r"orders.*UNAVAILABLE.*nothing listens.*attempt \d+ in")
    services[1].start()
    for worker in waiting:
        worker.wait_for_line(r"processed 3")
        assert worker.alive


def test_a_worker_with_a_wrong_method_ends_with_one_line(workers: dict[str, Worker]) -> None:
    assert last_words(workers["wrong method"]) == (
        "orders: shop.v1.OrderService has no method 'StreamOrder': did you mean 'StreamOrders'?"
    )


def test_a_mistake_at_import_ends_with_its_line(workers: dict[str, Worker]) -> None:
    worker = workers["wrong key at import"]
    assert worker.wait(60) == 1
    *_, last = worker.output().rstrip().splitlines()
    assert last == (
        "faust_grpc.exceptions.FieldError: key='orderid': shop.v1.Order has no field 'orderid': "
        "did you mean 'order_id'?"
    )
    frames = re.findall(r'^  File "(.*)", line', worker.output(), re.MULTILINE)
    assert [Path(frame).name for frame in frames[-2:]] == ["newcomer.py", "source.py"]


def test_topics_with_another_partition_count_end_the_worker(workers: dict[str, Worker]) -> None:
    """The mock broker makes topics with four."""
    worker = workers["topics with 4 partitions"]
    assert re.fullmatch(
        r"topic '\S+-changelog' has 4 partitions, but the app has topic_partitions=8: "
        r"set topic_partitions=4, or begin anew with another app id \(or without the topic\)",
        last_words(worker),
    )
    assert "processed" not in worker.output()


def test_a_table_with_another_partition_count_is_named(workers: dict[str, Worker]) -> None:
    # The worker ends: Faust would ack the event whose agent failed, and a checkpoint pass it.
    worker = workers["table with 2 partitions"]
    assert worker.wait(60) == 1
    assert worker.output().rstrip().splitlines()[-1] == (
        "table 'counts' has partitions=2, but the app has topic_partitions=4: a source's events "
        "can write only tables with as many; leave partitions= out of the table"
    )


def test_no_agent_reads_the_source(workers: dict[str, Worker]) -> None:
    worker = workers["no agent"]
    worker.wait_for_line(
        r"orders: no agent reads this source, so nothing is read .*: declare one with @app.agent"
    )
    worker.wait_for_line(r"orders: 1 of 1 splits are ours")
    assert "reading shop.v1" not in worker.output()
