"""The command lines as a person uses them, on drawn pictures with the bundled model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from indexer.cli import main as indexer
from search.__main__ import main as search
from search.settings import PROJECT, Settings
from tests.conftest import paint
from web.__main__ import main as web


@pytest.fixture
def folder(tmp_path: Path, drawings: Path) -> Path:
    """A few of the sample pictures, to be changed at will."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for file in sorted(drawings.glob("*/*.jpg"))[:12]:
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


class Runner:
    """`run(main, verb, ...)` -> (exit code, stdout), parsed with `--json`; `run.err` is what went to stderr."""

    def __init__(self, collection: Path, capture: pytest.CaptureFixture[bytes]) -> None:
        self.collection = collection
        self.err = ""
        self._capture = capture

    def __call__(self, main: Callable[[list[str]], int], *words: object) -> tuple[int, Any]:
        code = main([*(str(word) for word in words), "--collection", str(self.collection)])
        captured = self._capture.readouterr()
        out, self.err = os.fsdecode(captured.out), captured.err.decode()
        return code, json.loads(out) if "--json" in words else out


@pytest.fixture
def run(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Runner:
    return Runner(tmp_path / "collection", capsysbinary)


@pytest.fixture
def built(run: Runner, folder: Path) -> dict[str, Any]:
    code, report = run(indexer, "build", folder, "--model", "bundled", "--json")
    assert code == 0
    return report


def test_a_folder_becomes_searchable_by_picture(run: Runner, built: dict[str, Any], folder: Path) -> None:
    assert (built["new"], built["failed"]) == (12, 0)
    first = sorted(folder.iterdir())[0]
    code, found = run(search, first, "-k", 3, "--json")
    assert code == 0
    assert found["hits"][0]["path"] == str(first)
    assert len(found["hits"]) == 3
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_words_that_name_a_file_are_told_from_its_picture(
    run: Runner, built: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    name = sorted(folder.iterdir())[0].name
    run(search, name)
    assert run.err.endswith(f"{name} was searched for as words; the picture is ./{name}\n")
    run(search, "https://example.org/dog.jpg")
    assert "https://example.org/dog.jpg was searched for as words; fetch the picture" in run.err
    for path in (f"./{name}", f"../{folder.name}/{name}"):
        run(search, path)
        assert "as words" not in run.err


def test_a_name_with_control_characters_stays_on_its_line(run: Runner, folder: Path) -> None:
    odd = folder / "two\nlines\x1b[31m.jpg"
    sorted(folder.iterdir())[0].rename(odd)
    run(indexer, "build", folder, "--model", "bundled")
    for asked in ([odd, "-k", 1], ["--lookup", odd]):
        code, out = run(search, *asked)
        assert (code, out.count("\n")) == (0, 1)
        assert f"{folder}/two\\nlines\\x1b[31m.jpg" in out
    assert run(search, odd, "-k", 1, "--paths") == (0, f"{odd}\n")


def test_no_name_commands_a_terminal(run: Runner, folder: Path) -> None:
    good = sorted(folder.iterdir())[0]
    for odd in ("\x1b[31mcopy.jpg", "\x9b31mcopy.jpg"):
        (folder / odd).write_bytes(good.read_bytes())
    (folder / "\x1b]0;broken\x07.jpg").write_bytes(b"no picture")
    told = [run(indexer, "build", folder, "--model", "bundled")[1]]
    told += [run(indexer, "status")[1], run(indexer, "duplicates", "--kind", "identical")[1]]
    run(search, "--lookup", folder / "\x1b]0;broken\x07.jpg")
    told.append(run.err)
    assert all(escape in told[2] for escape in (r"/\x1b[31mcopy.jpg", r"/\x9b31mcopy.jpg"))
    assert all(rf"{folder}/\x1b]0;broken\x07.jpg: " in words for words in (told[1], told[3]))
    assert not [words for words in told if any(character in words for character in "\x1b\x9b\x07")]


def test_a_lookup_tells_of_the_pictures_beside_one_that_cannot_be_read(
    run: Runner, built: dict[str, Any], folder: Path
) -> None:
    first, second = sorted(folder.iterdir())[:2]
    broken = folder / "broken.jpg"
    broken.write_bytes(b"no picture")
    code, out = run(search, "--paths", "--lookup", first, broken, second)
    assert (code, out) == (2, f"{first}\n{second}\n")
    assert run.err == f"error: {broken}: not a picture of a known format\n"


def test_a_lookup_takes_nothing_that_only_a_query_has(run: Runner, built: dict[str, Any], folder: Path) -> None:
    picture = sorted(folder.iterdir())[0]
    for option in (["--where", "width<1"], ["--tag", "dog"], ["--target", "texts"], ["--group"], ["--server", "x"]):
        assert run(search, *option, "--lookup", picture) == (2, "")
        assert run.err.startswith(f"error: --lookup takes no {option[0]}; ")
    assert run(search, "--sensitive", "show", "-k", 1, "--lookup", picture)[0] == 0


def test_a_folder_without_pictures_is_told(run: Runner, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert run(indexer, "build", empty, "--model", "bundled") == (
        0,
        "0 new\nthere is no picture in what was looked through\n",
    )


def test_paths_are_printed_a_line_each(run: Runner, built: dict[str, Any], folder: Path) -> None:
    code, out = run(search, "a picture", "--paths")
    assert code == 0
    assert len(out.splitlines()) == 10
    assert set(out.splitlines()) < {str(file) for file in folder.iterdir()}


def test_a_table_shows_score_id_and_path(run: Runner, built: dict[str, Any]) -> None:
    _, out = run(search, "a picture", "-k", 1)
    score, image_id, path = out.strip().split(maxsplit=2)
    assert -1 <= float(score) <= 1
    assert image_id.startswith("id:")
    assert Path(path).is_file()
    code, same = run(search, image_id, "--paths")
    assert code == 0 and len(same.splitlines()) == 10


def test_a_filter_narrows_and_a_bad_one_is_one_line(run: Runner, built: dict[str, Any]) -> None:
    assert run(search, "id:1", "--where=-format:jpeg")[0] == 1
    code, found = run(search, "id:1", "--where", "format:jpg width>=16 -place:yes", "--paths")
    assert (code, len(found.splitlines())) == (0, 10)
    assert run(search, "id:1", "--where", "formt:jpg") == (2, "")
    assert run.err == (
        "error: unknown field 'formt'; did you mean format? There are: taken, folder, format, orientation, width, "
        "height, side, camera, place, near, tag\n"
    )


def test_a_second_build_and_an_update_change_nothing(run: Runner, built: dict[str, Any], folder: Path) -> None:
    for words in (("build", folder), ("update",)):
        code, report = run(indexer, *words, "--json")
        assert (code, report["unchanged"], report["encoded"]) == (0, 12, 0)


def test_update_follows_the_remembered_folders(run: Runner, built: dict[str, Any], folder: Path) -> None:
    files = sorted(folder.iterdir())
    files[0].rename(folder / "renamed.jpg")
    files[1].unlink()
    paint(folder / "new.png", "red")
    code, report = run(indexer, "update", "--json")
    assert code == 0
    assert {name: report[name] for name in ("new", "moved", "removed", "encoded")} == {
        "new": 1,
        "moved": 1,
        "removed": 1,
        "encoded": 1,
    }


def test_what_was_kept_because_its_folder_vanished_is_told_by_the_exit_code(
    run: Runner, built: dict[str, Any], folder: Path
) -> None:
    folder.rename(folder.with_name("away"))
    code, report = run(indexer, "update", "--json")
    assert (code, report["removed"]) == (1, 0)
    assert list(report["unreadable"]) == [str(folder)]
    folder.with_name("away").rename(folder)
    assert run(indexer, "update", "--json")[0] == 0


def test_exclusions_are_remembered(run: Runner, folder: Path) -> None:
    paint(folder / "raw" / "a.png", "red")
    run(indexer, "build", folder, "--model", "bundled", "--exclude", "raw", "--json")
    _, report = run(indexer, "update", "--json")
    assert (report["unchanged"], report["new"]) == (12, 0)


def test_removed_files_stay_out_and_stay_on_disk(run: Runner, built: dict[str, Any], folder: Path) -> None:
    file = sorted(folder.iterdir())[0]
    code, done = run(indexer, "remove", file, "--json")
    assert (code, done) == (0, {"removed": 1})
    assert file.is_file()
    _, report = run(indexer, "update", "--json")
    assert (report["unchanged"], report["new"]) == (11, 0)
    code, _ = run(indexer, "remove", folder / "nothing here")
    assert code == 1
    _, done = run(indexer, "remove", folder / "nothing here", folder, folder, "--json")
    assert done == {"removed": 11}
    assert run.err == f"{folder}/nothing here: no image there was in the collection\n"
    _, status = run(indexer, "status", "--json")
    assert (status["images"], status["roots"]) == (0, [])
    run(indexer, "build", folder)
    for _ in range(2):
        run(indexer, "remove", folder / "mistyped", file)
    _, status = run(indexer, "status", "--json")
    assert [root["exclude"] for root in status["roots"]] == [[file.name]]


def test_status_tells_what_there_is(run: Runner, built: dict[str, Any], folder: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"not a picture")
    run(indexer, "update")
    code, status = run(indexer, "status", "--json")
    assert code == 0
    assert (status["images"], status["model"], status["index"]) == (12, "bundled", "exact")
    assert status["published"] is True
    assert [Path(failure["path"]).name for failure in status["failures"]] == ["broken.jpg"]
    assert [run["report"]["new"] for run in status["runs"]] == [0, 12]
    _, words = run(indexer, "status")
    assert "broken.jpg" in words and str(folder) in words


def test_verify_answers_by_exit_code_and_repairs(run: Runner, built: dict[str, Any], tmp_path: Path) -> None:
    assert run(indexer, "verify")[0] == 0
    for file in (tmp_path / "collection").glob("images-*.faiss"):
        file.unlink()
    code, findings = run(indexer, "verify", "--json")
    assert (code, findings["clean"]) == (1, False)
    assert run(indexer, "verify", "--repair")[0] == 0
    assert run(indexer, "verify")[0] == 0


def test_models_are_listed_with_the_bundled_one_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert indexer(["models", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    assert listed["bundled"]["here"] is True
    assert listed["ViT-L-14-336/openai"]["imagenet_top1"] == 76.56


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a dog", "-k", "0"], "from 1 to 1000"),
        (["a dog", "-k", "5000"], "from 1 to 1000"),
        ([" "], "empty query"),
        (["./nowhere.jpg"], "nowhere.jpg"),
        (["id:99999"], "no image has the id 99999"),
    ],
)
def test_a_bad_query_is_one_line_and_exit_code_2(
    run: Runner, built: dict[str, Any], words: list[str], message: str
) -> None:
    assert run(search, *words) == (2, "")
    assert message in run.err
    assert run.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--batch-size", "x"], "'x' will not do; give a whole number, 1 or more"),
        (["--workers", "0"], "'0' will not do; give a whole number, 1 or more"),
        (["--keypoints", "2000"], "'2000' will not do; give a whole number, 0 to 1000"),
        (["--min-recall", "x"], "'x' is no share; give 0 to 1"),
    ],
)
def test_a_wrong_number_is_told_with_what_may_stand_there(run: Runner, words: list[str], told: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(indexer, "build", "photos", *words)
    run(search, " ")  # takes up what was written until then
    assert run.err.startswith(f"error: argument {words[0]}: {told}; see python -m indexer build --help\n")


def test_a_runtime_that_nobody_knows_is_refused_in_the_environment_too(
    run: Runner, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_RUNTIME", "onxn")
    for main, words in ((search, ["a dog"]), (indexer, ["update"]), (web, ["--port", "0"])):
        with pytest.raises(SystemExit, match="2"):
            run(main, *words)
        assert b"'onxn' is none of auto, torch, onnx, here or in IMAGE_SEARCH_RUNTIME" in capsysbinary.readouterr().err


def test_a_device_that_nobody_knows_is_refused_before_anything_is_done(
    run: Runner, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    for main, words in ((search, ["a dog"]), (indexer, ["update"]), (web, ["--port", "0"])):
        with pytest.raises(SystemExit, match="2"):
            run(main, *words, "--device", "gpu")
        assert b"no device is called 'gpu'; choose auto, cpu, cuda or cuda:N" in capsysbinary.readouterr().err


def test_a_tilde_that_the_shell_left_is_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("IMAGE_SEARCH_CACHE", "~/cache")
    assert Settings.from_environment().cache == tmp_path / "home" / "cache"
    assert indexer(["status", "--collection=~/nothing"]) == 2
    assert f"no collection in {tmp_path}/home/nothing" in capsys.readouterr().err


def test_a_help_begins_with_a_capital_and_keeps_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        indexer(["eval", "graded", "--help"])
    assert "graded them in: nDCG@k\n" in capsys.readouterr().out


def test_no_collection_no_folder_and_another_model_are_refused(
    run: Runner, built: dict[str, Any], folder: Path, tmp_path: Path, tiny_model: Path
) -> None:
    assert run(indexer, "build", tmp_path / "nowhere")[0] == 2
    assert "does not exist" in run.err
    assert run(indexer, "build", "https://example.org/photos")[0] == 2
    assert "is on the web, which lists nothing" in run.err
    assert run(indexer, "build", next(folder.iterdir()))[0] == 2
    assert "is a file; name its folder" in run.err
    assert run(indexer, "build", folder, "--model", tiny_model)[0] == 2
    assert f"--model {tiny_model} --collection NEW_DIRECTORY" in run.err
    run.collection = tmp_path / "no collection"
    assert run(search, "a dog")[0] == 2
    assert "python -m indexer build" in run.err


def test_an_empty_collection_answers_no(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "empty").mkdir()
    run(indexer, "build", tmp_path / "empty", "--model", "bundled")
    assert run(search, "a dog") == (1, "")


def test_names_that_are_no_utf_8_go_in_and_come_out_byte_by_byte(run: Runner, folder: Path, tmp_path: Path) -> None:
    odd = os.fsencode(folder) + b"/caf\xe9.jpg"
    sorted(folder.iterdir())[0].rename(os.fsdecode(odd))
    run(indexer, "build", folder, "--model", "bundled")
    code, out = run(search, os.fsdecode(odd), "--paths", "-k", 1)
    assert (code, os.fsencode(out)) == (0, odd + b"\n")
    assert run(search, "x", "-k", 20)[1].count("\n") == 12
    assert run(indexer, "status")[0] == 0


def start(*words: object, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", *(str(word) for word in words)]
    return subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_ctrl_c_ends_with_130_and_keeps_what_is_done(tmp_path: Path, run: Runner) -> None:
    folder = tmp_path / "many"
    for number in range(3000):
        paint(folder / f"{number}.png", "red", (number + 1, 3))
    process = start(
        "indexer",
        "build",
        folder,
        "--model",
        "bundled",
        "--collection",
        tmp_path / "collection",
        "--batch-size",
        8,
        "--json",
    )
    wait_for(lambda: images_in(tmp_path / "collection") > 0)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    report = json.loads(out)
    assert process.returncode == 130
    assert report["interrupted"] and 0 < report["new"] < 3000
    assert run(indexer, "verify")[0] == 0
    assert run(indexer, "status", "--json")[1]["images"] == report["new"]


@pytest.mark.parametrize("words", [["search", "id:1", "-k", 1000, "--json"], ["indexer", "status"]])
def test_a_reader_that_has_gone_is_no_error(run: Runner, built: dict[str, Any], words: list[object]) -> None:
    with start(*words, "--collection", run.collection) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 130)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_hits_that_cannot_be_written_are_one_line(run: Runner, built: dict[str, Any]) -> None:
    words = [sys.executable, "-m", "search", "id:1", "--collection", str(run.collection)]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(words, cwd=PROJECT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (2, b"error: No space left on device\n")


def test_ctrl_c_while_a_program_starts_is_no_traceback(run: Runner, built: dict[str, Any], tmp_path: Path) -> None:
    """A module of that name, first on the path, is a Ctrl-C in the middle of the imports."""
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt")
    path = {**os.environ, "PYTHONPATH": str(tmp_path)}
    for words in (["indexer", "verify"], ["search", "id:1"], ["web", "--port", 0]):
        process = start(*words, "--collection", run.collection, env=path)
        assert (*process.communicate(), process.returncode) == (b"", b"", 130)


def test_a_list_that_cannot_be_read_is_one_line(run: Runner, tmp_path: Path) -> None:
    missing = tmp_path / "list"
    assert run(indexer, "build", "--files-from", missing, "--model", "bundled") == (2, "")
    assert run.err == f"error: {missing} cannot be read: No such file or directory\n"


def test_a_second_build_at_once_is_refused_naming_the_first(tmp_path: Path, run: Runner) -> None:
    folder = tmp_path / "many"
    for number in range(3000):
        paint(folder / f"{number}.png", "red", (number + 1, 3))
    words = ["build", folder, "--model", "bundled"]
    process = start("indexer", *words, "--collection", run.collection, "--batch-size", 8)
    wait_for(lambda: images_in(run.collection) > 0)
    assert run(indexer, *words)[0] == 2
    assert f"process {process.pid}" in run.err
    process.kill()
    process.communicate()


def test_watch_makes_a_new_picture_searchable(run: Runner, built: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    process = start("indexer", "watch", "--collection", tmp_path / "collection")
    try:
        assert process.stderr is not None
        assert b"watching" in process.stderr.readline()
        paint(folder / "new.png", "yellow")
        wait_for(lambda: run(indexer, "status", "--json")[1]["images"] == 13)
        (folder / "new.png").unlink()
        wait_for(lambda: run(indexer, "status", "--json")[1]["images"] == 12)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 0


def images_in(directory: Path) -> int:
    from search.collection import Collection

    return Collection.open(directory).catalog.counts()["images"] if Collection.exists(directory) else 0


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.1)


def test_an_empty_path_is_not_the_current_folder(run: Runner, built: dict[str, Any], folder: Path) -> None:
    for words in (("remove", ""), ("build", "")):
        assert run(indexer, *words) == (2, "")
        assert run.err == "error: an empty path names nothing; for the current folder write .\n"
    assert run(indexer, "status", "--json")[1]["images"] == 12


@pytest.mark.parametrize("rule", ["inner", "inner/", "./inner", "./inner/", "{folder}/inner/"])
def test_a_folder_is_left_out_however_its_rule_is_written(run: Runner, folder: Path, rule: str) -> None:
    (folder / "inner").mkdir()
    sorted(folder.glob("*.jpg"))[0].rename(folder / "inner" / "a.jpg")
    report = run(indexer, "build", folder, "--model", "bundled", "--json", "--exclude", rule.format(folder=folder))[1]
    assert report["new"] == 11


def test_the_model_that_the_environment_names_is_that_of_new_collections(
    run: Runner, built: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGE_SEARCH_MODEL", "nobody/model")
    monkeypatch.setenv("IMAGE_SEARCH_RUNTIME", "")
    assert run(indexer, "build", folder, "--json")[1]["unchanged"] == 12
    run.collection = run.collection.with_name("another")
    assert run(indexer, "build", folder)[0] == 2
    assert "nobody/model" in run.err


def test_words_are_written_whatever_the_locale(run: Runner, folder: Path) -> None:
    picture = sorted(folder.iterdir())[0]
    picture.with_suffix(".txt").write_text("Größe")
    run(indexer, "build", folder, "--model", "bundled")
    words = [sys.executable, "-m", "search", picture, "--target", "texts", "--collection", run.collection]
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(words, cwd=PROJECT, env=plain, capture_output=True, check=True)
    assert "Größe" in done.stdout.decode()
