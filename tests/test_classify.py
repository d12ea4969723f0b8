"""Zero-shot classification against open_clip's own classifier and model on the same pictures and labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from search.batching import BatchingEncoder
from search.classify import Classifier, make_classifier
from search.encoder import load_encoder
from search.errors import BadQuery
from search.prompts import TEMPLATE_SETS, prompts, templates_of
from search.types import Logits
from tests.colors import COLORS, ColorEncoder
from tests.test_checkpoints import save_tiny_clip
from tests.test_encoder import pictures

LABELS = ["dog", "a cat {in} the {}", "rocket", "Schnee"]
SHIPPED = {
    "plain": (lambda label: f"a photo of a {label}.",),
    "simple": open_clip.SIMPLE_IMAGENET_TEMPLATES,
    "imagenet": open_clip.OPENAI_IMAGENET_TEMPLATES,
}


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_a_label_becomes_the_prompts_of_open_clip(name: str) -> None:
    for label in LABELS:
        assert prompts(label, templates_of(name)) == [template(label) for template in SHIPPED[name]]


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_class_vectors_are_those_of_open_clip(tiny_model: Path, name: str) -> None:
    model = open_clip.create_model(f"local-dir:{tiny_model}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tiny_model}")
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, LABELS, SHIPPED[name]).T.numpy()
    classifier = make_classifier(load_encoder(str(tiny_model), device="cpu"), LABELS, templates_of(name))
    np.testing.assert_allclose(classifier.vectors, expected, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"init_logit_bias": -7.5}, {"init_logit_scale": 3.0}], ids=str)
def test_logits_and_probabilities_are_those_of_the_model(tmp_path: Path, changes: dict[str, float]) -> None:
    folder = save_tiny_clip(tmp_path / "tiny", **changes)
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(LABELS)
    with torch.inference_mode():
        per_image, per_text = model.eval().get_logits(torch.stack([preprocess(image) for image in pictures()]), tokens)
    encoder = load_encoder(str(folder), device="cpu")
    classifier, images = make_classifier(encoder, LABELS, ["{}"]), encoder.encode_images(pictures())
    np.testing.assert_allclose(classifier.logits_per_image(images), per_image, atol=1e-4)
    np.testing.assert_allclose(classifier.logits_per_text(images), per_text, atol=1e-4)
    np.testing.assert_allclose(classifier.probabilities(images), per_image.softmax(dim=1), atol=1e-5)


def test_a_batching_encoder_has_the_logits_of_its_own(encoder: ColorEncoder) -> None:
    assert BatchingEncoder(encoder).logits == encoder.logits


def test_many_labels_are_classified_as_few_are(encoder: ColorEncoder) -> None:
    labels = [f"{color} {number}" for number in range(300) for color in COLORS]
    together = make_classifier(encoder, labels, ["{}", "a {}"])
    alone = make_classifier(encoder, labels[-1:], ["{}", "a {}"])
    assert together.vectors.shape == (len(labels), 4)
    np.testing.assert_allclose(together.vectors[-1:], alone.vectors, atol=1e-6)


def test_probabilities_hold_for_logits_beyond_the_range_of_exp() -> None:
    classifier = Classifier(("a", "b"), np.eye(2, dtype=np.float32), Logits(scale=1000.0, bias=-900.0))
    np.testing.assert_allclose(classifier.probabilities(np.eye(2, dtype=np.float32)), np.eye(2), atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "templates", "told"),
    [
        ([], ["{}"], "no labels"),
        (["dog"], [], "no templates"),
        (["dog", " "], ["{}"], "an empty label"),
        (["dog"], ["{}", "a photo"], "the template 'a photo' does not say with {}"),
        (["dog", "cat " * 74], ["a {}"], "has 77 tokens"),
    ],
)
def test_labels_that_cannot_be_told_apart_are_refused(
    encoder: ColorEncoder, labels: list[str], templates: list[str], told: str
) -> None:
    encoder.context = 76
    with pytest.raises(BadQuery, match=re.escape(told)):
        make_classifier(encoder, labels, templates)


def test_a_template_may_stand_in_place_of_a_name() -> None:
    assert templates_of("a drawing of a {}") == ("a drawing of a {}",)


def test_unknown_templates_are_refused_with_the_known_ones() -> None:
    with pytest.raises(BadQuery, match="'everything'; there are: plain, simple, imagenet"):
        templates_of("everything")
