"""The dashboard and the alerts, held to the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from faust_grpc.metrics.catalogue import DISTRIBUTIONS, METRICS
from faust_grpc.states import SplitState

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "docker" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads(
    (MONITORING / "grafana" / "dashboards" / "faust-grpc.json").read_text()
)
RULES: dict[str, Any] = yaml.safe_load((MONITORING / "alerts.yml").read_text())

#: Labels by name of series. Prometheus adds ``instance`` to all.
SERIES = {metric.full_name: {"app", "instance", *metric.labels} for metric in METRICS}
for _one in DISTRIBUTIONS:
    for _end in ("_bucket", "_sum", "_count"):
        SERIES[_one.full_name + _end] = {"app", "instance", "le", *_one.labels}


def expressions() -> Iterator[Any]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for variable in DASHBOARD["templating"]["list"]:
        yield pytest.param(variable["definition"], id=f"${variable['name']}")
    for group in RULES["groups"]:
        for rule in group["rules"]:
            yield pytest.param(rule["expr"], id=rule["alert"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_queries_name_series_and_labels_that_there_are(expression: str) -> None:
    series = set(re.findall(r"\bfaust_grpc_\w+", expression))
    assert series
    assert series <= set(SERIES)
    labels = {name for one in series for name in SERIES[one]}
    for selector in re.findall(r"\{([^}]*)\}", expression):
        assert set(re.findall(r"(\w+)\s*=~?", selector)) <= labels
    for grouping in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {name.strip() for name in grouping.split(",")} <= labels


@pytest.mark.parametrize("expression", list(expressions()))
def test_states_in_queries_exist(expression: str) -> None:
    for states in re.findall(r'state=~?"([^"]*)"', expression):
        assert set(states.split("|")) <= {state.value for state in SplitState}


def test_every_metric_is_looked_at() -> None:
    seen = "\n".join(param.values[0] for param in expressions())
    # What the dashboard leaves to those who look for it.
    details = {"bad_timestamps", "calls", "cursor_regressions", "dead_letters", "messages"}
    for metric in METRICS:
        if metric.name not in details | {"split_state_age"}:
            assert metric.full_name in seen, metric.full_name
    for distribution in DISTRIBUTIONS:
        assert distribution.full_name in seen, distribution.full_name


def test_panels_do_not_overlap_and_legends_have_labels() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        for target in panel["targets"]:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert re.search(rf"by \([^)]*\b{label}\b", target["expr"]), target
    for one, other in combinations((panel["gridPos"] for panel in panels), 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_the_dashboard_is_provisioned() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    for here in mounts:
        assert (ROOT / "docker" / here).exists()
    provisioning = MONITORING / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["uid"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "faust-grpc.yaml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == mounts["./monitoring/grafana/dashboards"]
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/faust-grpc.json"


def test_prometheus_scrapes_the_workers() -> None:
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (lookup,) = job["dns_sd_configs"]
    assert set(lookup["names"]) <= set(compose)
    assert f"EXPOSE {lookup['port']}" in (ROOT / "docker" / "Dockerfile").read_text()
    mounted = [volume.split(":")[0] for volume in compose["prometheus"]["volumes"]]
    assert {f"./monitoring/{name}" for name in config["rule_files"]} <= set(mounted)


def test_alerts_say_what_to_do() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert {"summary", "description"} == set(rule["annotations"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]],
    ids=" ".join,
)
def test_promtool_agrees(arguments: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
