"""SigLIP as open_clip publishes it: a timm tower, a tokenizer and a pad of its own, a logit bias."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch

from search.building import build_model
from search.checkpoints import find_checkpoint
from search.encoder import load_encoder
from search.models import CONFIG_FILE, WEIGHTS_FILES, Hub
from tests.test_encoder import pictures
from tests.test_models import unreachable_hub

transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers is not installed")

TEXTS = ["a dog in the snow", "ein Hund im Schnee", "a dog " * 40]
VISION = {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160}
TEXT = {
    "context_length": 16,
    "vocab_size": 32,
    "hf_tokenizer_name": "somebody/siglip",
    "tokenizer_kwargs": {"clean": "canonicalize"},
    "width": 64,
    "heads": 2,
    "layers": 2,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", "resize_mode": "squash"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    words = ["<pad>", "</s>", "<unk>", "a", "dog", "in", "the", "snow", "ein", "hund", "im", "schnee"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    options = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(tmp_path / "siglip")
    cfg: dict[str, Any] = {"embed_dim": 64, "init_logit_bias": -10, "custom_text": True}
    cfg |= {"vision_cfg": VISION, "text_cfg": TEXT}
    (tmp_path / "siglip" / CONFIG_FILE).write_text(json.dumps({"model_cfg": cfg, "preprocess_cfg": PREPROCESS}))
    torch.manual_seed(4)
    model = open_clip.create_model(f"local-dir:{tmp_path / 'siglip'}", load_weights=False)
    with torch.no_grad():
        model.logit_bias.fill_(-12.5)
    torch.save(model.state_dict(), tmp_path / "siglip" / WEIGHTS_FILES[1])
    return tmp_path / "siglip"


def test_siglip_gives_the_vectors_tokens_and_bias_that_open_clip_gives(tmp_path: Path, folder: Path) -> None:
    hub: Hub = unreachable_hub(tmp_path / "cache")
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
    loaded: Any = build_model(find_checkpoint(str(folder), hub=hub))
    assert torch.equal(loaded.tokenizer(TEXTS), tokens)
    assert tokens.shape == (3, 16)
    assert loaded.towers.logit_bias.item() == model.logit_bias.item() == -12.5
    assert loaded.towers.logit_scale.item() == model.logit_scale.item()
    with torch.inference_mode():
        images = model.eval().encode_image(torch.stack([preprocess(p) for p in pictures()]), normalize=True)
        texts = model.encode_text(tokens, normalize=True)
    encoder = load_encoder(str(folder), device="cpu", hub=hub)
    np.testing.assert_allclose(encoder.encode_images(pictures()), images.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), texts.numpy(), atol=1e-5)
