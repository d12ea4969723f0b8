"""`python -m web`: one line says where it is, or why it is not."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from search.catalog import Catalog
from search.collection import Collection
from search.errors import CollectionError, ModelUnavailable
from search.settings import PROJECT
from search.types import EncoderIdentity
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.__main__ import main
from web.library import Library
from web.serving import look_after
from web.uploads import Uploads


def test_help_answers_without_anything_heavy() -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['web', '--help']\n"
        "try:\n    runpy.run_module('web', run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'faiss', 'flask', 'sqlalchemy', 'numpy', 'PIL') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert "--collection DIR" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--collection", "nowhere"], "make one: python -m indexer build FOLDER --collection nowhere"),
        (["--host", "0.0.0.0"], "give a --token-file"),
        (["--host", "example.org"], "give a --token-file"),
        (["--token-file", "nowhere"], "cannot read a token from nowhere"),
        (["--token-file", "pyproject.toml"], "give 16 or more letters"),
        (["--host", "::"], "--insecure"),
        (["--collection", "tests", "--collection", "./tests/../tests"], "tests/../tests is given twice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_served_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], options: Sequence[str], told: str
) -> None:
    assert main(options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert told in err


def test_an_address_that_cannot_be_used_is_told(collection: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--collection", str(collection.directory), "--host", "192.0.2.1", "--insecure"]
    assert main(options) == 2
    assert "cannot listen on 192.0.2.1 port 8000" in capsys.readouterr().err


def test_a_port_that_is_taken_is_told_with_what_to_do(
    collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--collection", str(collection.directory), "--port", str(port)]) == 2
    told = f"cannot listen on 127.0.0.1 port {port}: Address already in use; give another, or --port 0 for a free one"
    assert capsys.readouterr().err == f"error: {told}\n"


@pytest.mark.parametrize("options", [["--port", "65536"], ["--port", "-1"], ["--threads", "0"]], ids=" ".join)
def test_numbers_out_of_range_are_wrong_usage(options: Sequence[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_pages_are_there_while_the_model_is_not(
    collection: Collection, photos: Path, index: Build, stop: signal.Signals
) -> None:
    index(photos)
    words = [sys.executable, "-m", "web", "--collection", str(collection.directory), "--port", "0"]
    with subprocess.Popen(words, cwd=PROJECT, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        line = server.stderr.readline()
        found = re.fullmatch(r"serving \S+ \(3 images\) on (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", line)
        assert found, line
        with urlopen(found[1] + "api/v1/images/1/similar") as answer:
            assert len(json.load(answer)["hits"]) == 2
        with pytest.raises(HTTPError, match="503") as refused:
            urlopen(found[1] + "api/v1/ready")
        refused.value.close()
        assert "not ready: " in server.stderr.readline()
        server.send_signal(stop)
        try:
            assert server.wait(timeout=20) == 0
        finally:
            server.kill()


def test_a_model_that_could_not_be_loaded_is_tried_again(collection: Collection, encoder: ColorEncoder) -> None:
    tries: list[EncoderIdentity] = []

    def load(identity: EncoderIdentity) -> ColorEncoder:
        tries.append(identity)
        if len(tries) == 1:
            raise ModelUnavailable("the GPU is full")
        return encoder

    library = Library([collection], load, Uploads())
    for ready in (False, True, True):
        look_after(library)
        assert library.ready is ready
    assert len(tries) == 2


def test_thumbnails_are_swept_once_the_catalog_answers_again(
    collection: Collection, encoder: ColorEncoder, index: Build, photos: Path
) -> None:
    class Silent:
        def state(self) -> None:
            raise CollectionError("the database does not answer")

    index(photos)
    library = Library([collection], lambda _: encoder, Uploads())
    library.warm()
    stranger = collection.directory / "thumbnails" / "00" / "9-0-448.webp"
    stranger.parent.mkdir(parents=True)
    stranger.touch()
    shelf = library.default
    shelf.catalog, catalog = cast(Catalog, Silent()), shelf.catalog
    look_after(library)
    assert stranger.exists()
    shelf.catalog = catalog
    look_after(library)
    assert not stranger.exists()
