"""What a newcomer gets wrong: one line that names the option, what was found, what is right."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import faust
import grpc
import pytest
import trustme
from support import Worker
from support_app import FILES, METHOD, ORDERS, in_process, orders, until

from faust_grpc import (
    TLS,
    ConfigurationError,
    Cursor,
    GrpcSource,
    ReflectionFailed,
    Rule,
    Split,
    Verdict,
)
from faust_grpc.testing import ScriptedServer, Send, Stall, broker

TARGET = "127.0.0.1:50051"


class WantsPrice(faust.Record):
    sequence: int
    price: float


class WantsText(faust.Record):
    sequence: str


def declare(target: str = TARGET, method: str = METHOD, **options: Any) -> None:
    GrpcSource(faust.App("newcomer"), target, method, **{"schema": ORDERS, **options})


# At declaration, with a static schema


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"method": "shop.v1.OrderService/StreamOrder"},
            "shop.v1.OrderService has no method 'StreamOrder': did you mean 'StreamOrders'?",
        ),
        (
            {"method": "shop.v1.OrderServic/StreamOrders"},
            "no service 'shop.v1.OrderServic': did you mean 'shop.v1.OrderService'?",
        ),
        ({"method": "StreamOrders"}, "method 'StreamOrders': write it as 'package.Service/Method'"),
        (
            {"method": "StreamOrders", "schema": None},
            "method 'StreamOrders': write it as 'package.Service/Method'",
        ),
        (
            {"method": "shop.v1.OrderService/GetProgress"},
            "is unary: a source needs a method whose response is a stream",
        ),
        (
            {"key": "orderid"},
            "key='orderid': shop.v1.Order has no field 'orderid': did you mean 'order_id'?",
        ),
        ({"key": "items"}, "key='items': it is a repeated field"),
        ({"timestamp": "creatd_at"}, "timestamp='creatd_at': shop.v1.Order has no field"),
        ({"explode": "item"}, "explode='item': shop.v1.Order has no field 'item'"),
        ({"skip": "heartbeat"}, "skip='heartbeat': shop.v1.Order has no field"),
        ({"error": "fault"}, "error='fault': shop.v1.Order has no field"),
        (
            {"cursor": Cursor("sequenc", into="after_sequence")},
            "Cursor(path='sequenc'): shop.v1.Order has no field 'sequenc': "
            "did you mean 'sequence'?",
        ),
        (
            {"cursor": Cursor("sequence", into="after")},
            "Cursor(into='after'): shop.v1.StreamOrdersRequest has no field 'after'",
        ),
        (
            {"cursor": Cursor("order_id", into="after_sequence")},
            "order_id is str, but shop.v1.StreamOrdersRequest.after_sequence is int",
        ),
        ({"cursor": "sequence"}, "cursor='sequence': give Cursor(path, into=request_field)"),
        (
            {"cursor": Cursor("sequence", into="after_sequence", start="1")},
            "Cursor(start='1'): is str; the position is int",
        ),
        (
            {"request": {"regio": "eu"}},
            "request.regio: shop.v1.StreamOrdersRequest has no such field: did you mean 'region'?",
        ),
        ({"request": {"region": 3}}, "request.region is a str, and 3 is an int"),
        (
            {"splits": {"eu": {"regio": "eu"}}},
            "splits['eu'].regio: shop.v1.StreamOrdersRequest has no such field",
        ),
        ({"splits": ["eu", "us"]}, "splits=: 'eu' is no Split; write {'eu': {request fields}}"),
        ({"splits": {}}, "splits=: is empty; leave it out for a single stream"),
        ({"splits": [Split("eu"), Split("eu")]}, "splits=: the name 'eu' is there twice"),
        (
            {"value_type": WantsPrice},
            "value_type=WantsPrice: shop.v1.Order has no field 'price'",
        ),
        (
            {"value_type": WantsText},
            "value_type=WantsText: its field 'sequence' wants str where shop.v1.Order.sequence "
            "has int",
        ),
        ({"value_type": 3}, "value_type=3: give None, dict, ProtoJson, a faust.Record"),
        ({"schema": "missing.binpb"}, "missing.binpb: no such file or directory"),
        ({"schema": 3}, "schema=3: give a generated *_pb2_grpc module"),
        ({"target": "localhost"}, "has no port, and gRPC would dial 443"),
        ({"target": "kafka://localhost:1"}, "gRPC has no scheme 'kafka'"),
        ({"target": "localhost:99999"}, "'99999' is not a port"),
        ({"tls": "yes"}, "tls='yes': give True or TLS(...)"),
        ({"metadata": {"Bad Name": "x"}}, "metadata: the name 'Bad Name' may only hold"),
        ({"buffer": 100}, "buffer=100: give Buffer(...)"),
        ({"rules": ["UNAVAILABLE"]}, "rules=: 'UNAVAILABLE' is no Rule(code, verdict, ...)"),
        ({"reader": "fast"}, "reader='fast': must be one of 'auto', 'threaded', 'aio'"),
        ({"scope": "all"}, "scope='all': must be one of 'cluster', 'worker'"),
        ({"dead_letter": "letters"}, "dead_letter='letters': give a topic, app.topic(name)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_option_is_named_in_one_line(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare(**options)
    text = str(caught.value)
    assert line in text
    assert "\n" not in text


def test_a_traceback_ends_at_the_users_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        declare(key="orderid")
    error = caught.value
    assert [entry.name for entry in caught.traceback[1:]] == ["declare", "__init__"]
    assert error.__suppress_context__


def test_a_source_is_declared_once_per_name() -> None:
    app = faust.App("newcomer")
    GrpcSource(app, TARGET, METHOD, schema=ORDERS)
    with pytest.raises(ConfigurationError, match=r"declared twice in app 'newcomer': give one of"):
        GrpcSource(app, TARGET, METHOD, schema=ORDERS)
    GrpcSource(app, TARGET, METHOD, schema=ORDERS, name="again")


def test_a_rule_is_accepted() -> None:
    declare(rules=[Rule(grpc.StatusCode.NOT_FOUND, Verdict.RETRY)])


# When the server tells the types


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"key": "orderid"},
            "key='orderid': shop.v1.Order has no field 'orderid': did you mean 'order_id'?",
        ),
        (
            {"cursor": Cursor("sequenc", into="after_sequence")},
            "Cursor(path='sequenc'): shop.v1.Order has no field 'sequenc': did you mean "
            "'sequence'?",
        ),
        (
            {"request": {"regio": "eu"}},
            "request.regio: shop.v1.StreamOrdersRequest has no such field: did you mean 'region'?",
        ),
        ({"value_type": WantsPrice}, "value_type=WantsPrice: shop.v1.Order has no field 'price'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_with_reflection_the_same_is_found(options: dict[str, Any], line: str) -> None:
    server = ScriptedServer(files=FILES)
    async with in_process((), server, schema=None, **options) as rig:
        with pytest.raises(ConfigurationError) as caught:
            await rig.feed.prepare()
    assert str(caught.value).startswith(line)


async def test_a_server_without_reflection() -> None:
    async with in_process((), schema=None) as rig:
        with pytest.raises(ReflectionFailed) as caught:
            await rig.feed.prepare()
    assert str(caught.value) == (
        "the server does not offer reflection: give schema= a generated module or a descriptor set"
    )


async def test_a_certificate_that_is_not_there() -> None:
    async with in_process((), tls=TLS(roots="missing.pem")) as rig:
        with pytest.raises(ConfigurationError) as caught:
            await rig.feed.prepare()
    assert str(caught.value) == (
        "TLS: roots='missing.pem': cannot be read: No such file or directory"
    )


def server_credentials() -> grpc.ServerCredentials:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in certificate.cert_chain_pems)
    return grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])


@pytest.mark.parametrize("schema", [None, ORDERS], ids=["reflection", "descriptor set"])
@pytest.mark.parametrize(
    ("server_has_tls", "tls", "line"),
    [
        (True, None, "it probably expects TLS; use tls=True"),
        (False, True, "the server does not speak TLS on this port: use tls=False"),
        (
            True,
            TLS(roots=trustme.CA().cert_pem.bytes()),
            "the server's certificate is not signed by a root that is trusted here",
        ),
    ],
    ids=["plaintext against TLS", "TLS against plaintext", "another root"],
)
async def test_a_connection_that_cannot_work_is_explained(
    schema: Any, server_has_tls: bool, tls: Any, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = server_credentials() if server_has_tls else None
    server = ScriptedServer(files=FILES, credentials=credentials)
    async with in_process((), server, schema=schema, tls=tls) as rig:

        @rig.app.agent(rig.source)
        async def agent(stream: Any) -> None:
            async for _ in stream:
                pass

        await rig.start()
        preparing = asyncio.ensure_future(rig.feed.prepare())
        await until(lambda: line in rig.waiting_for, lambda: rig.waiting_for)
        preparing.cancel()
    (said, *_) = [record for record in caplog.messages if line in record]
    assert said.startswith("orders")
    assert "attempt 2 in" in said


# In a worker, run as a newcomer runs it: ``faust -A newcomer worker``


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
    up, down = ScriptedServer(files=FILES, calls_at_once=32), ScriptedServer(files=FILES)
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
