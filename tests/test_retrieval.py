"""`python -m indexer eval retrieval` against ranks that are counted one by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from indexer import plot
from indexer.cli import main
from indexer.gallery import match
from indexer.retrieval import Retrieval
from search import evaluate
from search.encoder import load_encoder
from search.errors import BadQuery
from search.image import decode_picture
from search.published import published_recall
from tests.conftest import paint
from tests.test_timm_tower import save, tower

CAPTIONS = {
    "red.png": ["a red thing", "red"],
    "green.bmp": ["a green thing", "grass", "all green"],
    "blue.webp": ["the sea"],
}

Run = Callable[..., tuple[int, Any, str]]


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def counted_rank(scores: np.ndarray, relevant: np.ndarray) -> int:
    """In words: one more than the wrong ones that are not below the best right one."""
    best = max(score for score, right in zip(scores, relevant, strict=True) if right)
    return 1 + sum(score >= best for score, right in zip(scores, relevant, strict=True) if not right)


@pytest.mark.parametrize("cells", [1, 100, 10**6])
def test_ranks_are_those_that_are_counted_one_by_one(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(evaluate, "CELLS", cells)
    random = np.random.default_rng(3)
    images, texts = unit(random.normal(size=(13, 4))), unit(random.normal(size=(40, 4)))
    labels = np.concatenate([np.arange(13), random.integers(0, 13, 27)])
    to_images = evaluate.ranks(texts, labels, images, np.arange(13))
    to_texts = evaluate.ranks(images, np.arange(13), texts, labels)
    scores = texts @ images.T
    assert to_images.tolist() == [counted_rank(scores[i], np.arange(13) == labels[i]) for i in range(40)]
    assert to_texts.tolist() == [counted_rank(scores[:, i], labels == i) for i in range(13)]
    for k in (1, 5, 13):
        assert evaluate.recall(to_images, k) == np.mean([rank <= k for rank in to_images])


def test_a_model_for_which_all_is_alike_finds_nothing() -> None:
    alike = np.tile(np.array([[1, 0]], np.float32), (5, 1))
    assert evaluate.ranks(alike, np.arange(5), alike, np.arange(5)).tolist() == [5] * 5
    with pytest.raises(ValueError, match="no relevant item"):
        evaluate.ranks(alike, np.arange(5), alike, np.zeros(5, np.int64))


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    file = tmp_path / "captions"
    file.write_text(json.dumps(CAPTIONS))
    return file


@pytest.fixture
def run(photos: Path, captions: Path, tiny_model: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """`run("--json", ...)` over the photos -> exit code, result, stderr."""

    def run(*words: object, over: object = photos) -> tuple[int, Any, str]:
        where = [over, "--model", tiny_model] if over else []
        given = ["eval", "retrieval", *where, "--captions", captions, *words]
        code = main([str(word) for word in given])
        captured = capsysbinary.readouterr()
        out = captured.out.decode()
        return code, json.loads(out) if "--json" in words and out else out, captured.err.decode()

    return run


@pytest.fixture
def expected(photos: Path, tiny_model: Path) -> dict[str, Any]:
    """Recall and median ranks by sorting."""
    encoder = load_encoder(str(tiny_model), device="cpu")
    files = [photos / "red.png", photos / "green.bmp", photos / "trip" / "blue.webp"]
    images = encoder.encode_images([decode_picture(f.read_bytes(), max_pixels=1000).image for f in files])
    texts = encoder.encode_texts([text for of_picture in CAPTIONS.values() for text in of_picture])
    owners = np.array([0, 0, 1, 1, 1, 2])
    order = np.argsort(-texts @ images.T, axis=1)
    to_images = [order[i].tolist().index(owners[i]) + 1 for i in range(6)]
    order = np.argsort(-images @ texts.T, axis=1)
    to_texts = [[owners[place] for place in order[i]].index(i) + 1 for i in range(3)]
    return {
        name: {"recall": {str(k): np.mean(np.array(ranks) <= k) for k in (1, 5, 10)}, "median_rank": np.median(ranks)}
        for name, ranks in (("text_to_image", to_images), ("image_to_text", to_texts))
    }


def test_a_folder_is_measured(run: Run, expected: dict[str, Any], photos: Path, tiny_model: Path) -> None:
    code, facts, _ = run("--json")
    assert code == 0
    assert {name: facts[name] for name in expected} == expected
    assert (facts["pictures"], facts["captions"]) == (3, 6)
    assert facts["captions_per_picture"] == {"least": 1, "most": 3}
    assert facts["model"] == str(tiny_model)
    for name in ("missing", "unreadable", "published", "truncated", "without_captions", "empty_captions"):
        assert not facts[name]
    words = run()[1]
    assert "captions        6 (JSON of captions by file name), 1 to 3 a picture" in words
    row = " ".join(f"{share:>7.1%}" for share in expected["text_to_image"]["recall"].values())
    assert f"text to image   {row}" in words


def test_a_collection_is_measured_with_its_stored_vectors(
    run: Run, expected: dict[str, Any], photos: Path, tiny_model: Path, tmp_path: Path
) -> None:
    where = tmp_path / "collection"
    assert main(["build", str(photos), "--model", str(tiny_model), "--collection", str(where)]) == 0
    paint(photos / "red.png", "white")  # not looked at again
    run()
    code, facts, _ = run("--collection", where, "--json", over=None)
    assert code == 0
    assert {name: facts[name] for name in expected} == expected
    code, _, told = run("--collection", where, "--model", "bundled", over=None)
    assert (code, "--model bundled goes with a FOLDER" in told) == (2, True)


def test_what_is_left_out_is_counted_and_named(run: Run, photos: Path, captions: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no picture")
    paint(photos / "more.png", "white")
    long = "a dog " * 100
    rows = {**CAPTIONS, "bad.jpg": ["a bad one"], **{f"gone {n}.jpg": ["gone"] for n in range(22)}}
    captions.write_text(json.dumps({**rows, "red.png": [long, ""]}))
    code, facts, _ = run("--json")
    assert code == 0
    assert facts["missing"] == [f"gone {n}.jpg" for n in range(22)]
    assert list(facts["unreadable"]) == [str(photos / "bad.jpg")]
    assert (facts["pictures"], facts["captions"]) == (3, 5)
    assert (facts["truncated"], facts["without_captions"], facts["empty_captions"]) == (1, 1, 1)
    words = run()[1]
    assert "1 captions have more than 77 tokens" in words
    assert "22 pictures that the file names are not here, and were left out:\n    gone 0.jpg\n" in words
    assert "and 2 more; --json lists all" in words
    assert f"    {photos / 'bad.jpg'}: not a picture" in words


def test_nothing_to_measure_is_an_error(run: Run, photos: Path, captions: Path) -> None:
    captions.write_text('{"elk.jpg": "an elk"}')
    code, _, told = run()
    assert (code, "none of the 1 pictures that the file names is here, such as elk.jpg" in told) == (2, True)
    (photos / "elk.jpg").write_bytes(b"no picture")
    assert "none of the 1 pictures with captions can be read" in run()[2]


def test_a_model_of_images_alone_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, told = run("--model", save(tower(), tmp_path / "tower"))
    assert (code, "this model has no text tower" in told) == (2, True)


def test_names_mean_the_picture_that_lies_as_they_say() -> None:
    paths = ["/all/a/1.jpg", "/all/b/1.jpg", "/all/b/2.jpg"]
    assert match(["a/1.jpg", "b/1.jpg", "c/2.jpg", "3.jpg"], paths) == match(
        ["a/1.jpg", "b/1.jpg", "c/2.jpg", "3.jpg"], paths[::-1]
    )
    matched = match(["a/1.jpg", "c/2.jpg", "3.jpg"], paths)
    assert matched.paths == {"a/1.jpg": "/all/a/1.jpg", "c/2.jpg": "/all/b/2.jpg"}
    assert matched.missing == ["3.jpg"]
    with pytest.raises(BadQuery, match=r"1 names \(1.jpg\) mean more than one picture \(/all/a/1.jpg and /all/b/1.jpg"):
        match(["1.jpg"], paths)
    with pytest.raises(BadQuery, match=r"1 pictures are meant by more than one name, such as x/2.jpg and y/2.jpg"):
        match(["x/2.jpg", "y/2.jpg"], paths)


def test_published_figures_stand_beside_those_of_a_model_that_has_them() -> None:
    flickr, coco = published_recall("ViT-B-32/openai")
    assert (flickr["text_to_image"], flickr["image_to_text"]) == pytest.approx((0.5878, 0.7890))
    assert (coco["text_to_image"], coco["image_to_text"]) == pytest.approx((0.3044, 0.5012))
    for name in ("hf-hub:timm/vit_base_patch32_clip_224.openai", "hf-hub:openai/clip-vit-base-patch32"):
        assert published_recall(name) == [flickr, coco]
    assert published_recall("bundled") == published_recall("hf-hub:None") == []


def test_recall_is_drawn_over_k(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "recall.png"
    assert run("--plot", file)[0] == 0
    with Image.open(file) as drawn:
        assert drawn.format == "PNG"
        assert drawn.size == (1050, 675)
    many = np.arange(1, 2001)
    plot.plot_recall(Retrieval("m", many, many[:400], [5] * 400, 0, 77), file)
    code, _, told = run("--plot", tmp_path / "nowhere" / "recall.png")
    assert (code, "there is no folder" in told) == (2, True)


def test_a_plot_without_the_library_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, _, told = run("--plot", "recall.png")
    assert (code, "pip install 'text-image-search[plot]'" in told) == (2, True)
