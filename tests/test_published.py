"""`models --check` with encoders that give the published cosines, and with some that do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from indexer import say_measured
from indexer.cli import main
from search.errors import BadQuery
from search.published import TEXT_COSINES, TOLERANCE, check, text_cosines
from tests.colors import ColorEncoder

B_32 = TEXT_COSINES["ViT-B-32/openai"]
TEXTS = sorted({text for known in B_32 for text in (known.one, known.other)})


class Published(ColorEncoder):
    """Gives texts the vectors of a matrix of cosines: the published ones, `off` for the first, 0.85 between others."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        cosines = np.full((len(TEXTS), len(TEXTS)), 0.85) + 0.15 * np.eye(len(TEXTS))
        for place, known in enumerate(B_32):
            one, other = TEXTS.index(known.one), TEXTS.index(known.other)
            cosines[one, other] = cosines[other, one] = known.cosine + (off if place == 0 else 0)
        self._rows = np.linalg.cholesky(cosines).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return self._rows[[TEXTS.index(text) for text in texts]]


def test_published_cosines_pass_and_others_do_not() -> None:
    for off in (0, 0.9 * TOLERANCE):
        checked = check(Published(off), "ViT-B-32/openai")
        assert (checked.passed, checked.model) == (True, "colors")
        words = say_measured.check(checked.to_dict())
        assert "   0.8685   0.8685  pass  'a diagram' / 'a dog' [2]\n" in words
        assert words.endswith("\npass")
    checked = check(Published(-1.2 * TOLERANCE), "hf-hub:openai/clip-vit-base-patch32")
    assert [item.passed for item in checked.cosines] == [False, True, True, True, True]
    assert checked.cosines[0].found == pytest.approx(B_32[0].cosine - 1.2 * TOLERANCE, abs=1e-5)
    words = say_measured.check(checked.to_dict())
    assert "   0.9361   0.9349  FAIL  'a dog' / 'a cat' [1]\n" in words
    assert words.splitlines()[-1].startswith("FAIL: other weights")


def test_models_of_which_nothing_is_published_are_told_of_those_that_have_something() -> None:
    with pytest.raises(BadQuery, match=r"no vectors of bundled are published .* there are some of ViT-B-32/openai\. "):
        text_cosines("bundled")


def test_cosines_are_those_of_published_vectors(shared: Path) -> None:
    """Those of which vectors are at hand: OpenAI's ViT-B/32 for the names of LVIS' classes."""
    vectors = np.load(shared / "data" / "clip_space" / "text_vectors.npy").astype(np.float64)
    places = {
        text: place for place, text in enumerate(json.loads((shared / "data/clip_space/text_rows.json").read_text()))
    }
    known = [item for item in B_32 if item.one in places and item.other in places]
    assert len(known) == 3
    for item in known:
        one, other = vectors[places[item.one]], vectors[places[item.other]]
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
        assert cosine == pytest.approx(item.cosine, abs=5e-5)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        code = main(["models", *(str(word) for word in words)])
        return code, *capsys.readouterr()

    return run


def test_the_command_line_says_fail_with_the_weights_of_another_model(
    run: Callable[..., tuple[int, str, str]], tiny_model: Path
) -> None:
    code, out, _ = run("--check", "ViT-B-32/openai", "--model", tiny_model)
    assert code == 1
    assert "0.9361" in out and "FAIL  'a dog' / 'a cat' [1]" in out
    assert out.splitlines()[-1].startswith("FAIL: other weights")
    code, out, _ = run("--check", "ViT-B-32/openai", "--model", tiny_model, "--json")
    facts = json.loads(out)
    assert (code, facts["passed"], facts["model"]) == (1, False, str(tiny_model))
    assert [row["cosine"] for row in facts["cosines"]] == [item.cosine for item in B_32]
    assert all(row["source"] for row in facts["cosines"])


def test_what_cannot_be_checked_is_told(run: Callable[..., tuple[int, str, str]], tiny_model: Path) -> None:
    code, _, told = run("--check", "ViT-L-14/openai")
    assert (code, "--check ViT-B-32/openai --model FILE" in told) == (2, True)
    code, _, told = run("--model", tiny_model)
    assert (code, "goes with --check" in told) == (2, True)
