"""The dashboard and the alerts, held to the metrics that there are."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
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


#: What Grafana puts in: the variable, and what stands for it here.
GRAFANA = {"$__rate_interval": "1m", "$app": ".*", "$source": ".*"}


def nodes(expression: str) -> list[promql_parser.Expr]:
    """Parse a query as Prometheus does, types and functions included."""
    for variable, text in GRAFANA.items():
        expression = expression.replace(variable, text)
    found: list[promql_parser.Expr] = []
    promql_parser.walk(promql_parser.parse(expression), found.append)
    return found


@pytest.mark.parametrize("expression", list(expressions()))
def test_queries_name_series_and_labels_that_there_are(expression: str) -> None:
    if variable := re.fullmatch(r"label_values\((.+), (\w+)\)", expression):
        expression, label = variable.groups()
        assert label in SERIES[expression.partition("{")[0]]
    found = nodes(expression)
    selectors = [node for node in found if isinstance(node, promql_parser.VectorSelector)]
    assert selectors
    assert {selector.name for selector in selectors} <= set(SERIES)
    for selector in selectors:
        labels = {matcher.name for matcher in selector.matchers.matchers}
        assert labels <= SERIES[str(selector.name)]
    everywhere = {label for selector in selectors for label in SERIES[str(selector.name)]}
    for node in found:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            assert set(node.modifier.labels) <= everywhere


@pytest.mark.parametrize(
    "wrong",
    ["rate(faust_grpc_events_total)", "increase(faust_grpc_events_total[15q])", "summ(a)", "sum(a"],
)
def test_a_query_that_prometheus_would_refuse_is_found(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"type|duration|function|parenthesis"):
        nodes(wrong)


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
        assert set(group) == {"name", "rules"}
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert promql_parser.parse_duration(rule.get("for", "1s")) > timedelta()
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert {"summary", "description"} == set(rule["annotations"])


def test_what_alerts_tell_is_left_by_their_expressions() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            told = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
            assert told <= labels_of(promql_parser.parse(rule["expr"])), rule["alert"]


def labels_of(node: Any) -> set[str]:
    """Return the labels of what a query results in."""
    if isinstance(node, promql_parser.AggregateExpr):
        assert node.modifier is not None
        return set(node.modifier.labels)
    if isinstance(node, promql_parser.Call):
        return labels_of(node.args[-1])
    if isinstance(node, promql_parser.BinaryExpr):
        return labels_of(node.lhs)
    if isinstance(node, promql_parser.MatrixSelector):
        return labels_of(node.vector_selector)
    assert isinstance(node, promql_parser.VectorSelector)
    return SERIES[str(node.name)]


def test_the_tests_of_the_alerts_are_about_them() -> None:
    cases = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())
    assert cases["rule_files"] == ["alerts.yml"]
    alerts = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
    for case in cases["tests"]:
        for one in case["input_series"]:
            series = promql_parser.parse(one["series"])
            assert isinstance(series, promql_parser.VectorSelector)
            assert {match.name for match in series.matchers.matchers} <= SERIES[str(series.name)]
        for expected in case["alert_rule_test"]:
            assert promql_parser.parse_duration(expected["eval_time"])
            rule = alerts[expected["alertname"]]
            for alert in expected.get("exp_alerts", []):
                assert alert["exp_labels"]["severity"] == rule["labels"]["severity"]
                summary = rule["annotations"]["summary"]
                for label, value in alert["exp_labels"].items():
                    summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
                assert alert["exp_annotations"]["summary"] == summary


def test_promtool_agrees_where_there_is_one() -> None:
    """Beside the tests above, which need nothing: its own check and its own run of the rules."""
    promtool = shutil.which("promtool")
    checks = (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"])
    for arguments in checks if promtool else ():
        done = subprocess.run(
            [str(promtool), *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
