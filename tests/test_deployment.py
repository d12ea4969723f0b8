"""The containers' files parse, what they name is there, and their commands are those of the command line."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from indexer.cli import parser as indexer_parser
from search.collection import Collection
from search.settings import PROJECT
from tests.colors import ColorEncoder
from tests.test_docs import CLI
from web.__main__ import parser as web_parser
from web.app import create_app

DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((PROJECT / "compose.yaml").read_text(encoding="utf-8"))
KUBERNETES = list(yaml.safe_load_all((PROJECT / "docs" / "kubernetes.yaml").read_text(encoding="utf-8")))
EXTRAS = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]


def instructions(name: str) -> list[str]:
    """The arguments of every such instruction of the Dockerfile, continued lines joined."""
    lines = re.sub(r"\\\n\s*", "", DOCKERFILE).splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def pods() -> Iterator[dict[str, Any]]:
    for document in KUBERNETES:
        if document["kind"] in ("Deployment", "Job"):
            yield document["spec"]["template"]["spec"]


def commands() -> Iterator[list[str]]:
    """Those that run this project: of images, services and pods."""
    yield yaml.safe_load(instructions("CMD")[-1])
    yield from (shlex.split(line) for line in instructions("RUN") if line.startswith("python -m"))
    for service in COMPOSE["services"].values():
        if "build" in service and "command" in service:
            yield shlex.split(service["command"])
    for pod in pods():
        yield from (container["command"] for container in pod["containers"])


@pytest.mark.parametrize("words", list(commands()), ids=lambda words: " ".join(words[2:5]))
def test_every_command_is_valid(words: list[str]) -> None:
    assert words[:2] == ["python", "-m"]
    parser = {"indexer": indexer_parser, "web": web_parser}[words[2]]()
    parser.parse_args(words[3:])


def test_what_images_copy_is_there_and_let_through() -> None:
    let_through = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in instructions("COPY") for source in line.split()[:-1]}
    assert copied == let_through
    for source in copied:
        assert (PROJECT / source).exists()


def test_both_variants_are_stages_and_extras_are_the_project_s() -> None:
    stages = {line.split(" AS ")[1] for line in instructions("FROM") if " AS " in line}
    assert {"cpu", "cuda"} <= stages
    assert 'ARG EXTRAS="parquet"' in DOCKERFILE
    asked = {"parquet"}
    for service in COMPOSE["services"].values():
        if isinstance(service.get("build"), dict):
            asked |= set(service["build"]["args"]["EXTRAS"].split(","))
    assert asked <= EXTRAS.keys()


def test_services_and_volumes_that_are_named_are_there() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()
        for volume in service.get("volumes", ()):
            source = volume.rsplit(":/", 1)[0]
            assert source.startswith("${PHOTOS:-./data/sample}") or source in COMPOSE["volumes"]
    for pod in pods():
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
    deployment, service, _ = KUBERNETES
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]


def test_variables_of_the_program_are_ones_that_it_reads() -> None:
    texts = [DOCKERFILE, (PROJECT / "compose.yaml").read_text(), (PROJECT / "docs" / "kubernetes.yaml").read_text()]
    for variable in re.findall(r"IMAGE_SEARCH_\w+", " ".join(texts)):
        assert f"| `{variable}` |" in CLI


def test_what_is_asked_whether_it_is_well_is_a_route(collection: Collection) -> None:
    routes = {rule.rule for rule in create_app([collection], lambda _model: ColorEncoder()).url_map.iter_rules()}
    container = KUBERNETES[0]["spec"]["template"]["spec"]["containers"][0]
    probes = [
        container["livenessProbe"]["httpGet"]["path"],
        *container["readinessProbe"]["exec"]["command"],
        DOCKERFILE,
    ]
    asked = set(re.findall(r"/api/v1/\w+", " ".join(probes)))
    assert asked == {"/api/v1/health", "/api/v1/ready"}
    assert asked <= routes


def test_the_probe_for_readiness_is_python() -> None:
    command = KUBERNETES[0]["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"]
    assert command[:2] == ["python", "-c"]
    compile(command[2], "probe", "exec")
