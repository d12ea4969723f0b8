"""How well hits are ranked: labels, sentences, and pictures with words, balanced and by the cosine alone.

    python -m benchmarks.ranking

Needs ../shared. Labels are asked of real vectors of OpenAI's ViT-B/32, imported; sentences of the photographs with a
small model trained on such, and of the sample pictures with the bundled model. Every figure comes out of the searcher.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.build import Options, build
from indexer.layouts import Files
from indexer.transfer import import_files
from search.background import BACKGROUND_TEXTS
from search.collection import Collection
from search.encoder import load_encoder
from search.prompts import TEMPLATE_SETS, templates_of
from search.query import IdTerm, Term, TextTerm
from search.searcher import Searcher
from search.settings import MAX_K, PROJECT
from search.types import RANKINGS, EncoderIdentity, Ranking, Root

SHARED = PROJECT.parent / "shared"
SPACE = SHARED / "data" / "clip_space"
CAPTIONS = SHARED / "data" / "photos.captions.json"

RECALLS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SUBSETS = 12
PHOTOS_A_PAIR = 5

Flags = NDArray[np.bool_]
Named = dict[str, tuple[str, Flags]]
"""A name -> the text that asks for it, and which images' captions name it: (n,) in the order of ids."""


class TextsOf:
    """An encoder of the texts whose vectors are known, and of no others."""

    context = 77

    def __init__(self, identity: EncoderIdentity, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        self.identity = identity
        self._vectors = vectors

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return [True for _ in texts]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._vectors[text] for text in texts])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        labels(Path(folder))
        photographs(Path(folder))
        sample(Path(folder))


def labels(folder: Path) -> None:
    """Names asked of vectors that were imported."""
    texts = json.loads((SPACE / "text_rows.json").read_text())
    rows = np.load(SPACE / "text_vectors.npy").astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    collection = Collection.create(folder / "space", EncoderIdentity.claim("ViT-B-32/openai", rows.shape[1]))
    files = Files(SPACE / "image_vectors.npy", SPACE / "image_rows.json")
    import_files(collection, [files], progress=lambda _: None, stop=threading.Event())
    encoder = TextsOf(collection.identity, dict(zip(texts, rows, strict=True)))
    own, known = json.loads(files.rows.read_text()), json.loads(CAPTIONS.read_text())
    captions = [" ".join(known.get(row["photo"], [row["caption"]])) for row in own]
    named = names_in(texts, captions)
    asked = {name: found for name, found in named.items() if 3 <= found[1].sum() < 400}
    relevant = np.stack([flags for _, flags in asked.values()])
    print(f"labels of {len(captions):,} images, OpenAI's ViT-B/32: {len(asked)} queries")

    searcher = searcher_of(collection, encoder, texts)
    for ranking in RANKINGS:
        order, scores, strengths = answers(searcher, [text for text, _ in asked.values()], ranking)
        pooled = strengths if ranking == "balanced" else scores
        print(
            f"  {ranking:9} mAP {mean_ap(order, relevant):.4f}, pooled AP {ap_of(pooled.ravel(), relevant.ravel()):.4f}"
        )
        print("            precision at recall " + curve(pooled.ravel(), relevant.ravel()))
    subsets = [
        np.random.default_rng(seed).choice(texts, len(BACKGROUND_TEXTS), replace=False).tolist()
        for seed in range(SUBSETS)
    ]
    found = [
        mean_ap(answers(searcher_of(collection, encoder, some), [text for text, _ in asked.values()])[0], relevant)
        for some in subsets
    ]
    print(
        f"  balanced, {SUBSETS} backgrounds of {len(BACKGROUND_TEXTS)}: mAP {np.mean(found):.4f} +- {np.std(found):.4f}"
    )
    pictures_with_words(searcher, within(named, 10, 400))
    diversity(searcher, within(named, 10, 400))


def photographs(folder: Path) -> None:
    """Sentences, and pictures with words, asked of the photographs."""
    encoder = load_encoder(str(SHARED / "models" / "f8k-mnv2"), device="cpu")
    collection = built(folder / "photographs", SHARED / "data" / "photos", encoder)
    known = json.loads(CAPTIONS.read_text())
    images = [image for batch in collection.catalog.bulk.images(1000) for image in batch]
    captions = [known[Path(image.stamp.path).name] for image in images]
    labels_ = json.loads((SPACE / "text_rows.json").read_text())
    texts = list(dict.fromkeys([text for some in captions for text in some] + labels_ + list(BACKGROUND_TEXTS)))
    cached = TextsOf(collection.identity, dict(zip(texts, encoder.encode_texts(texts), strict=True)))
    searcher = searcher_of(collection, cached, BACKGROUND_TEXTS)
    print("photographs, f8k-mnv2")
    sentences(searcher, [(text, place) for place, some in enumerate(captions) for text in some])
    named = names_in(labels_, [" ".join(some) for some in captions])
    pictures_with_words(searcher, within(named, 10, 400))
    templates(searcher_of(collection, encoder, BACKGROUND_TEXTS), within(named, 3, 400))


def templates(searcher: Searcher, named: Named) -> None:
    """Names by themselves, without an article, and as the mean of templates."""
    relevant = np.stack([flags for _, flags in named.values()])
    places = {id_: place for place, id_ in enumerate(ids_of(searcher))}
    for name in ("", *TEMPLATE_SETS):
        order = np.empty((len(named), len(places)), np.int64)
        for number, text in enumerate(named):
            hits = searcher.page([TextTerm(text)], k=MAX_K, templates=templates_of(name) if name else ()).hits
            order[number] = [places[hit.id] for hit in hits]
        print(f"  {len(named)} names, templates {name or 'none':9} mAP {mean_ap(order, relevant):.4f}")


def sample(folder: Path) -> None:
    encoder = load_encoder("bundled", device="cpu")
    collection = built(folder / "sample", PROJECT / "data" / "sample", encoder)
    images = [image for batch in collection.catalog.bulk.images(1000) for image in batch]
    pairs = [(text, place) for place, image in enumerate(images) for text, _ in image.captions]
    texts = list(dict.fromkeys([text for text, _ in pairs] + list(BACKGROUND_TEXTS)))
    cached = TextsOf(collection.identity, dict(zip(texts, encoder.encode_texts(texts), strict=True)))
    print("sample pictures, bundled model")
    sentences(searcher_of(collection, cached, BACKGROUND_TEXTS), pairs)


def sentences(searcher: Searcher, pairs: Sequence[tuple[str, int]]) -> None:
    """Each text asks for the image at its place."""
    ids = ids_of(searcher)
    for ranking in RANKINGS:
        ranks = []
        for text, place in pairs:
            hits = [hit.id for hit in searcher.search([TextTerm(text)], k=10, ranking=ranking)]
            ranks.append(hits.index(ids[place]) if ids[place] in hits else 10)
        recalls = ", ".join(f"recall@{k} {np.mean(np.array(ranks) < k):.4f}" for k in (1, 5, 10))
        print(f"  {len(pairs):,} sentences, {ranking:9} {recalls}")


def pictures_with_words(searcher: Searcher, named: Named) -> None:
    """A picture of one thing and the word for another: wanted are images whose captions name both."""
    ids, rng = ids_of(searcher), np.random.default_rng(0)
    asked: list[tuple[list[Term], Flags]] = []
    for one, (_, shows_one) in named.items():
        for other, (text, shows_other) in named.items():
            both, alone = shows_one & shows_other, np.flatnonzero(shows_one & ~shows_other)
            if one != other and both.sum() >= 5 and len(alone):
                chosen = rng.choice(alone, min(PHOTOS_A_PAIR, len(alone)), replace=False)
                asked += [([IdTerm(ids[place]), TextTerm(text)], both) for place in chosen]
    for ranking in RANKINGS:
        found = [
            np.array([both[ids.index(hit.id)] for hit in searcher.search(terms, k=MAX_K, ranking=ranking)])
            for terms, both in asked
        ]
        precision, ap = np.mean([hits[:10].mean() for hits in found]), np.mean([ap_in_order(hits) for hits in found])
        print(f"  {len(asked)} pictures with a word, {ranking:9} both in the first ten {precision:.4f}, mAP {ap:.4f}")


def diversity(searcher: Searcher, named: Named) -> None:
    """The first ten for a name: how many show it, how many other names their captions have, how near they are."""
    places = {id_: place for place, id_ in enumerate(ids_of(searcher))}
    names = np.stack([flags for _, flags in named.values()])
    for diverse in (False, True):
        measured = []
        for name, (text, relevant) in enumerate(named.values()):
            ids = [hit.id for hit in searcher.page([TextTerm(text)], k=10, diverse=diverse).hits]
            shown = [places[id_] for id_ in ids]
            stored = searcher.collection.catalog.stored("images", ids)
            rows = np.stack([stored[id_] for id_ in ids])
            others = np.delete(names, name, axis=0)[:, shown].any(axis=1).sum()
            near = (rows @ rows.T)[np.triu_indices(len(ids), 1)].mean()
            measured.append((relevant[shown].mean(), others, near))
        precision, others, near = np.mean(measured, axis=0)
        print(
            f"  {len(named)} names, the first ten {'diverse' if diverse else 'as ranked':9} precision {precision:.4f}, "
            f"{others:.2f} other names, mean cosine {near:.4f}"
        )


def names_in(texts: Sequence[str], captions: Sequence[str]) -> Named:
    """The names that texts ask for, without article and brackets, as whole words, plural allowed."""
    named: Named = {}
    for text in texts:
        name = re.sub(r"^(a|an|the) ", "", re.sub(r"\(.*?\)", "", text).strip().lower())
        pattern = re.compile(rf"\b{re.escape(name)}(?:s|es)?\b")
        named.setdefault(name, (text, np.array([bool(pattern.search(caption.lower())) for caption in captions])))
    return named


def within(named: Named, least: int, less_than: int) -> Named:
    return {name: found for name, found in named.items() if least <= found[1].sum() < less_than}


def answers(
    searcher: Searcher, texts: Sequence[str], ranking: Ranking = "balanced"
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """For each text the places of all images, best first; and scores and strengths in the order of places."""
    places = {id_: place for place, id_ in enumerate(ids_of(searcher))}
    order = np.empty((len(texts), len(places)), np.int64)
    scores, strengths = np.empty((2, *order.shape))
    for number, text in enumerate(texts):
        hits = searcher.page([TextTerm(text)], k=MAX_K, ranking=ranking).hits
        order[number] = [places[hit.id] for hit in hits]
        scores[number, order[number]] = [hit.score for hit in hits]
        strengths[number, order[number]] = [hit.strength for hit in hits]
    return order, scores, strengths


def mean_ap(order: NDArray[np.int64], relevant: Flags) -> float:
    return float(np.mean([ap_in_order(flags[places]) for flags, places in zip(relevant, order, strict=True)]))


def ap_of(values: NDArray[np.float64], relevant: Flags) -> float:
    return ap_in_order(relevant[np.argsort(-values, kind="stable")])


def ap_in_order(relevant: Flags) -> float:
    places = np.flatnonzero(relevant)
    return float((np.arange(1, len(places) + 1) / (places + 1)).mean())


def curve(values: NDArray[np.float64], relevant: Flags) -> str:
    """The best precision at each recall or beyond."""
    right = np.cumsum(relevant[np.argsort(-values, kind="stable")])
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    return ", ".join(f"{recall:g}: {precision[np.searchsorted(right, recall * right[-1])]:.2f}" for recall in RECALLS)


def searcher_of(collection: Collection, encoder: Any, background: Sequence[str]) -> Searcher:
    return Searcher(collection, lambda: encoder, background=background)


def ids_of(searcher: Searcher) -> list[int]:
    index = searcher.collection.index("images")
    return [int(id_) for id_ in index.contents(0, len(index))[0]]


def built(directory: Path, pictures: Path, encoder: Any) -> Collection:
    collection = Collection.create(directory, encoder.identity)
    build(
        collection,
        [Root(str(pictures))],
        lambda: encoder,
        options=Options(),
        progress=lambda *_: None,
        stop=threading.Event(),
    )
    return collection


if __name__ == "__main__":
    if not SHARED.is_dir():
        sys.exit(f"the photographs and vectors are not at {SHARED}")
    main()
