"""The table, the hub and "auto", against a hub of our own on the loopback interface."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import open_clip
import pytest
from huggingface_hub import constants
from open_clip.pretrained import get_pretrained_cfg

from search.errors import ModelUnavailable
from search.models import (
    AUTO_CPU,
    AUTO_GPU,
    BUNDLED,
    CONFIG_FILE,
    MODELS,
    WEIGHTS_FILES,
    Hub,
    choose_auto,
    local_models,
)

needs_online_mode = pytest.mark.skipif(constants.HF_HUB_OFFLINE, reason="HF_HUB_OFFLINE forbids asking any hub")
REPO = "somebody/a-model"
COMMIT = "0" * 40


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for `GET /org/name/resolve/main/file`."""

    protocol_version = "HTTP/1.1"
    files: dict[str, bytes]
    repo_error: tuple[int, str] | None

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        name = self.path.partition("/resolve/main/")[2]
        if self.path == "/":
            self._send(200, b"")
        elif self.repo_error:
            self._send(self.repo_error[0], b"", {"X-Error-Code": self.repo_error[1]})
        elif name in self.files:
            body = self.files[name]
            headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._send(200, body, headers, with_body=with_body)
        else:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, with_body: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@contextmanager
def serve_hub(files: dict[str, bytes], cache: Path, *, repo_error: tuple[int, str] | None = None) -> Iterator[Hub]:
    """A hub on the loopback interface whose every repository holds `files`."""
    handler = type("Handler", (_Handler,), {"files": files, "repo_error": repo_error})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Hub(endpoint=f"http://127.0.0.1:{server.server_port}", cache=cache)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def unreachable_hub(cache: Path) -> Hub:
    """A hub behind a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Hub(endpoint=f"http://127.0.0.1:{port}", cache=cache)


def put_in_cache(cache: Path, repo: str, *names: str) -> None:
    """Empty files where huggingface_hub keeps downloaded ones."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "blobs").mkdir()
    snapshot = folder / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for name in names:
        (snapshot / name).touch()


def refuse_to_be_asked() -> str | None:
    raise AssertionError("the hub was asked")


def test_table_names_and_repositories_are_those_of_open_clip() -> None:
    for info in MODELS:
        if info.name != BUNDLED:
            architecture, _, tag = info.name.rpartition("/")
            assert get_pretrained_cfg(architecture, tag)["hf_hub"] == f"{info.repo}/", info.name


def test_table_sizes_are_those_of_the_architectures_in_fp32() -> None:
    by_name = {info.name: info for info in MODELS}
    assert len(by_name) == len(MODELS)
    model = open_clip.create_model("ViT-B-32-256", load_weights=False, device="meta")
    megabytes = sum(weight.numel() for weight in model.parameters()) * 4 / 1e6
    assert by_name["ViT-B-32-256/datacomp_s34b_b86k"].size_mb == round(megabytes)


def test_every_published_model_says_its_licence_size_and_quality() -> None:
    for info in MODELS:
        assert info.licence and info.size_mb > 0
        measured = [value for value in dataclasses.astuple(info) if isinstance(value, float)]
        assert info.name == BUNDLED or len(measured) == 6, info.name
    assert "research" in next(info.note for info in MODELS if info.licence == "apple-amlr")


def test_auto_never_chooses_a_restricted_licence_or_another_package() -> None:
    plain = {info.name for info in MODELS if info.licence == "MIT" and "needs" not in info.note}
    assert plain.issuperset(AUTO_CPU) and plain.issuperset(AUTO_GPU)


def test_importing_the_table_does_not_import_torch() -> None:
    code = "import sys, search.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("has_gpu", "wanted"), [(False, AUTO_CPU[0]), (True, AUTO_GPU[0])])
def test_auto_takes_a_local_model_without_asking_the_hub(has_gpu: bool, wanted: str) -> None:
    choice = choose_auto(has_gpu=has_gpu, local={wanted}, hub_problem=refuse_to_be_asked)
    assert choice.name == wanted
    assert choice.notice is None


@pytest.mark.parametrize(("has_gpu", "wanted"), [(False, AUTO_CPU[0]), (True, AUTO_GPU[0])])
def test_auto_downloads_the_best_for_the_device_when_the_hub_answers(has_gpu: bool, wanted: str) -> None:
    choice = choose_auto(has_gpu=has_gpu, local={AUTO_CPU[1]}, hub_problem=lambda: None)
    assert choice.name == wanted
    assert "MB" in choice.reason


def test_auto_prefers_another_local_pretrained_model_to_the_bundled_one() -> None:
    choice = choose_auto(has_gpu=True, local={BUNDLED, AUTO_CPU[1]}, hub_problem=lambda: "no network")
    assert choice.name == AUTO_CPU[1]
    assert "no network" in choice.reason
    assert choice.notice is None


def test_auto_falls_back_to_the_bundled_model_with_a_notice_that_says_how_to_switch() -> None:
    choice = choose_auto(has_gpu=False, local={BUNDLED}, hub_problem=lambda: "the cable is cut")
    assert choice.name == BUNDLED
    assert choice.notice is not None
    assert "the cable is cut" in choice.notice
    assert "POOR" in choice.notice
    assert f"python -m indexer build FOLDER --model {AUTO_CPU[0]} --collection NEW_DIR" in choice.notice


def test_an_unreachable_hub_is_told_at_once(tmp_path: Path) -> None:
    hub = unreachable_hub(tmp_path)
    problem = hub.problem()
    assert problem is not None
    with pytest.raises(ModelUnavailable) as caught:
        hub.fetch(REPO, CONFIG_FILE)
    assert problem in str(caught.value)
    assert f"hf download {REPO}" in str(caught.value)


@needs_online_mode
def test_a_hub_that_accepts_but_never_answers_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub = Hub(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", cache=tmp_path, timeout_s=0.2)
        started = time.monotonic()
        assert "cannot be reached" in (hub.problem() or "")
        assert time.monotonic() - started < 2


@needs_online_mode
def test_a_file_is_downloaded_once_and_then_read_from_the_cache(tmp_path: Path) -> None:
    with serve_hub({CONFIG_FILE: b"{}"}, tmp_path) as hub:
        assert hub.problem() is None
        assert hub.cached(REPO, CONFIG_FILE) is None
        assert hub.fetch(REPO, CONFIG_FILE).read_bytes() == b"{}"
    assert hub.fetch(REPO, CONFIG_FILE).read_bytes() == b"{}"


@needs_online_mode
def test_the_first_file_that_the_hub_has_is_taken(tmp_path: Path) -> None:
    with serve_hub({WEIGHTS_FILES[1]: b"weights"}, tmp_path) as hub:
        assert hub.fetch(REPO, *WEIGHTS_FILES).name == WEIGHTS_FILES[1]
        with pytest.raises(ModelUnavailable, match=f"has no file {CONFIG_FILE}"):
            hub.fetch(REPO, CONFIG_FILE)


@needs_online_mode
@pytest.mark.parametrize(
    ("error", "said"), [((403, "GatedRepo"), "gated"), ((404, "RepoNotFound"), "no repository"), ((400, ""), "deliver")]
)
def test_a_repository_that_cannot_be_read_is_told_with_the_reason(
    tmp_path: Path, error: tuple[int, str], said: str
) -> None:
    with serve_hub({}, tmp_path, repo_error=error) as hub, pytest.raises(ModelUnavailable, match=said):
        hub.fetch(REPO, CONFIG_FILE)


def test_a_name_that_is_no_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no name of a hub repository"):
        unreachable_hub(tmp_path).fetch("a/b/c", CONFIG_FILE)


def test_local_models_are_those_of_the_cache_the_folder_and_the_project(tmp_path: Path) -> None:
    cache, models, bundled = tmp_path / "cache", tmp_path / "models", tmp_path / "bundled"
    put_in_cache(cache, MODELS[0].repo or "", WEIGHTS_FILES[0])
    put_in_cache(cache, REPO, CONFIG_FILE, WEIGHTS_FILES[1])
    put_in_cache(cache, "somebody/no-clip", "config.json")
    put_in_cache(cache, "somebody/only-configured", CONFIG_FILE)
    for folder in (models / "mine", bundled):
        folder.mkdir(parents=True)
        (folder / CONFIG_FILE).touch()
    (models / "empty").mkdir()
    (models / "transformers").mkdir()
    (models / "transformers" / "config.json").touch()
    (models / "mine" / "config.json").touch()
    found = local_models(models=models, hub=Hub(cache=cache), bundled=bundled)
    assert found == [MODELS[0].name, f"hf-hub:{REPO}", "mine", "transformers", BUNDLED]


def test_nothing_is_local_on_a_fresh_machine(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert local_models(models=nowhere, hub=Hub(cache=nowhere), bundled=nowhere) == []
