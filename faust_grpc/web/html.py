"""HTML that cannot be broken out of: every text is escaped where it is put in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

__all__ = ["Markup", "link", "sparkline", "table", "tag"]

#: Marks that nobody sees, and that turn around how the text behind them reads.
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Markup(str):
    """HTML that was made here; any other text is escaped."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str) -> Markup:
    """Return an element.

    Arguments:
        name: of the element.
        children: :class:`Markup`, or texts, which are escaped; marks of direction can be seen.
        attributes: their values are escaped; ``class_`` is ``class``, ``data_x`` is ``data-x``.
    """
    inner = "".join(child if isinstance(child, Markup) else _text(child) for child in children)
    written = "".join(
        f' {key.strip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{inner}</{name}>")


def _text(text: str) -> str:
    return escape(_DIRECTIONS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def link(text: str, url: str) -> Markup:
    """Return a link; only the text if the URL is not one of HTTP."""
    if url.startswith(("http://", "https://")):
        return tag("a", text, href=url, rel="noreferrer")
    return tag("span", text)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]], **attributes: str) -> Markup:
    """Return a table; cells that are elements ``td`` already stay as they are."""
    columns = list(columns)
    head = tag("tr", *(tag("th", column, scope="col") for column in columns))
    body = (tag("tr", *map(_cell, columns, row)) for row in rows)
    return tag("table", tag("thead", head), tag("tbody", *body), **attributes)


def _cell(column: str, cell: str) -> Markup:
    if isinstance(cell, Markup) and cell.startswith("<td"):
        return cell
    # On a narrow screen the column's name stands before the cell.
    return tag("td", cell, data_label=column)


def sparkline(values: list[float], width: int = 90, height: int = 20) -> Markup:
    """Return a line of values as a small picture, from 0 to their maximum."""
    if len(values) < 2:
        return Markup("")
    top, last = max(values) or 1.0, len(values) - 1
    # One unit per value and whole numbers: a page may have a thousand of these.
    points = " ".join(
        f"{index},{height - 1 - round((height - 2) * value / top)}"
        for index, value in enumerate(values)
    )
    line = tag("polyline", points=points)
    title = tag("title", f"0 to {top:g} messages/s in the last {len(values)} s")
    return tag(
        "svg",
        title,
        line,
        width=str(width),
        height=str(height),
        viewBox=f"0 0 {last} {height}",
        preserveAspectRatio="none",
        role="img",
    )
