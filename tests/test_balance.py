"""The order of hits: hubs are taken out of texts, terms weigh alike, and scores stay cosines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from search.background import BACKGROUND_TEXTS
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.query import IdTerm, TextTerm
from search.ranking import Cursor
from search.searcher import Searcher
from search.types import EncoderIdentity, Facts

DIM = 64
SUBJECTS = 200


class Gap:
    """Texts and pictures of the same subjects around two means that lie `apart`: far, as CLIP's do, or not at all."""

    identity = EncoderIdentity("gap", "random", "0" * 64, DIM, "none")
    context = 77

    def __init__(self, apart: float) -> None:
        rng = np.random.default_rng(3)
        self.text_mean, self.image_mean = apart * rows(rng.standard_normal((2, DIM)))
        self.subjects = rows(rng.standard_normal((SUBJECTS, DIM)))
        self.shared = rows(rng.standard_normal((1, DIM)))[0]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return [True for _ in texts]

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        return rows(np.stack([self.text_mean + self.subject(text) for text in texts]))

    def subject(self, text: str) -> np.ndarray:
        """Of "thing 7" the seventh; what other texts speak of is in no picture."""
        if text.startswith("thing "):
            return self.subjects[int(text.split()[1])]
        return rows(np.random.default_rng(list(text.encode())).standard_normal((1, DIM)))[0]

    def pictures(self) -> np.ndarray:
        """One of each subject, half of them hubs: nearer to the mean of all texts."""
        hubs = 0.5 * np.outer(np.arange(SUBJECTS) % 2, self.text_mean)
        return rows(self.image_mean + 0.6 * self.subjects + hubs)


def rows(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def searcher(directory: Path, space: Gap) -> Searcher:
    collection = Collection.create(directory, space.identity)
    images = [
        NewImage(FileStamp(f"/{place}.jpg", 1, 1), place.to_bytes(32, "big"), Facts(1, 1, "JPEG"), vector.astype("<f4"))
        for place, vector in enumerate(space.pictures())
    ]
    collection.catalog.apply(Changes(added=images))
    collection.publish()
    return Searcher(collection, lambda: space)  # type: ignore[arg-type, return-value]


@pytest.fixture
def apart(tmp_path: Path) -> Searcher:
    return searcher(tmp_path / "apart", Gap(2.0))


def stored(searcher: Searcher) -> np.ndarray:
    return searcher.collection.index("images").contents(0, SUBJECTS)[1]


def test_hubs_do_not_stand_before_the_picture_that_is_meant(apart: Searcher) -> None:
    asked = [TextTerm(f"thing {number}") for number in range(0, SUBJECTS, 2)]
    first = {
        ranking: [apart.search([term], k=1, ranking=ranking)[0].id for term in asked]
        for ranking in ("balanced", "cosine")
    }
    right = {ranking: np.mean(np.array(ids) == np.arange(1, SUBJECTS, 2)) for ranking, ids in first.items()}
    assert right["balanced"] > 0.9 > 0.1 > right["cosine"]


def test_the_order_is_that_of_the_query_less_the_mean_of_ordinary_texts(apart: Searcher) -> None:
    space = Gap(2.0)
    mean = space.encode_texts(BACKGROUND_TEXTS).mean(axis=0)
    query = space.encode_texts(["thing 7"])[0]
    share = min(1.0, query @ mean / (mean @ mean)) ** 4
    expected = np.argsort(-(stored(apart) @ (query - share * mean)))[:50] + 1
    assert [hit.id for hit in apart.by_text("thing 7", k=50)] == expected.tolist()


def test_the_score_is_the_cosine_in_either_order(apart: Searcher) -> None:
    query = Gap(2.0).encode_texts(["thing 7"])[0]
    cosines = stored(apart) @ query
    for hits in (apart.by_text("thing 7"), apart.page([TextTerm("thing 7")], ranking="cosine").hits):
        assert [hit.score for hit in hits] == pytest.approx([float(cosines[hit.id - 1]) for hit in hits], abs=1e-4)
    scores = [hit.score for hit in apart.search([TextTerm("thing 7")], k=SUBJECTS, ranking="cosine")]
    assert scores == pytest.approx(sorted(scores, reverse=True), abs=1e-4)


def test_where_texts_and_pictures_lie_together_a_text_is_ranked_by_its_cosine(tmp_path: Path) -> None:
    together = searcher(tmp_path / "together", Gap(0.2))
    for number in range(10):
        asked = [TextTerm(f"thing {number}")]
        balanced, cosine = (together.search(asked, k=50, ranking=ranking) for ranking in ("balanced", "cosine"))
        assert balanced == cosine


def test_a_picture_alone_is_ranked_by_its_cosine_and_loads_no_model(apart: Searcher) -> None:
    unloaded = Searcher(apart.collection, lambda: pytest.fail("the model was loaded"))
    assert unloaded.search([IdTerm(5)], k=50) == unloaded.search([IdTerm(5)], k=50, ranking="cosine")


def test_a_picture_and_a_word_weigh_alike(apart: Searcher) -> None:
    """In spreads of their own scores, by plain numpy."""
    space = Gap(2.0)
    pictures = stored(apart)
    mean = space.encode_texts(BACKGROUND_TEXTS).mean(axis=0)
    text = space.encode_texts(["thing 8"])[0]
    text = text - min(1.0, text @ mean / (mean @ mean)) ** 4 * mean
    ranking = pictures @ text / (pictures @ text).std() + pictures @ pictures[4] / (pictures @ pictures[4]).std()
    expected = [place + 1 for place in np.argsort(-ranking) if place != 4][:20]
    asked = [IdTerm(5), TextTerm("thing 8")]
    assert [hit.id for hit in apart.search(asked, k=20)] == expected
    assert 9 in expected[:1]


def test_pages_follow_each_other_in_the_order_that_was_asked_for(apart: Searcher) -> None:
    asked = [TextTerm("thing 7"), TextTerm("thing 9", -0.5)]
    for ranking in ("balanced", "cosine"):
        whole = [hit.id for hit in apart.search(asked, k=SUBJECTS, ranking=ranking)]
        found: list[int] = []
        after: Cursor | None = None
        while True:
            page = apart.page(asked, k=7, ranking=ranking, after=after)
            found += [hit.id for hit in page.hits]
            if (after := page.next) is None:
                break
        assert found == whole
        assert len(found) == SUBJECTS
