"""What the README and the documentation say, held to the code."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_layers import RANKS

import faust_grpc
from faust_grpc import (
    TLS,
    Backoff,
    Buffer,
    Checkpoint,
    Cursor,
    GrpcSource,
    Keepalive,
    Rule,
    SourceStatus,
    Split,
    SplitStatus,
    Timeouts,
)
from faust_grpc.status import BUILT_IN_RULES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("docker/*.md")])
PAGES += sorted(ROOT.glob("examples/*/README.md"))
GUIDES = [page for page in DOCS.glob("*.md") if page.name not in ("reference.md", "design.md")]

FENCE = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def blocks() -> Iterator[Any]:
    for page in PAGES:
        text = page.read_text()
        for match in FENCE.finditer(text):
            _, language, code = match.groups()
            if language == "python" and "--8<--" not in code:
                line = text[: match.start()].count("\n") + 1
                yield pytest.param(textwrap.dedent(code), id=f"{page.name}:{line}")


@pytest.mark.parametrize("code", list(blocks()))
def test_python_runs(code: str) -> None:
    # Sources with reflection connect when a worker runs, not here.
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example.py", "exec", dont_inherit=True), namespace)


def test_there_are_complete_applications() -> None:
    complete = [param for param in blocks() if "GrpcSource(" in param.values[0]]
    assert len(complete) > 8


def anchors(page: Path) -> set[str]:
    text = FENCE.sub("", page.read_text())
    names = (heading.replace("`", "").lower() for heading in HEADING.findall(text))
    return {re.sub(r"[^\w\s-]", "", name).strip().replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from navigation(value)


def test_every_page_is_in_the_navigation() -> None:
    pages = set(navigation(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert pages == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


def test_reference_has_every_public_name() -> None:
    reference = (DOCS / "reference.md").read_text()
    documented = re.findall(r"^::: faust_grpc\.(\w+)$", reference, re.MULTILINE)
    assert sorted(documented) == sorted(faust_grpc.__all__)


def test_reference_has_every_name_for_tests() -> None:
    import faust_grpc.testing

    reference = (DOCS / "reference.md").read_text()
    documented = re.findall(r"^::: faust_grpc\.testing\.(\w+)$", reference, re.MULTILINE)
    assert sorted(documented) == sorted(faust_grpc.testing.__all__)


def test_guides_speak_of_every_option_of_a_source() -> None:
    text = "\n".join(page.read_text() for page in GUIDES)
    options = set(inspect.signature(GrpcSource).parameters) - {"app"}
    missing = {name for name in options if not re.search(rf"\b{name}=|`{name}`", text)}
    assert missing <= {"target", "method"}


@pytest.mark.parametrize(
    "cls",
    [
        TLS,
        Backoff,
        Buffer,
        Checkpoint,
        Cursor,
        Keepalive,
        Rule,
        SourceStatus,
        Split,
        SplitStatus,
        Timeouts,
    ],
    ids=lambda cls: cls.__name__,
)
def test_guides_speak_of_every_field(cls: Any) -> None:
    assert is_dataclass(cls)
    text = "\n".join(page.read_text() for page in GUIDES)
    sections = re.split(r"^\| (?:option|field|part) of ", text, flags=re.MULTILINE)
    table = "\n".join(part.split("\n\n")[0] for part in sections if cls.__name__ in part[:30])
    rows = table or text
    for option in fields(cls):
        assert f"`{option.name}`" in rows, option.name


@pytest.mark.parametrize(
    "cls", [Backoff, Buffer, Checkpoint, Keepalive, Timeouts], ids=lambda c: c.__name__
)
def test_guides_tell_the_defaults(cls: Any) -> None:
    text = "\n".join(page.read_text() for page in GUIDES)
    table = text.split(f"| option of `{cls.__name__}` |")[1].split("\n\n")[0]
    told = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", table, re.MULTILINE))
    for option in fields(cls):
        assert option.default is not MISSING
        assert _number(told[option.name]) == option.default, option.name


def _number(text: str) -> Any:
    if text.endswith(" MiB"):
        return int(text.removesuffix(" MiB")) * 1024 * 1024
    return ast.literal_eval(
        text.strip("`").replace(" ", "_") if text[:1].isdigit() else text.strip("`")
    )


def tables(page: Path, header: str) -> Iterator[list[str]]:
    """Yield the rows below a header, as their cells."""
    rows = page.read_text().split(header)[1].split("\n\n")[0].strip().splitlines()
    for row in rows[1:]:
        yield [cell.strip() for cell in row.strip("|").split("|")]


def test_design_has_the_ranks_that_are_held() -> None:
    told = {
        name: int(rank)
        for rank, modules in tables(DOCS / "design.md", "| rank | modules |\n")
        for name in re.findall(r"`(\w+)`", modules)
    }
    assert told == {name: rank for name, rank in RANKS.items() if name != "__main__"}


def test_design_names_modules_that_there_are() -> None:
    for _, modules, _ in tables(DOCS / "design.md", "| step | module | what it does |\n"):
        for name in re.findall(r"`(\w+)/?`", modules):
            assert name in RANKS, name


def test_table_of_endings_has_every_built_in_rule() -> None:
    page = (DOCS / "connections.md").read_text()
    table = page.split("## How a call's end is judged")[1].split("###")[0]
    verdicts = {
        "retry": "next call",
        "slow": "longer delay",
        "fatal": "the split stops",
        "cursor lost": "cursor is lost",
        "poison": "bad message",
    }
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    for rule in BUILT_IN_RULES:
        assert rule.code is not None
        (row,) = [
            row
            for row in rows
            if f"`{rule.code.name}`" in row
            and ((rule.pattern in row) if rule.pattern else '"' not in row)
        ]
        assert verdicts[rule.verdict.value] in row, row
