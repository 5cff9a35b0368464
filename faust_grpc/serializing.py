"""Table keys and values to bytes, exactly as Faust does it: JSON without detours.

Faust asks a topic, its schema, its registry and a codec for every key and every value. For JSON of
plain types the answer is known beforehand; everything else goes their way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from faust.serializers.codecs import get_codec
from faust.serializers.codecs import json as JsonCodec
from faust.serializers.registry import Registry
from faust.serializers.schemas import Schema
from faust.tables.base import Collection
from faust.utils.json import dumps

__all__ = ["Serialized", "TableSerializer"]

#: Key, value, headers.
Serialized: TypeAlias = "tuple[bytes, bytes | None, list[tuple[str, bytes]] | None]"

#: What these are in JSON does not depend on anything but themselves.
_PLAIN = frozenset({str, int, float, bool, dict, list})


class TableSerializer:
    """Serializes the writes of one table.

    Arguments:
        table: the table.
    """

    def __init__(self, table: Collection) -> None:
        self._table = table
        self._topic: Any = table.changelog_topic  # its interface lacks the headers argument
        self._is_json = _key_is_json(table) and _value_is_json(table)
        self.topic_name: str = table.changelog_topic_name

    def __call__(
        self, key: Any, value: Any, key_serializer: Any, value_serializer: Any
    ) -> Serialized:
        """Serialize one write.

        Arguments:
            key: its key.
            value: its value; ``None`` for a deleted key.
            key_serializer: instead of the table's.
            value_serializer: instead of the table's.

        Raises:
            Exception: whatever the codec raises.
        """
        if (
            self._is_json
            and key_serializer is None
            and value_serializer is None
            and type(key) in _PLAIN
            and type(value) in _PLAIN
        ):
            return _bytes(dumps(key)), _bytes(dumps(value)), None
        table, topic = self._table, self._topic
        raw_key, headers = topic.prepare_key(key, key_serializer or table.key_serializer, None, {})
        raw_value, headers = topic.prepare_value(
            value, value_serializer or table.value_serializer, None, headers
        )
        return raw_key, raw_value, list(headers.items()) or None


def _key_is_json(table: Collection) -> bool:
    schema: Any = table.changelog_topic.schema
    registry: Any = table.app.serializers
    return _is_stock(schema, registry) and _codec_is_json(
        registry._serializer(
            schema.key_type, table.key_serializer or schema.key_serializer, registry.key_serializer
        )
    )


def _value_is_json(table: Collection) -> bool:
    schema: Any = table.changelog_topic.schema
    registry: Any = table.app.serializers
    return _is_stock(schema, registry) and _codec_is_json(
        registry._serializer(
            schema.value_type,
            table.value_serializer or schema.value_serializer,
            registry.value_serializer,
        )
    )


def _is_stock(schema: Any, registry: Any) -> bool:
    """Return whether nothing of what Faust asks was replaced by a user."""
    methods: tuple[Callable[..., Any], ...] = (
        Schema.dumps_key,
        Schema.dumps_value,
        Schema.on_dumps_key_prepare_headers,
        Schema.on_dumps_value_prepare_headers,
    )
    kind = type(schema)
    return type(registry) is Registry and all(
        getattr(kind, method.__name__) is method for method in methods
    )


def _codec_is_json(serializer: Any) -> bool:
    codec = get_codec(serializer) if serializer else None
    return type(codec) is JsonCodec and len(codec.nodes) == 1


def _bytes(text: str | bytes) -> bytes:
    """Return bytes: Faust's ``dumps`` gives them with orjson, and text without."""
    return text.encode() if isinstance(text, str) else text
