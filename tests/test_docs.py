"""The documents say what is so: every verb, option and variable is described, every command shown runs."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from indexer.cli import main as indexer_main
from indexer.cli import parser as indexer_parser
from search.__main__ import main as search_main
from search.__main__ import parser as search_parser
from search.collection import Collection
from search.settings import PROJECT
from tests.colors import ColorEncoder
from web.__main__ import parser as web_parser
from web.app import create_app

README = (PROJECT / "README.md").read_text(encoding="utf-8")
CLI = (PROJECT / "docs" / "CLI.md").read_text(encoding="utf-8")
API = (PROJECT / "docs" / "API.md").read_text(encoding="utf-8")
ARCHITECTURE = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8")
DOCUMENTS = [*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("*.md"), *(PROJECT / "benchmarks").glob("*.md")]


def verbs() -> dict[str, argparse.ArgumentParser]:
    """By what is written on a command line, such as "build" and "eval retrieval"."""
    return dict(below("", indexer_parser()))


def below(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subparsers:
        yield name, parser
    for action in subparsers:
        for word, inner in action.choices.items():
            yield from below(f"{name} {word}".strip(), inner)


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from (option for option in action.option_strings if option not in ("-h", "--help"))


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_its_section_and_every_option_its_line(verb: str) -> None:
    section = re.search(rf"### {verb}\b(.*?)(?=\n##|\Z)", CLI, re.DOTALL)
    assert section, f"docs/CLI.md has no section {verb}"
    general = CLI.split("## python -m indexer VERB")[1].split("###")[0]
    for option in options(verbs()[verb]):
        assert f"`{option}" in section[1] + general, f"{verb} {option} is not in docs/CLI.md"


@pytest.mark.parametrize(("program", "parser"), [("search", search_parser()), ("web", web_parser())])
def test_every_option_of_search_and_web_is_described(program: str, parser: argparse.ArgumentParser) -> None:
    section = CLI.split(f"## python -m {program}")[1].split("\n## ")[0]
    for option in options(parser):
        assert f"`{option}" in section


def test_every_route_of_the_api_is_described(collection: Collection) -> None:
    for rule in create_app([collection], lambda _model: ColorEncoder()).url_map.iter_rules():
        if rule.rule.startswith("/api/"):
            path = re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule.removeprefix("/api/v1")).replace("{image_id}", "{id}")
            for method in rule.methods - {"HEAD", "OPTIONS"}:
                assert f"{method} {path}`" in API, f"{method} {rule.rule} is not in docs/API.md"


def test_every_environment_variable_is_described() -> None:
    source = (PROJECT / "search" / "settings.py").read_text(encoding="utf-8")
    variables = set(re.findall(r"environ.get\(\"(\w+)\"", source))
    assert variables == set(re.findall(r"^\| `([A-Z_]+)` \|", CLI, re.MULTILINE))


def test_every_module_is_on_the_map() -> None:
    for package in ("search", "indexer", "web"):
        for file in (PROJECT / package).glob("*.py"):
            assert f"`{file.name}`" in ARCHITECTURE, f"{package}/{file.name} is not in ARCHITECTURE.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_within_the_project_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_commands_of_the_readme_run(
    tmp_path: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those under "Your photos", in a folder that holds photos/dog.jpg, with the bundled model."""
    (tmp_path / "photos").mkdir()
    for file in sorted(drawings.glob("*/*.jpg"))[:12]:
        (tmp_path / "photos" / file.name).write_bytes(file.read_bytes())
    sorted((tmp_path / "photos").iterdir())[0].rename(tmp_path / "photos" / "dog.jpg")
    (tmp_path / "photos" / "copy.jpg").write_bytes((tmp_path / "photos" / "dog.jpg").read_bytes())
    (tmp_path / "photos" / "dog.txt").write_text("a dog in the snow\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGE_SEARCH_COLLECTION", str(tmp_path / "collection"))
    monkeypatch.setenv("IMAGE_SEARCH_MODEL", "bundled")
    section = README.split("## Your photos")[1].split("```")[1]
    commands = [shlex.split(line, comments=True) for line in section.splitlines() if line.startswith("python")]
    assert len(commands) == 15
    for _, _, program, *words in commands:
        if words == ["watch"]:
            continue  # runs until it is stopped; tests/test_cli.py watches it
        assert {"indexer": indexer_main, "search": search_main}[program](words) == 0, words


def test_the_python_of_the_readme_runs(
    tmp_path: Path, drawings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "data" / "collections" / "default"
    assert indexer_main(["build", str(drawings), "--model", "bundled", "--collection", str(directory)]) == 0
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    exec(README.split("```python")[1].split("```")[0], {})
    assert len(capsys.readouterr().out.splitlines()) == 5
