"""What commands print: plain text in a pipe, coloured on a terminal."""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, BinaryIO

import orjson
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

__all__ = [
    "JsonLines",
    "json_line",
    "print_code",
    "print_json",
    "print_table",
    "printable",
    "say",
    "waiting",
]

#: What is over sooner shows no sign of work: it would only flicker.
_PATIENCE_SECONDS = 1.0


def say(text: str) -> None:
    """Print a line for people on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say what takes its time: on a terminal, after a second, until it is done; in a pipe nothing.

    Arguments:
        text: what is waited for. Nothing else may be printed meanwhile.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    sign = console.status(f"{escape(text)} …")
    over = threading.Event()

    def show() -> None:
        if not over.wait(_PATIENCE_SECONDS):
            sign.start()
            over.wait()
            sign.stop()

    showing = threading.Thread(target=show, daemon=True)
    showing.start()
    try:
        yield
    finally:
        over.set()
        showing.join()


def print_code(text: str, language: str) -> None:
    """Print code, highlighted on a terminal.

    Arguments:
        text: the code.
        language: as Pygments calls it.
    """
    console = Console()
    if not console.is_terminal:
        print(text)
        return
    highlighted = Syntax("", language, theme="ansi_dark", background_color="default").highlight(
        text
    )
    highlighted.rstrip()
    console.print(highlighted, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their columns' names, within the terminal's width.

    In a pipe a row is one line, whatever its length: for ``grep``, ``cut`` and ``awk``.

    Arguments:
        columns: their names.
        rows: their texts, which may be anything that a server sent.
    """
    texts = [[printable(cell) for cell in row] for row in rows]
    console = Console()
    if not console.is_terminal:
        widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
        for row in [list(columns), *texts]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join(cells).rstrip())
        return
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in texts:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    console.print(table)


def printable(text: str) -> str:
    """Return a text without anything that could steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_json(value: Any) -> None:
    """Print one JSON document: indented, on a terminal coloured."""
    text = orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode()
    print_code(text, "json")


def json_line(value: Any) -> bytes:
    """Return a decoded message as one line of JSON: bytes as base64, times as ISO 8601."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, timedelta):
        # As protobuf's own JSON has a Duration.
        return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
    raise TypeError(type(value).__name__)


class JsonLines:
    """Prints messages, one line each."""

    def __init__(self) -> None:
        self._console = Console()
        self._pipe: BinaryIO | None = None if self._console.is_terminal else sys.stdout.buffer
        self._highlight = JSONHighlighter()

    def write(self, value: Any) -> None:
        """Print a message; in a pipe it is there after :meth:`flush`."""
        line = json_line(value)
        if self._pipe is not None:
            self._pipe.write(line + b"\n")
            return
        text = Text(line.decode())
        self._highlight.highlight(text)
        self._console.print(text, soft_wrap=True)

    def flush(self) -> None:
        """Let a pipe have what was printed."""
        if self._pipe is not None:
            self._pipe.flush()
