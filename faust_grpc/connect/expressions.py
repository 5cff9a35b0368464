"""Values of options as Python: texts, and what Connect's config providers would have put in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Code", "Lookup", "expression", "has_reference", "literal", "variable"]

# KIP-297: ${provider:key} or ${provider:path:key}.
_REFERENCE = re.compile(r"\$\{([^}:]*):((?:[^}]*:)?[^}]*)\}")


@dataclass(frozen=True)
class Code:
    """An expression of Python, as it stands."""

    text: str


@dataclass(frozen=True)
class Lookup:
    """A value that is not in the file.

    Arguments:
        variable: the environment variable that it is taken from now.
        was: where Connect took it from, or empty if it stood in the file.
    """

    variable: str
    was: str

    @property
    def code(self) -> str:
        """Python that looks it up."""
        return f"os.environ[{literal(self.variable)}]"


def has_reference(text: str) -> bool:
    """Return whether a text has something that a config provider would replace."""
    return _REFERENCE.search(text) is not None


def expression(text: str, option: str) -> tuple[Code, list[Lookup]]:
    """Return a text as Python, and what it looks up.

    Arguments:
        text: as it stands in the file.
        option: whose value it is; names the environment variable of a secret.
    """
    parts: list[str] = []
    lookups: list[Lookup] = []
    for part in _parts(text, option):
        if isinstance(part, Lookup):
            lookups.append(part)
            parts.append(part.code)
        else:
            parts.append(literal(part))
    return Code(" + ".join(parts) or '""'), lookups


def _parts(text: str, option: str) -> Iterator[str | Lookup]:
    end = 0
    found = list(_REFERENCE.finditer(text))
    for number, match in enumerate(found, 1):
        if match.start() > end:
            yield text[end : match.start()]
        if match[1] == "env":
            yield Lookup(match[2], "")
        else:
            suffix = f"_{number}" if len(found) > 1 else ""
            yield Lookup(variable(option) + suffix, match[0])
        end = match.end()
    if end < len(text):
        yield text[end:]


def variable(option: str) -> str:
    """Return the environment variable for an option: ``grpc.tls.ca.cert`` → GRPC_TLS_CA_CERT."""
    return re.sub(r"\W+", "_", option).strip("_").upper()


def literal(value: object) -> str:
    """Return a value as formatters write it: texts in double quotes where that needs no escape."""
    if isinstance(value, (str, bytes)):
        text = repr(value)
        prefix = "b" if isinstance(value, bytes) else ""
        quote, body = text[len(prefix)], text[len(prefix) + 1 : -1]
        if quote == "'" and '"' not in body:
            return f'{prefix}"{body.replace(chr(92) + chr(39), chr(39))}"'
        return text
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return repr(value)
