"""Kafka Connect's configuration, read and translated."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from support.messages import message_class

from faust_grpc.connect import (
    FRAMEWORK,
    OPTIONS,
    Connector,
    Translation,
    module_text,
    read_connector,
    translate,
)
from faust_grpc.connect.requests import fields_from_json
from faust_grpc.connect.translation import Argument, Call
from faust_grpc.exceptions import ConfigurationError, FieldError
from faust_grpc.requests import build_request
from faust_grpc.schema import Method

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "from-kafka-connect.md"

SMALLEST = {
    "grpc.server.host": "localhost",
    "grpc.server.port": "9090",
    "grpc.service.name": "com.example.EventService",
    "grpc.method.name": "StreamEvents",
    "kafka.topic": "grpc-events",
}


def translated(**options: str) -> Translation:
    """Translate the smallest configuration and these options, ``_`` for ``.`` in their names."""
    given = {name.replace("_", "."): value for name, value in options.items()}
    return translate(Connector("events", {**SMALLEST, **given}))


def arguments(translation: Translation) -> dict[str, Any]:
    return {argument.name: argument.value for argument in translation.arguments}


def notes(translation: Translation) -> dict[str, str]:
    return {note.option: note.text for note in translation.notes}


# Reading


def test_properties_as_java_reads_them() -> None:
    text = (
        "# a comment\n! another\n\n"
        "a=1\n"
        "  b : two words \n"
        "c three\n"
        "d\\ d\\=e = x\\\n"
        "     y\n"
        "e=\\u00e9\\t\\\\\n"
        "path=C\\:\\\\x\n"
        "empty=\n"
        "a=2"
    )
    assert read_connector(text, "f").options == {
        "a": "2",
        "b": "two words ",
        "c": "three",
        "d d=e": "xy",
        "e": "é\t\\",
        "path": "C:\\x",
        "empty": "",
    }


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"name": "n", "config": {"a": 1, "b": true, "c": null, "d": "x"}}', "n"),
        ('\ufeff{"a": 1, "b": true, "d": "x"}', ""),
        ('{"name": "n", "a": "1", "b": "true", "d": "x"}', "n"),
    ],
)
def test_json_as_connect_has_it(text: str, name: str) -> None:
    connector = read_connector(text, "f")
    assert connector.name == name
    assert dict(connector.options) | {"name": ""} == {"a": "1", "b": "true", "d": "x", "name": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "f: there are no options in it"),
        ("{", "f: not JSON: "),
        ("[]", "f: give the JSON object of one connector, not a list"),
        ('{"config": 1}', "f: config=1: give the connector's options as a JSON object"),
        ('{"a": {"b": 1}}', "f: a is a dict: give text"),
        ("hello\n", "f: 'hello' is no option: write NAME=VALUE, or give JSON"),
    ],
)
def test_what_is_no_configuration(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        read_connector(text, "f")


# Translating


def test_the_smallest_configuration() -> None:
    done = translated()
    assert (done.target.text, done.method.text, done.topic.text) == (
        '"localhost:9090"',
        '"com.example.EventService/StreamEvents"',
        '"grpc-events"',
    )
    assert arguments(done) == {}
    # It has no descriptor, with which the connector would not have worked.
    assert list(notes(done)) == ["grpc.proto.descriptor"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"grpc_tls_enabled": "TRUE"}, {"tls": True}),
        (
            {"grpc_keepalive_time_ms": "400000", "grpc_keepalive_timeout_ms": "5000"},
            {"keepalive": ("Keepalive", {"interval_seconds": 400.0, "timeout_seconds": 5.0})},
        ),
        # What is not given is the connector's default: beside ours it could be no backoff at all.
        (
            {"grpc_reconnect_interval_ms": "45000"},
            {"backoff": ("Backoff", {"initial_seconds": 45.0, "maximum_seconds": 60.0})},
        ),
        (
            {"grpc_reconnect_backoff_max_ms": "2000"},
            {"backoff": ("Backoff", {"initial_seconds": 2.0, "maximum_seconds": 2.0})},
        ),
        ({"grpc_message_queue_size": "50"}, {"buffer": ("Buffer", {"messages": 50})}),
        (
            {"grpc_max_inbound_message_size": "1024"},
            {"buffer": ("Buffer", {"message_size_bytes": 1024})},
        ),
        ({"grpc_request_message": '{"a": [1, "x"]}'}, {"request": {"a": [1, "x"]}}),
        ({"grpc_request_message": " {} "}, {}),
        ({"grpc_tls_enabled": ""}, {}),
    ],
)
def test_options_with_an_equal(options: Mapping[str, str], expected: Mapping[str, Any]) -> None:
    found = {
        name: (value.name, value.arguments) if isinstance(value, Call) else value
        for name, value in arguments(translated(**options)).items()
    }
    assert found == expected


@pytest.mark.parametrize(
    ("options", "noted"),
    [
        ({"grpc_reconnect_enabled": "false"}, "grpc.reconnect.enabled"),
        ({"grpc_reconnect_max_attempts": "5"}, "grpc.reconnect.max.attempts"),
        ({"grpc_connection_timeout_ms": "5000"}, "grpc.connection.timeout.ms"),
        ({"grpc_keepalive_time_ms": "0"}, "grpc.keepalive.time.ms"),
        ({"grpc_keepalive_time_ms": "30000"}, "grpc.keepalive.time.ms"),
        ({"grpc_tls_ca_cert": "ca.pem"}, "grpc.tls.ca.cert"),
        ({"grpc_tls_enabled": "true", "grpc_tls_client_key": "k"}, "grpc.tls.client.key"),
        ({"grpc_metadata": "x-list:a,b"}, "grpc.metadata"),
        ({"grpc_metadata": "grpc-timeout:1"}, "grpc.metadata"),
        ({"grpc_metadata_x": "1"}, "grpc.metadata.x"),
        ({"grpc_reconnect_interval_ms": "0"}, "grpc.reconnect.interval.ms"),
        ({"tasks_max": "4"}, "tasks.max"),
        ({"transforms_a_type": "x"}, "transforms.a.type"),
    ],
)
def test_what_is_not_the_same_is_said(options: Mapping[str, str], noted: str) -> None:
    done = translated(**options)
    assert noted in notes(done)
    assert f"- {noted}: " in module_text(done, broker="kafka://b")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("grpc.tls.enable", "grpc.tls.enabled"),
        ("grpc.server.hots", "grpc.server.host"),
        ("kafka.topics", "kafka.topic"),
        ("task.max", "tasks.max"),
    ],
)
def test_an_unknown_option_is_named_with_the_nearest(name: str, nearest: str) -> None:
    (text,) = [text for option, text in notes(translated(**{name: "x"})).items() if option == name]
    assert text.startswith("unknown, to the connector too: did you mean ")
    assert repr(nearest) in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kafka_topic": " "}, "kafka.topic: is missing, and the connector needs it"),
        ({"grpc_server_port": "http"}, "grpc.server.host, grpc.server.port: 'http' is not a port"),
        ({"grpc_reconnect_interval_ms": "5s"}, "grpc.reconnect.interval.ms=5s: give a whole"),
        ({"grpc_message_queue_size": "0"}, "grpc.message.queue.size=0: give a number from 1 on"),
        ({"grpc_tls_enabled": "yes"}, "grpc.tls.enabled=yes: give true or false"),
        ({"grpc_tls_enabled": "${env:TLS}"}, "grpc.tls.enabled=${env:TLS}: what it stands for"),
        ({"grpc_request_message": "{"}, "grpc.request.message: not JSON: "),
        ({"grpc_request_message": "[]"}, "grpc.request.message: give a JSON object, not list"),
        ({"connector_class": "a.JdbcSourceConnector"}, "connector.class=a.JdbcSourceConnector: "),
    ],
)
def test_what_the_connector_would_refuse(options: Mapping[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        translated(**options)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_ipv6_goes_into_brackets() -> None:
    assert translated(grpc_server_host="::1").target.text == '"[::1]:9090"'


def test_what_is_looked_up_comes_from_the_environment() -> None:
    done = translated(
        grpc_server_host="${env:HOST}",
        grpc_metadata="authorization:Bearer MARKER,x-a:${vault:secret/a:b}-c,x-plain:it's",
    )
    assert done.target.text == 'os.environ["HOST"] + ":" + "9090"'
    assert {name: code.text for name, code in done.metadata.items()} == {
        "authorization": 'os.environ["GRPC_METADATA_AUTHORIZATION"]',
        "x-a": 'os.environ["GRPC_METADATA_X_A"] + "-c"',
        "x-plain": '"it\'s"',
    }
    assert [(lookup.variable, lookup.was) for lookup in done.lookups] == [
        ("HOST", ""),
        ("GRPC_METADATA_AUTHORIZATION", ""),
        ("GRPC_METADATA_X_A", "${vault:secret/a:b}"),
    ]
    assert "MARKER" not in module_text(done, broker="kafka://b")


# Requests


def asked(set_name: str, full_name: str) -> Method:
    request = message_class(set_name, full_name)
    return Method("tests.Service/Watch", request, request, False, True)


def written(fields: Mapping[str, Any]) -> Any:
    """Return what the text of a module has as ``request=``, evaluated."""
    done = translated()
    done.arguments.append(Argument("request", fields))
    tree = ast.parse(module_text(done, broker="kafka://b"))
    (value,) = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg == "request"
    ]
    known = {"datetime": datetime, "timedelta": timedelta, "timezone": timezone, "float": float}
    return eval(compile(ast.Expression(value), "request", "eval"), known)


@pytest.mark.parametrize(
    ("set_name", "full_name", "given"),
    [
        (
            "wkt",
            "cases.wkt.Wkt",
            {
                "at": "1969-12-31T23:59:58.000001Z",
                "took": "-90000.5s",
                "doc": {"a": 1.5, "b": [True, None, "x"], "c": {}},
                "val": ["a", {"b": None}],
                "list": [1, [2]],
                "i64": "9007199254740993",
                "str": "",
                "flag": False,
                "raw": "/w==",
                "mask": "aB,c",
                "empty": {},
                "many": ["9999-12-31T23:59:59.999999Z"],
                "dbl": "NaN",
            },
        ),
        (
            "numbers",
            "cases.numbers.N",
            {"u64": "18446744073709551615", "fl": 0.1, "db": "-Infinity", "by": "AA==", "ds": [1]},
        ),
        ("maps", "cases.maps.M", {"byInt": {"1": "x"}, "sides": {"k": "BUY"}, "byU64": {"5": {}}}),
        ("enums", "cases.enums.E", {"one": "NEG", "many": [0, "RUNNING"]}),
        ("presence", "cases.presence.P", {"optS": "", "sub": {"sub": {}}, "r": [1, 2]}),
        ("names", "cases.names.Names", {"from": 'it\'s "quoted"\n\\'}),
    ],
)
def test_a_request_keeps_its_meaning(set_name: str, full_name: str, given: dict[str, Any]) -> None:
    method = asked(set_name, full_name)
    fields = written(fields_from_json(method, given))
    built = build_request(method.request_class, fields)
    wanted = json_format.ParseDict(given, method.request_class())
    # By their bytes, maps in order: a NaN does not equal itself.
    assert built.SerializePartialToString(deterministic=True) == (
        wanted.SerializePartialToString(deterministic=True)
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"atl": 1}, "grpc.request.message: it is no cases.wkt.Wkt: Message type"),
        ({"at": "2026-01-01T00:00:00.000000001Z"}, "finer than a microsecond"),
        (
            {"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}},
            "it holds an Any",
        ),
    ],
)
def test_a_request_that_a_dict_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldError, match=said):
        fields_from_json(asked("wkt", "cases.wkt.Wkt"), given)


# The page


def rows(page: str, heading: str) -> list[list[str]]:
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_page_has_every_option_with_its_default() -> None:
    found = {}
    for row in rows(PAGE.read_text(), "Option by option"):
        for name in re.findall(r"`([^`]+)`", row[0]):
            found[name] = row[1]
    assert set(found) == {*OPTIONS, "grpc.metadata.NAME"}
    for name, option in OPTIONS.items():
        told = {True: "required", False: str(option.default).lower()}[option.is_required]
        assert found[name].strip("`").replace(" ", "") == (
            "-" if option.default is None and not option.is_required else told
        ), name


def test_every_option_of_the_page_is_handled() -> None:
    """Given, each changes the declaration or is spoken of."""
    samples = {
        "boolean": {True: "false", False: "true"},
        "integer": "7",
        "text": "x",
    }
    before = module_text(translated(grpc_tls_enabled="true"), broker="kafka://b")
    for name, option in OPTIONS.items():
        sample: Any = samples[option.kind]
        value = sample[bool(option.default)] if isinstance(sample, dict) else sample
        given = {"grpc.tls.enabled": "true", name: value}
        given |= {"grpc.server.port": "1"} if name == "grpc.server.port" else {}
        given |= {"grpc.request.message": '{"x": 1}'} if name == "grpc.request.message" else {}
        given |= {"grpc.metadata": "a:b"} if name == "grpc.metadata" else {}
        given |= {"grpc.tls.enabled": "false"} if name == "grpc.tls.enabled" else {}
        after = module_text(translated(**given), broker="kafka://b")
        assert after != before, name


def test_every_option_of_connect_in_the_page_is_known() -> None:
    found = [
        name.removesuffix("*")
        for row in rows(PAGE.read_text(), "Connect's own options")
        for name in re.findall(r"`([^`]+)`", row[0])
    ]
    assert sorted(found) == sorted(FRAMEWORK)
