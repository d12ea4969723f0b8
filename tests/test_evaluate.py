"""`python -m indexer eval classification` against accuracies that are counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from indexer import say_measured
from indexer.classify import Classified
from indexer.cli import main
from indexer.evaluate import accuracy, truths
from search.classify import make_classifier
from search.encoder import load_encoder
from search.errors import BadQuery
from search.image import decode_picture
from tests.conftest import paint

LABELS = ["ape", "bee", "cat", "dog", "elk", "fox"]


def told(path: str, *best: str) -> Classified:
    """A picture whose most probable labels are these, in this order."""
    order = [*best, *(label for label in LABELS if label not in best)]
    return Classified(path, np.array([1 / (2 + order.index(label)) for label in LABELS], np.float32))


def test_accuracies_are_shares_of_pictures_and_means_of_classes() -> None:
    items = [
        told("1", "ape"),
        told("2", "ape", "bee"),
        told("3", "bee", "ape"),
        told("4", "ape", "bee", "cat", "elk", "fox", "dog"),
        Classified("5", reason="not a picture"),
        Classified("6", reason="not a picture"),
    ]
    of_paths = {"1": "ape", "2": "ape", "3": "ape", "4": "dog", "5": "cat", "6": "ape"}
    facts = accuracy(items, of_paths, LABELS)
    assert (facts["pictures"], facts["failed"]) == (4, 2)
    assert (facts["top1"], facts["top5"]) == (2 / 4, 3 / 4)
    assert facts["mean_per_class"] == pytest.approx((2 / 3 + 0) / 2)
    assert facts["classes"]["ape"] == {"pictures": 3, "top1": 2 / 3}
    assert facts["classes"]["cat"] == {"pictures": 0, "top1": None}
    words = say_measured.accuracy(facts)
    assert "top-5           75.0%" in words
    assert "66.7%       3  ape" in words


def test_nothing_that_could_be_read_has_no_accuracy() -> None:
    facts = accuracy([Classified("1", reason="no")], {"1": "ape"}, LABELS)
    assert (facts["top1"], facts["top5"], facts["mean_per_class"]) == (None, None, None)
    assert "top-1           -" in say_measured.accuracy(facts)


def test_the_folder_below_is_the_class() -> None:
    paths = ["/all/red_fox/1.jpg", "/all/red_fox/more/2.jpg", "/all/cat/3.jpg", "/all/4.jpg"]
    assert truths("/all", paths) == {paths[0]: "red fox", paths[1]: "red fox", paths[2]: "cat"}
    with pytest.raises(BadQuery, match="pictures of 1 of 2 classes or more"):
        truths("/all", paths[:2])


def test_a_folder_of_folders_is_measured(
    tmp_path: Path, tiny_model: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder, colors = tmp_path / "classes", ["red", "green", "blue", "white"]
    for color in colors:
        paint(folder / f"{color}_thing" / "a.png", color)
    (folder / "red_thing" / "bad.jpg").write_bytes(b"no picture")
    assert main(["eval", "classification", str(folder), "--model", str(tiny_model), "--json"]) == 0
    facts = json.loads(capsysbinary.readouterr().out)
    encoder = load_encoder(str(tiny_model), device="cpu")
    labels = sorted(f"{color} thing" for color in colors)
    classifier = make_classifier(encoder, labels, ["a photo of a {}."])
    files = [folder / label.replace(" ", "_") / "a.png" for label in labels]
    images = [decode_picture(file.read_bytes(), max_pixels=1000).image for file in files]
    best = classifier.probabilities(encoder.encode_images(images)).argmax(axis=1)
    assert facts["top1"] == np.mean(best == np.arange(4))
    assert (facts["top5"], facts["pictures"], facts["failed"]) == (1.0, 4, 1)
    assert list(facts["classes"]) == labels
