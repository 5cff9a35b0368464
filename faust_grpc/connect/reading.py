"""Files that configure a connector: Java properties, and the JSON of Connect's REST interface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["Connector", "read_connector"]

#: What ends a key: the first of these that is not escaped.
_SEPARATOR = re.compile(r"(?<!\\)(?:\\\\)*([=:\s])")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTROL = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}


@dataclass(frozen=True)
class Connector:
    """A connector as it was configured.

    Arguments:
        name: its name, or empty.
        options: all options as text, ``name`` among them if it was given there.
    """

    name: str
    options: Mapping[str, str]


def read_connector(text: str, origin: str) -> Connector:
    """Read a connector's configuration.

    Arguments:
        text: a properties file, or JSON: an object of options, or one with them under ``config``.
        origin: what errors call it.

    Raises:
        ConfigurationError: it is neither.
    """
    if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        name, options = _from_json(text.lstrip("\ufeff"), origin)
    else:
        name, options = "", dict(_properties(text.lstrip("\ufeff"), origin))
    if not options:
        raise ConfigurationError(f"{origin}: there are no options in it")
    return Connector(name or options.get("name", ""), options)


def _from_json(text: str, origin: str) -> tuple[str, dict[str, str]]:
    try:
        given = json.loads(text)
    except ValueError as exc:
        raise ConfigurationError(f"{origin}: not JSON: {exc}") from exc
    if not isinstance(given, dict):
        raise ConfigurationError(
            f"{origin}: give the JSON object of one connector, not a {type(given).__name__}"
        )
    options = given.get("config", given)
    if not isinstance(options, dict):
        raise ConfigurationError(
            f"{origin}: config={options!r}: give the connector's options as a JSON object"
        )
    name = given.get("name", "") if options is not given else ""
    return str(name), {key: _text(key, value, origin) for key, value in _set(options)}


def _set(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in options.items() if value is not None)


def _text(key: str, value: Any, origin: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigurationError(f"{origin}: {key} is a {type(value).__name__}: give text")


def _properties(text: str, origin: str) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a properties file, by the rules of ``java.util.Properties``."""
    for line in _logical_lines(text):
        separator = _SEPARATOR.search(line)
        if separator is None:
            if not any(character in line for character in "=:"):
                raise ConfigurationError(
                    f"{origin}: {line[:40]!r} is no option: write NAME=VALUE, or give JSON"
                )
            key, rest = line, ""
        else:
            key, rest = line[: separator.start(1)], line[separator.start(1) :]
            rest = re.sub(r"\A\s*[=:]?\s*", "", rest)
        yield _unescaped(key), _unescaped(rest)


def _logical_lines(text: str) -> Iterator[str]:
    """Yield lines with their continuations; comments and empty lines left out."""
    waiting = ""
    for line in re.split(r"\r\n|\n|\r", text):
        line = line.lstrip(" \t\f")
        if not waiting and (not line or line[0] in "#!"):
            continue
        backslashes = len(line) - len(line.rstrip("\\"))
        if backslashes % 2:
            waiting += line[:-1]
            continue
        if waiting or line:
            yield waiting + line
        waiting = ""
    if waiting:
        yield waiting


def _unescaped(text: str) -> str:
    def character(match: re.Match[str]) -> str:
        escaped = match[1]
        if len(escaped) == 5:
            return chr(int(escaped[1:], 16))
        return _CONTROL.get(escaped, escaped)

    return _ESCAPE.sub(character, text)
