"""The Kubernetes example, held to Kubernetes' schema, to the image and to the package.

``tests/data/kubernetes/kubernetes-1.37.json`` has Kubernetes' own definitions (Apache-2.0,
Copyright The Kubernetes Authors) of the kinds used here, without their descriptions.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from faust_grpc import Checkpoint
from faust_grpc.runner import CLOSE_SECONDS
from faust_grpc.web.pages import TOKEN_VARIABLE, blueprint

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "docker" / "kubernetes" / "worker.yaml").read_text())
)
DEFINITIONS: dict[str, Any] = json.loads(
    (ROOT / "tests" / "data" / "kubernetes" / "kubernetes-1.37.json").read_text()
)
KINDS = {
    "Deployment": "io.k8s.api.apps.v1.Deployment",
    "Service": "io.k8s.api.core.v1.Service",
    "PodDisruptionBudget": "io.k8s.api.policy.v1.PodDisruptionBudget",
}


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [one for one in MANIFESTS if one["kind"] == kind]
    return found


@pytest.fixture
def pod() -> dict[str, Any]:
    return manifest("Deployment")["spec"]["template"]["spec"]


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return only


def validate(one: dict[str, Any]) -> None:
    schema = {**DEFINITIONS, "$ref": f"#/$defs/{KINDS[one['kind']]}"}
    jsonschema.Draft202012Validator(schema).validate(one)


@pytest.mark.parametrize("kind", KINDS)
def test_manifests_fit_the_schema(kind: str) -> None:
    validate(manifest(kind))


def test_every_manifest_is_looked_at() -> None:
    assert sorted(one["kind"] for one in MANIFESTS) == sorted(KINDS)


def test_the_schema_refuses_what_is_misspelled() -> None:
    deployment = json.loads(json.dumps(manifest("Deployment")))
    deployment["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    with pytest.raises(jsonschema.ValidationError, match="terminationGracePeriod"):
        validate(deployment)


def test_everything_selects_the_workers(pod: dict[str, Any]) -> None:
    deployment = manifest("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert manifest("Service")["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    for spread in pod["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels


def test_a_worker_has_time_to_drain_and_save(pod: dict[str, Any]) -> None:
    needed = Checkpoint().drain_seconds + 2 * CLOSE_SECONDS
    assert pod["terminationGracePeriodSeconds"] >= 2 * needed


def test_probes_ask_pages_that_there_are(container: dict[str, Any]) -> None:
    pages = {f"/grpc{route.uri}" for route in blueprint.routes}
    (port,) = container["ports"]
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    for probe in probes.values():
        assert probe["httpGet"]["path"] in pages
        assert probe["httpGet"]["port"] == port["name"]
    assert probes["startup"]["httpGet"]["path"] == "/grpc/health/live"
    assert probes["liveness"]["httpGet"]["path"] == "/grpc/health/live"
    assert probes["readiness"]["httpGet"]["path"] == "/grpc/health/ready"


def test_the_port_is_the_one_that_the_image_serves(container: dict[str, Any]) -> None:
    exposed = int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0])
    (port,) = container["ports"]
    assert port["containerPort"] == exposed
    (service,) = manifest("Service")["spec"]["ports"]
    assert (service["port"], service["targetPort"]) == (exposed, port["name"])
    template = manifest("Deployment")["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == str(exposed)


def test_it_is_not_root_and_may_do_nothing_else(
    pod: dict[str, Any], container: dict[str, Any]
) -> None:
    uid = int(re.findall(r"--uid (\d+)", DOCKERFILE)[0])
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == uid
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_what_the_worker_writes_is_mounted(pod: dict[str, Any], container: dict[str, Any]) -> None:
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    (data,) = re.findall(r"APP_DATADIR=(\S+)", DOCKERFILE)
    assert data in mounts


def test_resources_are_asked_for(container: dict[str, Any]) -> None:
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_the_environment_is_read(container: dict[str, Any]) -> None:
    """By Faust, by the example, or by the pages; and the address is the one told to others."""
    variables = {one["name"]: one for one in container["env"]}
    example = "".join(path.read_text() for path in (ROOT / "examples" / "orders").glob("*.py"))
    own = {name for name in variables if f'"{name}"' in example} | {TOKEN_VARIABLE}
    assert set(variables) - own == {"BROKER_URL", "TABLE_STANDBY_REPLICAS", "WEB_HOST"}
    given = {name: one["value"] for name, one in variables.items() if "value" in one}
    program = (
        "import faust, json; conf = faust.App('app').conf; "
        "print(json.dumps([str(conf.broker[0]), conf.table_standby_replicas, "
        "str(conf.canonical_url), conf.web_bind]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **given, "WEB_HOST": "10.0.0.7"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(printed.stdout) == [
        "kafka://kafka:9092",
        0,
        "http://10.0.0.7:6066",
        "0.0.0.0",
    ]


def test_secrets_are_not_in_the_file(container: dict[str, Any]) -> None:
    for one in container["env"]:
        if re.search("TOKEN|DATABASE|PASSWORD", one["name"]):
            assert set(one["valueFrom"]) == {"secretKeyRef"}


def test_there_are_not_more_workers_than_partitions() -> None:
    app = (ROOT / "examples" / "orders" / "app.py").read_text()
    (regions,) = re.findall(r"^REGIONS = \((.*)\)$", app, re.MULTILINE)
    assert manifest("Deployment")["spec"]["replicas"] <= regions.count(",") + 1
