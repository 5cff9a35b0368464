"""What a newcomer gets wrong: one line that names the option, what was found, what is right."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
import grpc
import pytest
import trustme
from support_app import FILES, METHOD, ORDERS, in_process, until

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
from faust_grpc.testing import ScriptedServer

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
        ({"delivery": "once"}, "delivery='once': must be one of None, 'at_most_once', "),
        ({"delivery": "exactly_once"}, "delivery='exactly_once' without a cursor: what was not "),
        ({"delivery": "at_least_once"}, "delivery='at_least_once' without a cursor: what was not "),
        (
            {"delivery": "at_most_once", "cursor": Cursor("sequence", into="after_sequence")},
            "delivery='at_most_once' with a cursor: a saved cursor gives at_least_once",
        ),
        (
            {
                "delivery": "exactly_once",
                "cursor": Cursor("sequence", into="after_sequence"),
                "scope": "worker",
            },
            "delivery='exactly_once' with scope='worker': cursors of such a source are not saved",
        ),
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
