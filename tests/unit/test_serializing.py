"""Bytes of table records: the short way gives what Faust's own way gives."""

from __future__ import annotations

import datetime
from typing import Any

import faust
import pytest
from faust.serializers.schemas import Schema

from faust_grpc.serializing import TableSerializer


class Point(faust.Record):
    x: int
    name: str = "p"


class Tagging(Schema):
    """A user's schema that adds a header."""

    def on_dumps_value_prepare_headers(self, value: Any, headers: Any) -> Any:
        return {**headers, "tag": b"1"}


VALUES = [0, -1, 2**53, 1.5, True, "", "ü", "a/b", [1, [2]], {"a": {"b": None}}, {1: 2}, [Point(1)]]
ODD_VALUES = [None, b"raw", (1, 2), Point(1), datetime.datetime(2026, 1, 2, 3, 4, 5)]
KEYS = ["a", "ü", 7, 1.5, ("a", (1.0, 2.0)), b"k", [1, "a"], Point(2)]


def by_faust(table: Any, key: Any, value: Any) -> Any:
    topic = table.changelog_topic
    raw_key, headers = topic.prepare_key(key, table.key_serializer, None, {})
    raw_value, headers = topic.prepare_value(value, table.value_serializer, None, headers)
    return raw_key, raw_value, list(headers.items()) or None


@pytest.fixture
def app() -> faust.App:
    return faust.App("serializing", broker="kafka://127.0.0.1:1", store="memory://")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"key_type": int},
        {"key_type": str, "value_type": int},
        {"value_type": Point},
        {"schema": Schema(key_serializer="json", value_serializer="json|binary")},
        {"schema": Schema(key_type=str, value_type=str)},
        {"schema": Tagging()},
    ],
)
def test_bytes_are_fausts(app: faust.App, options: dict[str, Any]) -> None:
    table: Any = app.Table("t", **options)
    serialize = TableSerializer(table)
    for key in KEYS:
        for value in [*VALUES, *ODD_VALUES]:
            wanted = by_faust(table, key, value)
            assert serialize(key, value, None, None) == wanted, (key, value)


def test_a_deleted_key_has_no_value(app: faust.App) -> None:
    """As ``Table.on_key_del`` writes it."""
    table: Any = app.Table("t", default=int)
    assert TableSerializer(table)("a", None, None, "raw") == (b'"a"', None, None)


def test_a_tables_contents_do_not_matter(app: faust.App) -> None:
    """Tables compare by contents; two empty ones are equal and have different topics."""
    first, second = app.Table("first"), app.Table("second")
    assert TableSerializer(first).topic_name != TableSerializer(second).topic_name
