"""A model -> recall@k on held-out scenes, and zero-shot naming of single objects in known art styles and a new one.

    python -m tools.evaluate_clip data/model

Recall: one picture and one caption a scene, both directions, all the scenes as candidates. Scenes have new seeds, and
every pair of different things in them is one that training never drew together. Naming: one object a picture, new
seeds; the candidates are the phrases "a picture of a NAME" of all names.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from torch import Tensor

from tools.art import UNSEEN_STYLE, Sprites, load_things
from tools.captions import describe, label
from tools.paint import paint
from tools.scenes import Scene, Thing, make_scene
from tools.towers import Towers, load

PIXELS = 192  # the pictures are drawn larger than the model's input, as real ones are
SEED = 20_261_121


def recall(queries: Tensor, candidates: Tensor, ks: Sequence[int] = (1, 5, 10)) -> dict[int, float]:
    """recall@k where row i of the candidates answers row i of the queries; both (n, dim) unit rows."""
    return hits_within(queries @ candidates.T, torch.arange(len(queries)), ks)


def hits_within(scores: Tensor, answers: Tensor, ks: Sequence[int]) -> dict[int, float]:
    """Share of rows of the scores (n, m) whose answer (n,) is among the k largest."""
    rank = (scores > scores.gather(1, answers[:, None])).sum(dim=1)
    return {k: (rank < k).float().mean().item() for k in ks}


def held_out_scenes(things: Sequence[Thing], count: int, seed: int = SEED) -> list[Scene]:
    """Scenes that training cannot have drawn: new seeds, pairs kept apart."""
    rng = Random(seed)
    return [make_scene(rng, things, unseen=True) for _ in range(count)]


def scene_recall(towers: Towers, scenes: Sequence[Scene], sprites: Sprites) -> dict[str, dict[int, float]]:
    """recall@k by direction, one caption a picture."""
    rng = Random(SEED)
    texts = towers.texts([describe(scene, rng) for scene in scenes])
    images = towers.images([paint(scene, sprites, PIXELS) for scene in scenes])
    return {"text to image": recall(texts, images), "image to text": recall(images, texts)}


def naming(towers: Towers, things: Sequence[Thing], names: Sequence[str], sprites: Sprites) -> dict[int, float]:
    """Share of single-object pictures, one for each thing, whose name is among the k best of all names."""
    rng = Random(SEED + 1)
    images = towers.images([paint(make_scene(rng, [thing], crowd=1), sprites, PIXELS) for thing in things])
    texts = towers.texts([label(name) for name in names])
    return hits_within(images @ texts.T, torch.tensor([names.index(thing.name) for thing in things]), (1, 5))


def in_style(things: Sequence[Thing], style: str) -> list[Thing]:
    """The things that this style has, in this style only."""
    return [replace(thing, styles=(style,)) for thing in things if style in thing.styles]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("model", type=Path, help="an open_clip local directory")
    parser.add_argument("--scenes", type=int, default=360, help="held-out scenes to search among (default 360)")
    options = parser.parse_args(arguments)
    towers, sprites, things = load(options.model), Sprites(), load_things()
    names = [thing.name for thing in things]
    for direction, shares in scene_recall(towers, held_out_scenes(things, options.scenes), sprites).items():
        _print(f"{direction}, {options.scenes} held-out scenes", shares, "recall@")
    _print(f"naming, {len(things)} things, styles of training", naming(towers, things, names, sprites), "top-")
    unseen = [thing for thing in in_style(load_things([UNSEEN_STYLE]), UNSEEN_STYLE) if thing.name in names]
    _print(f"naming, {len(unseen)} things, unseen style", naming(towers, unseen, names, sprites), "top-")
    return 0


def _print(title: str, shares: dict[int, float], measure: str) -> None:
    print(f"{title:48}", "  ".join(f"{measure}{k} {share:6.1%}" for k, share in shares.items()))


if __name__ == "__main__":
    sys.exit(main())
