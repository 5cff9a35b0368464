"""The files in ``docker/``, checked as far as that goes without a container engine.

``tests/data/compose/compose-spec.json`` is the schema of the Compose Specification (Apache-2.0,
Copyright 2020 The Compose Specification Authors), as published.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from support import go_server_binary

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
SERVER = ROOT / "examples" / "orders" / "server"
SCHEMA = ROOT / "tests" / "data" / "compose" / "compose-spec.json"
DOCKERFILES = sorted([DOCKER / "Dockerfile", *DOCKER.glob("*.Dockerfile")])


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def instructions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (instruction, arguments) of a Dockerfile."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, arguments = line.strip().partition(" ")
            yield word, arguments.strip()


def values(path: Path, instruction: str) -> list[str]:
    return [arguments for word, arguments in instructions(path) if word == instruction]


def test_compose_file_fits_the_specification(compose: Any) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(compose)


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("examples/*/compose.yaml")), ids=lambda path: path.parent.name
)
def test_examples_run_in_containers(path: Path) -> None:
    """What no engine is needed for: the specification, and that everything named exists."""
    text = yaml.safe_load(path.read_text())
    jsonschema.Draft7Validator(json.loads(SCHEMA.read_text())).validate(text)
    services = text["services"]
    base = path.parent / services["kafka"]["extends"]["file"]
    assert "kafka" in yaml.safe_load(base.read_text())["services"]
    for service in ("server", "worker"):
        build = services[service]["build"]
        assert (path.parent / build["context"] / build["dockerfile"]).resolve() in DOCKERFILES
        assert services[service]["volumes"] == [".:/app:ro"]
    assert (path.parent / services["server"]["command"][1]).exists()
    (variable,) = [name for name in services["worker"]["environment"] if name.endswith("_TARGET")]
    assert f'"{variable}"' in (path.parent / "app.py").read_text()


def test_schema_refuses_what_is_misspelled(compose: Any) -> None:
    schema = json.loads(SCHEMA.read_text())
    wrong = {**compose, "services": {"kafka": {"imagge": "apache/kafka"}}}
    with pytest.raises(jsonschema.ValidationError, match="imagge"):
        jsonschema.Draft7Validator(schema).validate(wrong)


def test_services_wait_for_healthy_services(compose: Any) -> None:
    services = compose["services"]
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in services[other]
    assert set(services["worker"]["depends_on"]) == {"kafka", "order-service", "postgres"}
    assert services["worker"]["deploy"]["replicas"] == 2


def test_images_are_pinned(compose: Any) -> None:
    images = [service["image"] for service in compose["services"].values() if "image" in service]
    for path in DOCKERFILES:
        images += [line.split()[0] for line in values(path, "FROM")]
    for image in images:
        _, colon, tag = image.partition(":")
        assert colon, image
        assert tag not in ("", "latest"), image


def test_builds_name_files_that_exist(compose: Any) -> None:
    for service in compose["services"].values():
        if build := service.get("build"):
            context = (DOCKER / build["context"]).resolve()
            assert context == ROOT
            assert context / build["dockerfile"] in DOCKERFILES


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_copied_files_exist(path: Path) -> None:
    for arguments in values(path, "COPY"):
        *sources, _ = shlex.split(arguments)
        if sources[0].startswith("--from="):
            continue
        for source in sources:
            assert (ROOT / source).exists(), source


def test_worker_is_not_root_and_its_image_has_what_it_installs() -> None:
    worker = DOCKER / "Dockerfile"
    assert values(worker, "USER") == ["worker"]
    copied = {source for line in values(worker, "COPY") for source in shlex.split(line)[:-1]}
    metadata = (ROOT / "setup.cfg").read_text()
    for named in re.findall(r"^(?:license_files = |.*file: )(\S+)$", metadata, re.MULTILINE):
        assert named in copied


def test_worker_command_is_one_that_faust_knows() -> None:
    (command,) = values(DOCKER / "Dockerfile", "CMD")
    program, *arguments = json.loads(command)
    assert program == "faust"
    result = subprocess.run(
        [sys.executable, "-m", program, *arguments, "--help"],
        cwd=DOCKER,
        # In the image all modules are in one folder.
        env={**os.environ, "PYTHONPATH": str(ROOT / "examples" / "orders")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "Start worker" in result.stdout


def test_worker_environment_is_read(compose: Any) -> None:
    app = "".join(path.read_text() for path in (ROOT / "examples" / "orders").glob("*.py"))
    program = (
        "import faust, json; conf = faust.App('app').conf; "
        "print(json.dumps([str(conf.broker[0]), conf.table_standby_replicas]))"
    )
    environment = compose["services"]["worker"]["environment"]
    for name in environment:
        assert name.isupper()
        if name.startswith("ORDERS_"):
            assert f'"{name}"' in app
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(printed.stdout) == ["kafka://kafka:9092", 0]


def test_order_service_is_built_by_a_go_that_is_new_enough() -> None:
    wanted = re.search(r"^go (\d+)\.(\d+)", (SERVER / "go.mod").read_text(), re.MULTILINE)
    image = re.fullmatch(
        r"golang:(\d+)\.(\d+) AS build",
        values(DOCKER / "order-service.Dockerfile", "FROM")[0],
    )
    assert wanted
    assert image
    assert tuple(map(int, image.groups())) >= tuple(map(int, wanted.groups()))


def test_order_service_command_has_flags_that_it_knows() -> None:
    (entry,) = values(DOCKER / "order-service.Dockerfile", "ENTRYPOINT")
    _, *flags = json.loads(entry)
    result = subprocess.run(
        [go_server_binary(), *flags, "-port", "0", "-h"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_order_service_is_probed_where_it_listens(compose: Any) -> None:
    service = compose["services"]["order-service"]
    _, probe, address = service["healthcheck"]["test"]
    copied = shlex.split(values(DOCKER / "order-service.Dockerfile", "COPY")[-1])
    assert probe == "/" + Path(copied[2]).name
    port = values(DOCKER / "order-service.Dockerfile", "EXPOSE")[0]
    assert address == f"-addr=localhost:{port}"
    assert compose["services"]["worker"]["environment"]["ORDERS_TARGET"] == f"order-service:{port}"


def test_kafka_advertises_the_name_that_workers_dial(compose: Any) -> None:
    kafka = compose["services"]["kafka"]["environment"]
    dialled = compose["services"]["worker"]["environment"]["BROKER_URL"]
    assert kafka["KAFKA_ADVERTISED_LISTENERS"] == dialled.replace("kafka://", "PLAINTEXT://")
    assert all(isinstance(value, str) for value in kafka.values())
