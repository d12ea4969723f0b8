"""Lookups of edited pictures: found with where they lie, told from others, and nothing claimed that nobody can tell."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, ImageOps

from benchmarks.edits import beside, screenshot
from indexer.bench_pictures import picture
from search.__main__ import main
from search.collection import Collection
from search.lookup import Candidate, by_id, by_image
from search.searcher import Searcher
from search.types import Root
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.app import create_app

COUNT = 6
SIZE = (320, 240)


def made(seed: int) -> Image.Image:
    return picture(np.random.default_rng(seed), SIZE)


def sent(image: Image.Image, encoding: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, encoding)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(COUNT):
        made(number).save(folder / f"{number}.png")
    return folder


def told(candidates: list[Candidate]) -> dict[str, str]:
    return {candidate.hit.path.name: candidate.verdict for candidate in candidates}


def test_an_edited_picture_is_found_first_with_what_was_done_to_it(
    searcher: Searcher, folder: Path, index: Build
) -> None:
    index(folder)
    edited = ImageOps.mirror(made(3).crop((32, 24, 288, 216))).resize((512, 384))
    first, *others = by_image(searcher, sent(edited, "JPEG"))
    assert (first.verdict, first.hit.path.name) == ("edited", "3.png")
    assert {other.verdict for other in others} == {"look-alike"}
    assert first.evidence is not None
    assert first.evidence.flipped
    assert first.evidence.scale == pytest.approx(2, abs=0.05)
    assert first.evidence.rotation == pytest.approx(0, abs=1)
    assert np.sort(np.array(first.evidence.region), axis=0) == pytest.approx(
        np.array([(0.1, 0.1), (0.1, 0.1), (0.9, 0.9), (0.9, 0.9)]), abs=0.03
    )


def test_the_same_pixels_in_another_file_are_told_from_an_edit(searcher: Searcher, folder: Path, index: Build) -> None:
    index(folder)
    assert told(by_image(searcher, sent(made(2), "BMP")))["2.png"] == "identical-pixels"
    assert told(by_image(searcher, (folder / "2.png").read_bytes()))["2.png"] == "identical"
    pixels = np.array(made(2))
    pixels[5, 5, 0] ^= 1
    assert told(by_image(searcher, sent(Image.fromarray(pixels))))["2.png"] == "edited"


def test_a_picture_that_is_not_here_is_no_more_than_a_look_alike(
    searcher: Searcher, folder: Path, index: Build
) -> None:
    index(folder)
    for seed in range(100, 110):
        assert set(told(by_image(searcher, sent(made(seed)))).values()) == {"look-alike"}


def test_both_of_two_pictures_side_by_side_are_found(searcher: Searcher, folder: Path, index: Build) -> None:
    index(folder)
    edited = beside(made(4))(made(1), random.Random(0))
    found = told(by_image(searcher, sent(edited)))
    assert {name for name, verdict in found.items() if verdict == "edited"} == {"1.png", "4.png"}


def test_no_original_is_needed(searcher: Searcher, folder: Path, index: Build) -> None:
    index(folder)
    for file in folder.iterdir():
        file.unlink()
    edited = screenshot(made(3), random.Random(0))
    assert told(by_image(searcher, sent(edited)))["3.png"] == "edited"
    assert told(by_image(searcher, sent(made(3), "BMP")))["3.png"] == "edited"  # its pixels cannot be compared


def test_without_features_the_file_is_asked_and_without_both_nobody_can_tell(
    searcher: Searcher, folder: Path, index: Build
) -> None:
    index(folder, keypoints=0)
    edited = sent(made(3).rotate(90, expand=True))
    assert told(by_image(searcher, edited))["3.png"] == "edited"
    (folder / "3.png").unlink()
    (folder / "4.png").write_bytes((folder / "5.png").read_bytes())
    found = told(by_image(searcher, edited))
    assert (found["3.png"], found["4.png"], found["5.png"]) == ("unverified", "unverified", "look-alike")


def test_edits_of_an_image_of_the_collection_are_found_by_its_id(
    searcher: Searcher, folder: Path, index: Build
) -> None:
    made(3).crop((40, 30, 300, 220)).save(folder / "crop.jpg")
    ImageOps.mirror(made(3)).save(folder / "mirror.png")
    index(folder)
    ids = {Path(path).name: known.id for path, known in searcher.collection.catalog.known_files(str(folder)).items()}
    found = told(by_id(searcher, ids["3.png"]))
    assert {name for name, verdict in found.items() if verdict == "edited"} == {"crop.jpg", "mirror.png"}
    assert "3.png" not in found


def test_the_api_tells_the_verdict_and_its_evidence(
    collection: Collection, encoder: ColorEncoder, folder: Path, index: Build
) -> None:
    index(folder)
    collection.catalog.follow([Root(str(folder))])
    client: FlaskClient = create_app([collection], lambda _model: encoder).test_client()
    edited = made(3).rotate(180).resize((160, 120))
    answer = client.post("/api/v1/lookup", data={"image": (io.BytesIO(sent(edited)), "a.png")}).get_json()
    first, second = answer["candidates"][:2]
    assert (answer["found"], first["verdict"], first["image"]["name"]) == (True, "edited", "3.png")
    assert abs(first["evidence"]["rotation"]) == pytest.approx(180, abs=1)
    assert first["evidence"]["scale"] == pytest.approx(0.5, abs=0.02)
    assert (second["verdict"], second["evidence"]) == ("look-alike", None)


def test_the_command_line_says_where_a_picture_is(
    tmp_path: Path, drawings: Path, bundled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = sorted(drawings.glob("*/*.jpg"))[0]
    with Image.open(source) as image:
        image.convert("RGB").rotate(90, expand=True).save(tmp_path / "turned.png")
    made(0).save(tmp_path / "other.png")
    words = ["--collection", str(bundled), "--lookup", str(tmp_path / "turned.png")]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("edited ")
    assert main([*words, "--paths"]) == 0
    assert str(source) in capsys.readouterr().out.splitlines()
    assert main([*words, str(tmp_path / "other.png"), "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["lookups"]
    assert [row["found"] for row in rows] == [True, False]
    assert rows[0]["candidates"][0]["evidence"]["inliers"] >= 4


@pytest.mark.parametrize("words", [[], ["dog", "--lookup", "a.jpg"], ["--lookup", "missing.jpg"]], ids=" ".join)
def test_what_cannot_be_looked_up_is_refused(
    words: list[str], collection: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--collection", str(collection.directory)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory, drawings: Path) -> Path:
    """A collection of the sample pictures, by the model that comes with the project."""
    from indexer.cli import main as index

    directory = tmp_path_factory.mktemp("bundled")
    assert index(["build", str(drawings), "--model", "bundled", "--collection", str(directory)]) == 0
    return directory
