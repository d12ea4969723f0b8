"""transformers' CLIPModel, saved by transformers and loaded here, against transformers itself."""

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
from search.errors import ModelUnavailable
from search.models import Hub
from tests.test_encoder import pictures
from tests.test_models import needs_online_mode, put_in_cache, serve_hub, unreachable_hub

transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")

TEXTS = ["a dog in the snow", "two cats, one of them black " * 30, "Don't stop: 3 birds!", "snow on the trees"]
TOWER = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}


def tokenizer() -> Any:
    """CLIP's, in transformers, out of the list of merges that open_clip ships."""
    ours = open_clip.SimpleTokenizer()
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(token, token): number for token, number in ours.encoder.items()}
    merges = [tuple(pair) for pair, _ in sorted(ours.bpe_ranks.items(), key=lambda item: item[1])]
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=merges)


def clip_model(*, text: dict[str, Any] | None = None, vision: dict[str, Any] | None = None, **config: Any) -> Any:
    """A small CLIPModel with random weights, all of them, also those that begin as zeros and ones."""
    torch.manual_seed(11)
    model = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**TOWER, "hidden_size": 32, **(text or {})},
            vision_config={**TOWER, "image_size": 32, "patch_size": 8, **(vision or {})},
            projection_dim=24,
            **config,
        )
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def save(model: Any, folder: Path, *, processor: dict[str, Any] | None = None, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    transformers.CLIPImageProcessorPil(**(processor or SMALL)).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


SMALL = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def assert_parity(folder: Path, model: Any, hub: Hub, *, count: int = 7) -> None:
    """Vectors of both towers, the scale and the preprocessing agree with transformers to 1e-5, on `count` pictures."""
    images = pictures(count)
    loaded = build_model(find_checkpoint(str(folder), hub=hub))
    processor = transformers.CLIPImageProcessorPil.from_pretrained(folder)
    theirs = processor(images, return_tensors="pt")["pixel_values"]
    ours = torch.stack([loaded.transform(picture) for picture in images])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    batch = transformers.CLIPTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = model(pixel_values=theirs, **batch)
    encoder = load_encoder(str(folder), device="cpu")
    np.testing.assert_allclose(encoder.encode_images(images), expected.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), expected.text_embeds.numpy(), atol=1e-5)
    assert loaded.towers.logit_scale.item() == pytest.approx(model.logit_scale.item(), abs=1e-5)  # type: ignore[attr-defined]


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return unreachable_hub(tmp_path / "cache")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": {"hidden_act": "gelu"}, "vision": {"hidden_act": "gelu"}},
        {"text": {"hidden_act": "gelu_pytorch_tanh"}, "vision": {"hidden_act": "gelu_pytorch_tanh"}},
        {"text": {"eos_token_id": 2}},
        {"text": {"intermediate_size": 77, "layer_norm_eps": 1e-3}, "vision": {"num_attention_heads": 2}},
    ],
    ids=["quick gelu", "gelu", "tanh", "legacy end", "odd sizes"],
)
def test_a_clip_model_gives_the_vectors_that_transformers_gives(
    tmp_path: Path, hub: Hub, changes: dict[str, Any]
) -> None:
    model = clip_model(**changes)
    assert_parity(save(model, tmp_path / "clip"), model, hub)


@pytest.mark.slow
def test_parity_holds_at_the_full_size_of_vit_l_14_at_336(tmp_path: Path, hub: Hub) -> None:
    torch.manual_seed(11)
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**vision, "image_size": 336, "patch_size": 14}, projection_dim=768
    )
    model = transformers.CLIPModel(config).eval()
    size = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}}
    assert_parity(save(model, tmp_path / "clip", processor=size), model, hub, count=2)


@pytest.mark.parametrize(
    "processor",
    [
        {**SMALL, "size": {"shortest_edge": 41}},
        {**SMALL, "resample": 2, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]},
        {"size": {"height": 32, "width": 32}, "do_center_crop": False},
    ],
    ids=["larger before the crop", "bilinear", "squashed"],
)
def test_preprocessing_is_that_of_the_checkpoint(tmp_path: Path, hub: Hub, processor: dict[str, Any]) -> None:
    model = clip_model()
    assert_parity(save(model, tmp_path / "clip", processor=processor), model, hub)


def test_a_processor_config_holds_the_same_preprocessing(tmp_path: Path, hub: Hub) -> None:
    folder = save(clip_model(), tmp_path / "clip", processor={**SMALL, "size": {"shortest_edge": 41}})
    expected = build_model(find_checkpoint(str(folder), hub=hub)).identity
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelUnavailable, match=r"no file preprocessor_config\.json or processor_config\.json"):
        find_checkpoint(str(folder), hub=hub)
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": processor}))
    assert build_model(find_checkpoint(str(folder), hub=hub)).identity == expected


def test_shards_and_pickles_load_too(tmp_path: Path, hub: Hub) -> None:
    model = clip_model()
    sharded = save(model, tmp_path / "sharded", max_shard_size="2MB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert_parity(sharded, model, hub)
    pickled = save(model, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save(model.state_dict(), pickled / "pytorch_model.bin")
    assert_parity(pickled, model, hub)


def test_the_same_files_are_the_same_space_and_another_shard_is_not(tmp_path: Path, hub: Hub) -> None:
    folder = save(clip_model(), tmp_path / "clip", max_shard_size="2MB")
    first = build_model(find_checkpoint(str(folder), hub=hub)).identity
    copied = tmp_path / "copied"
    folder.rename(copied)
    second = build_model(find_checkpoint(str(copied), hub=hub)).identity
    assert first.same_space(second)
    save(clip_model(initializer_factor=2.0), copied, max_shard_size="2MB")
    assert not first.same_space(build_model(find_checkpoint(str(copied), hub=hub)).identity)


def test_a_configuration_of_old_with_its_text_config_dict_loads(tmp_path: Path, hub: Hub) -> None:
    """As openai/clip-vit-large-patch14 is published: a preprocessor with plain numbers, and no processor_config."""
    model = clip_model(text={"eos_token_id": 2})
    folder = save(model, tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    config["text_config_dict"] = {**TOWER, "hidden_size": 32}
    config["vision_config_dict"] = {**TOWER, "image_size": 32, "patch_size": 8}
    (folder / "config.json").write_text(json.dumps(config))
    processor = {"crop_size": 32, "do_center_crop": True, "do_normalize": True, "do_resize": True, "resample": 3}
    processor |= {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    processor |= {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    assert_parity(folder, model, hub)


def test_a_tokenizer_of_its_own_is_used(tmp_path: Path, hub: Hub) -> None:
    folder = save(clip_model(text={"vocab_size": 49410}), tmp_path / "clip")
    own = tokenizer()
    own.add_tokens(["zzyzx", "qqxqq"])
    own.save_pretrained(folder)
    model = clip_model(text={"vocab_size": 49410})
    with torch.inference_mode():
        batch = own(["a zzyzx dog"], padding="max_length", truncation=True, max_length=77, return_tensors="pt")
        expected = torch.nn.functional.normalize(model.get_text_features(**batch).pooler_output, dim=-1)
    rows = load_encoder(str(folder), device="cpu", hub=hub).encode_texts(["a zzyzx dog"])
    np.testing.assert_allclose(rows, expected.numpy(), atol=1e-5)


@needs_online_mode
def test_a_repository_of_this_format_comes_from_the_hub_once_and_then_without_it(tmp_path: Path) -> None:
    folder = save(clip_model(), tmp_path / "clip", max_shard_size="2MB")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    with serve_hub(files, tmp_path / "cache") as hub:
        first = build_model(find_checkpoint("hf-hub:openai/clip-vit-large-patch14-336", hub=hub))
    again = build_model(find_checkpoint("hf-hub:openai/clip-vit-large-patch14-336", hub=hub))
    assert first.identity == again.identity
    assert again.identity.model == "hf-hub:openai/clip-vit-large-patch14-336"
    assert again.identity.same_space(build_model(find_checkpoint(str(folder), hub=hub)).identity)


@needs_online_mode
def test_open_clips_files_are_preferred_where_a_repository_has_both(tmp_path: Path) -> None:
    cache, repo = tmp_path / "cache", "somebody/both"
    put_in_cache(cache, repo, "config.json")
    files = {"open_clip_config.json": b"{}", "config.json": b"{}"}
    with serve_hub(files, cache) as hub, pytest.raises(ModelUnavailable, match="no open_clip configuration"):
        find_checkpoint(f"hf-hub:{repo}", hub=hub)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "bert"}, "configuration of bert"),
        ({"model_type": None, "architectures": None}, "nothing that is known"),
        ({"vision_config": {**TOWER, "hidden_act": "relu"}, "text_config": {**TOWER, "hidden_act": "relu"}}, "'relu'"),
        ({"vision_config": {**TOWER, "hidden_act": "gelu"}}, "differ in activation"),
        ({"vision_config": 3}, "make no model"),
    ],
)
def test_what_cannot_be_had_is_said(tmp_path: Path, hub: Hub, changes: dict[str, Any], said: str) -> None:
    folder = save(clip_model(), tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(ModelUnavailable, match=said):
        find_checkpoint(str(folder), hub=hub)


@pytest.mark.parametrize(
    ("changes", "said"), [({"do_normalize": False}, "do_normalize"), ({"resample": 1}, "resample is 1")]
)
def test_preprocessing_that_cannot_be_had_is_said(tmp_path: Path, hub: Hub, changes: dict[str, Any], said: str) -> None:
    folder = save(clip_model(), tmp_path / "clip", processor={**SMALL, **changes})
    with pytest.raises(ModelUnavailable, match=said):
        find_checkpoint(str(folder), hub=hub)


def test_a_missing_or_truncated_shard_is_named(tmp_path: Path, hub: Hub) -> None:
    folder = save(clip_model(), tmp_path / "clip", max_shard_size="2MB")
    checkpoint = find_checkpoint(str(folder), hub=hub)
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors\.index\.json is damaged"):
        build_model(checkpoint)
    shard.unlink()
    with pytest.raises(ModelUnavailable, match=shard.name):
        find_checkpoint(str(folder), hub=hub)


def test_weights_of_another_architecture_name_what_they_are(tmp_path: Path, hub: Hub) -> None:
    folder = save(clip_model(vision={"num_hidden_layers": 3}), tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_hidden_layers"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=r"(?s)model\.safetensors does not fit.*resblocks\.2"):
        build_model(find_checkpoint(str(folder), hub=hub))


def test_position_embeddings_of_another_image_size_than_said_are_refused(tmp_path: Path, hub: Hub) -> None:
    folder = save(clip_model(), tmp_path / "clip")
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["image_size"] = 24
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailable, match=r"(?s)does not fit.*visual\.positional_embedding"):
        build_model(find_checkpoint(str(folder), hub=hub))
