"""The architecture, held: a module imports only modules of a lower rank.

Ranks 0 to 4 never import Faust: they are a resumable gRPC reader of their own.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "faust_grpc"

#: Module (or folder, for a family of interchangeable parts) → rank.
RANKS = {
    "exceptions": 0,
    "types": 0,
    "config": 1,
    "jsontext": 1,
    "message_classes": 1,
    "observers": 1,
    "acks": 2,
    "backoff": 2,
    "cursors": 2,
    "deadlines": 2,
    "fields": 2,
    "hints": 2,
    "status": 2,
    "channel_options": 3,
    "connection": 3,
    "credentials": 3,
    "diagnosis": 3,
    "endpoints": 3,
    "explain": 3,
    "decoding": 3,
    "pems": 3,
    "protocol": 3,
    "proxies": 3,
    "requests": 3,
    "schema": 3,
    "targets": 3,
    "tls": 3,
    "declaration": 4,
    "encoding": 4,
    "calls": 4,
    "overflow": 3,
    "readers": 4,
    "states": 3,
    "window": 4,
    "saved": 4,
    "splits": 4,
    "codecs": 5,
    "connect": 5,
    "deadletters": 5,
    "generate": 5,
    "messages": 5,
    "subscriptions": 5,
    "channels": 6,
    "assigned": 5,
    "barrier": 5,
    "changelog": 6,
    "changes": 6,
    "lifecycle": 6,
    "connections": 5,
    "direct": 6,
    "reports": 5,
    "discovery": 5,
    "feeds": 6,
    "holders": 6,
    "kafka": 6,
    "loading": 6,
    "partitions": 6,
    "seams": 6,
    "sinks": 6,
    "sends": 5,
    "serializing": 5,
    "writers": 6,
    "stores": 6,
    "streams": 6,
    "terms": 6,
    "assignment": 7,
    "checkpoint_topic": 7,
    "births": 7,
    "checkpoints": 7,
    "durable": 7,
    "control": 7,
    "web": 7,
    "ownership": 7,
    "recovery": 7,
    "placement": 7,
    "runner": 7,
    "saving": 7,
    "sharing": 7,
    "unsuited": 5,
    "source": 7,
    "source_context": 7,
    "cli": 8,
    "metrics": 8,
    "demo": 8,
    "testing": 8,
    "__main__": 8,
}
#: Within one rank: these may import those, in this order only.
SIDEWAYS = {
    ("cursors", "fields"),
    ("protocol", "schema"),
    ("channel_options", "proxies"),
    ("channel_options", "targets"),
    ("connection", "channel_options"),
    ("connection", "diagnosis"),
    ("connection", "endpoints"),
    ("connection", "explain"),
    ("connection", "proxies"),
    ("connection", "targets"),
    ("connection", "tls"),
    ("diagnosis", "targets"),
    ("proxies", "targets"),
    ("schema", "credentials"),
    ("tls", "pems"),
    ("protocol", "decoding"),
    ("calls", "readers"),
    ("splits", "calls"),
    ("splits", "readers"),
    ("splits", "window"),
    ("streams", "channels"),
    ("feeds", "channels"),
    ("feeds", "terms"),
    ("direct", "channels"),
    ("direct", "feeds"),
    ("direct", "holders"),
    ("holders", "channels"),
    ("holders", "streams"),
    ("seams", "changelog"),
    ("seams", "stores"),
    ("seams", "streams"),
    ("loading", "stores"),
    ("partitions", "kafka"),
    ("checkpoint_topic", "assignment"),
    ("ownership", "assignment"),
    ("ownership", "checkpoints"),
    ("births", "checkpoints"),
    ("durable", "births"),
    ("placement", "assignment"),
    ("placement", "checkpoint_topic"),
    ("placement", "checkpoints"),
    ("placement", "ownership"),
    ("runner", "sharing"),
    ("sharing", "assignment"),
    ("sharing", "births"),
    ("sharing", "placement"),
    ("runner", "births"),
    ("runner", "checkpoints"),
    ("runner", "ownership"),
    ("runner", "placement"),
    ("runner", "recovery"),
    ("runner", "saving"),
    ("saving", "checkpoints"),
    ("writers", "changelog"),
    ("source", "durable"),
    ("source", "runner"),
    ("source", "source_context"),
    ("source_context", "runner"),
    ("source", "control"),
    ("source", "web"),
    ("control", "runner"),
    ("web", "assignment"),
    ("web", "control"),
    ("web", "runner"),
    ("cli", "demo"),
    ("cli", "testing"),
    ("demo", "testing"),
    ("__main__", "cli"),
}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if top != "__init__":
            yield top, path


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield (absolute dotted name, line) of each import that runs (not those for typing)."""
    package = ("faust_grpc", *path.relative_to(PACKAGE).parts[:-1])
    tree = ast.parse(path.read_text())
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join((*base, *([node.module] if node.module else [])))
            if name == "faust_grpc":
                for alias in node.names:
                    yield f"faust_grpc.{alias.name}", node.lineno
            else:
                yield name, node.lineno


@pytest.mark.parametrize(
    ("top", "path"), list(modules()), ids=lambda v: v if isinstance(v, str) else v.name
)
def test_imports_go_down(top: str, path: Path) -> None:
    assert top in RANKS, f"{path.name}: give the module a rank"
    rank = RANKS[top]
    for name, line in imports(path):
        if not name.startswith("faust_grpc."):
            continue
        other = name.split(".")[1]
        if other in (top, "__version__") or (top, other) in SIDEWAYS:
            continue
        assert RANKS[other] < rank, f"{path.name}:{line} ({top}, rank {rank}) imports {other}"


@pytest.mark.parametrize(
    "path", [path for top, path in modules() if RANKS.get(top, 0) <= 4], ids=lambda p: p.name
)
def test_core_does_not_import_faust(path: Path) -> None:
    for name, line in imports(path):
        assert name.split(".")[0] not in {"faust", "mode", "aiokafka"}, f"{path.name}:{line}"


def test_no_rank_and_no_permission_is_left_over() -> None:
    used = {
        (top, name.split(".")[1])
        for top, path in modules()
        for name, _ in imports(path)
        if name.startswith("faust_grpc.")
    }
    assert set(RANKS) == {top for top, _ in modules()}
    assert used >= SIDEWAYS
