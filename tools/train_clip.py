"""Freshly drawn scenes and their captions -> a small CLIP, as an open_clip local directory.

    python -m tools.train_clip OUT --minutes 120

Three losses: symmetric cross-entropy over the pairs of a batch with a learned temperature; and, because a batch holds
few of the thousand names, every thing has a learned vector (a proxy), and both a picture and its caption are told
which proxies belong to them. The proxies are left behind at the end. Muon for the matrices inside the transformers,
AdamW for the rest; the learning rate follows a cosine over the time that is given. Uses a GPU where there is one. A
run that was stopped goes on from its last checkpoint with the same command.
"""

import argparse
import csv
import hashlib
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip import CLIP
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, IterableDataset

from tools.art import Sprites, load_things
from tools.captions import describe, hint
from tools.evaluate_clip import held_out_scenes, naming, scene_recall
from tools.paint import paint, recompress
from tools.scenes import Scene, make_scene
from tools.towers import encode_text, load

PIXELS = 96
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CONFIG = {
    "model_cfg": {
        "embed_dim": 128,
        "quick_gelu": False,
        "vision_cfg": {"image_size": PIXELS, "patch_size": 16, "layers": 4, "width": 192, "head_width": 64},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "layers": 2, "width": 128, "heads": 4},
    },
    "preprocess_cfg": {"size": PIXELS, "mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"},
}
HINTS = 0.15  # share of captions that say only part of what is there
GROUNDS = 0.55  # share of the full captions that speak of the ground
EASY_SCENES = 200_000  # so long do scenes grow from one large thing to what they are, and captions to their grounds
PROXY_SCALE = 12.0  # of the similarities with the proxies at the start; learned from there
LARGEST_SCALE = 100.0  # what CLIP clamps its temperature to
JPEGS = 0.4  # share of pictures that went through JPEG
CHECK_MINUTES = 8.0  # between checkpoints


class Pairs(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless batches of pictures (batch, 3, PIXELS, PIXELS) uint8, tokens (batch, context) int64, and which things
    are in each picture, (batch, things) bool.
    """

    def __init__(self, batch: int, seed: str, tokenizer: SimpleTokenizer, scenes: Any) -> None:
        self.batch, self.seed, self.tokenizer, self.scenes = batch, seed, tokenizer, scenes

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        worker = torch.utils.data.get_worker_info()
        rng = Random(f"{self.seed}/{worker.id if worker else 0}")
        things, sprites = load_things(), Sprites()
        number = {thing.name: index for index, thing in enumerate(things)}
        while True:
            ease = max(0.0, 1 - self.scenes.value / EASY_SCENES)
            scenes = [make_scene(rng, things, ease=ease) for _ in range(self.batch)]
            pictures = [paint(scene, sprites, PIXELS) for scene in scenes]
            pictures = [recompress(picture, rng) if rng.random() < JPEGS else picture for picture in pictures]
            texts = [_say(scene, rng, GROUNDS * (1 - ease) ** 2) for scene in scenes]
            pixels = torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures]))
            present = torch.zeros(self.batch, len(things), dtype=torch.bool)
            for row, scene in enumerate(scenes):
                present[row, [number[placed.thing.name] for placed in scene.placed]] = True
            yield pixels.permute(0, 3, 1, 2), self.tokenizer(texts), present


def _say(scene: Scene, rng: Random, ground_share: float) -> str:
    return hint(scene, rng) if rng.random() < HINTS else describe(scene, rng, ground_share=ground_share)


@dataclass(frozen=True)
class Plan:
    """What a run is asked to do."""

    out: Path
    minutes: float
    batch: int
    peak: float
    seed: int
    workers: int


def rate(share: float, peak: float, warmup: float = 0.02) -> float:
    """Learning rate when a share of the time is spent: a linear warm-up, then a cosine down to peak / 100."""
    if share < warmup:
        return peak * (0.05 + 0.95 * share / warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (min(1.0, share) - warmup) / (1 - warmup))))


class Learner(nn.Module):
    """A CLIP with a proxy for each name: (names, dim)."""

    def __init__(self, model: CLIP, names: int) -> None:
        super().__init__()
        self.model = model
        self.proxies = nn.Parameter(torch.randn(names, model.text_projection.shape[1]))
        self.proxy_scale = nn.Parameter(torch.tensor(math.log(PROXY_SCALE)))

    def forward(self, images: Tensor, tokens: Tensor, present: Tensor) -> Tensor:
        """The loss of (n, 3, side, side) pictures, their (n, context) captions and the (n, names) in them."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=fast_in_bfloat16(images.device)):
            rows = self.model.encode_image(images), encode_text(self.model, tokens)
        pictures, texts = (functional.normalize(part.float(), dim=-1) for part in rows)
        proxies, targets = functional.normalize(self.proxies, dim=-1), present / present.sum(dim=1, keepdim=True)
        named = [
            functional.cross_entropy(self.proxy_scale.exp() * part @ proxies.T, targets) for part in (pictures, texts)
        ]
        return contrastive_loss(pictures, texts, self.model.logit_scale) + named[0] + named[1]


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Symmetric cross-entropy of the batch's similarities; both (n, dim) unit rows (Radford et al. 2021, figure 3)."""
    logits = scale.exp() * images @ texts.T
    answers = torch.arange(len(logits), device=logits.device)
    return (functional.cross_entropy(logits, answers) + functional.cross_entropy(logits.T, answers)) / 2


def fast_in_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies in bfloat16 faster than in float32: a GPU does, a CPU with AMX."""
    return device.type == "cuda" or bool(torch.cpu.get_capabilities().get("amx_bf16"))


def make_optimizers(learner: Learner) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for the matrices of the transformers' blocks, AdamW for the rest."""
    named = list(learner.named_parameters())
    blocks = [parameter for name, parameter in named if "resblocks" in name and parameter.ndim == 2]
    rest = [parameter for name, parameter in named if "resblocks" not in name or parameter.ndim != 2]
    return [
        torch.optim.Muon(blocks, lr=0.0, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=0.0, weight_decay=0.0, betas=(0.9, 0.98), fused=True),
    ]


def train(plan: Plan, processes: int) -> None:
    """Train until the time is spent: on the GPU, or in several processes that share one set of weights without locks.

    Such processes (Hogwild, Recht et al. 2011) wait for nobody, so a busy core costs only its own share.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(plan.seed)
    plan.out.mkdir(parents=True, exist_ok=True)
    (plan.out / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    learner = Learner(load(plan.out, weights=False, device=device).model, len(load_things())).to(device)
    spawn = torch.multiprocessing.get_context("spawn")
    scenes = spawn.Value("q", 0)
    if device == "cuda":
        return _work(0, learner, plan, scenes)
    learner.share_memory()
    team = [spawn.Process(target=_work, args=(rank, learner, plan, scenes)) for rank in range(processes)]
    for process in team:
        process.start()
    for process in team:
        process.join()
    return None


def _work(rank: int, learner: Learner, plan: Plan, scenes: Any) -> None:
    """One process of a run; the first also measures and saves every few minutes."""
    device = learner.proxies.device
    if device.type == "cpu":
        torch.set_num_threads(1)
    optimizers, checkpoint = make_optimizers(learner), plan.out / "checkpoint.pt"
    begin = time.monotonic() - _resume(checkpoint, learner, optimizers, scenes, rank)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{plan.out}")
    pairs = Pairs(plan.batch, f"{plan.seed}/{rank}/{scenes.value}", tokenizer, scenes)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) * 255 for values in (MEAN, STD))
    due, losses = time.monotonic() + 60 * CHECK_MINUTES, []
    for pixels, tokens, present in DataLoader(pairs, None, num_workers=plan.workers):
        share = (time.monotonic() - begin) / (60 * plan.minutes)
        images = (pixels.to(device).float() - mean) / std
        losses.append(_step(learner, optimizers, rate(share, plan.peak), images, tokens.to(device), present.to(device)))
        with scenes.get_lock():
            scenes.value += len(pixels)
        if rank == 0 and (share >= 1 or time.monotonic() >= due):
            spent_s = time.monotonic() - begin
            _keep(checkpoint, learner, optimizers, spent_s, scenes.value)
            save_weights(learner.model, plan.out)
            _log(plan.out, spent_s / 60, scenes.value, float(np.mean(losses)))
            due, losses = time.monotonic() + 60 * CHECK_MINUTES, []
        if share >= 1:
            break


def _step(
    learner: Learner,
    optimizers: Sequence[torch.optim.Optimizer],
    rate: float,
    images: Tensor,
    tokens: Tensor,
    present: Tensor,
) -> float:
    """One update, and its loss."""
    learner.train()
    with nullcontext() if images.is_cuda else sdpa_kernel(SDPBackend.MATH):  # the fused one is slow on CPUs
        loss = learner(images, tokens, present)
        loss.backward()
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        for scale in (learner.model.logit_scale, learner.proxy_scale):
            scale.clamp_(0, math.log(LARGEST_SCALE))
    return float(loss.item())


def save_weights(model: CLIP, out: Path) -> None:
    """The weights beside their configuration, in half precision."""
    weights = {name: tensor.detach().cpu().half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "open_clip_model.safetensors", metadata={"format": "pt"})
    files = [out / "open_clip_config.json", out / "open_clip_model.safetensors"]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (out / "SHA256SUMS").write_text("".join(sums))


def _keep(
    checkpoint: Path, learner: Learner, optimizers: Sequence[torch.optim.Optimizer], spent_s: float, scenes: int
) -> None:
    states = [optimizer.state_dict() for optimizer in optimizers]
    state = {"learner": learner.state_dict(), "optimizers": states, "spent_s": spent_s, "scenes": scenes}
    torch.save(state, aside := checkpoint.with_suffix(".part"))
    aside.replace(checkpoint)


def _resume(
    checkpoint: Path, learner: Learner, optimizers: Sequence[torch.optim.Optimizer], scenes: Any, rank: int
) -> float:
    """Seconds that were spent before, 0 for a fresh start."""
    if not checkpoint.exists():
        return 0.0
    state = torch.load(checkpoint, weights_only=True)
    for optimizer, kept in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(kept)
    if rank == 0:
        learner.load_state_dict(state["learner"])
        scenes.value += state["scenes"]
    return float(state["spent_s"])


def _log(out: Path, minutes: float, scenes: int, loss: float) -> None:
    """Measure the saved weights on held-out scenes and write a line of the curve."""
    things, sprites, towers = load_things(), Sprites(), load(out)
    recalls = scene_recall(towers, held_out_scenes(things, 360), sprites)
    names = naming(towers, things, [thing.name for thing in things], sprites)
    line = {
        "minutes": f"{minutes:.1f}",
        "scenes": str(scenes),
        "loss": f"{loss:.3f}",
        **{f"{way} R@{k}": f"{recalls[way][k]:.3f}" for way in recalls for k in (1, 10)},
        **{f"naming top-{k}": f"{share:.3f}" for k, share in names.items()},
    }
    print(line, flush=True)
    with (out / "training_log.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, line, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options and train."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="directory to write; a checkpoint found there is resumed")
    parser.add_argument("--minutes", type=float, default=120.0, help="time to train (default 120)")
    parser.add_argument("--batch", type=int, default=128, help="pairs in a batch (default 128)")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate (default 0.002)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="training processes without a GPU (default 2)")
    parser.add_argument("--workers", type=int, default=0, help="drawing processes for each (default 0)")
    options = parser.parse_args(arguments)
    plan = Plan(options.out, options.minutes, options.batch, options.rate, options.seed, options.workers)
    train(plan, options.processes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
