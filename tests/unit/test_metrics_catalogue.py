"""The page about metrics, held to the metrics."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import faust_grpc.metrics
from faust_grpc.metrics.catalogue import DISTRIBUTIONS, METRICS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text()


def test_the_table_is_that_of_the_code() -> None:
    table = PAGE.split("| metric | kind | labels | meaning |\n|---|---|---|---|\n")[1]
    told = [
        (name, kind, tuple(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in re.findall(
            r"^\| `(\w+)` \| (\w+) \| ([^|]+) \| ([^|]+) \|$", table.split("\n\n")[0], re.MULTILINE
        )
    ]
    rows = [(m.full_name, m.kind, m.labels, m.help) for m in METRICS]
    rows += [(d.full_name, "histogram", d.labels, d.help) for d in DISTRIBUTIONS]
    assert told == [
        (name, kind, labels, (text[0].lower() + text[1:]).rstrip("."))
        for name, kind, labels, text in rows
    ]


def test_expressions_name_metrics_that_exist() -> None:
    known = {metric.full_name for metric in METRICS}
    watched = PAGE.split("## What to watch")[1].split("## ")[0]
    named = set(re.findall(r"faust_grpc_\w+", watched))
    assert named
    assert named <= known


def test_the_reference_has_every_public_name() -> None:
    reference = (DOCS / "reference.md").read_text()
    documented = re.findall(r"^::: faust_grpc\.metrics\.(\w+)$", reference, re.MULTILINE)
    assert sorted(documented) == sorted(faust_grpc.metrics.__all__)


def test_backends_are_not_imported_before_they_are_asked_for() -> None:
    code = (
        "import sys, faust_grpc.metrics; known = {name.partition('.')[0] for name in sys.modules}; "
        "sys.exit(bool(known & {'prometheus_client', 'opentelemetry'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
