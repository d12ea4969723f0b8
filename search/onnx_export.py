"""A model in PyTorch -> its towers as ONNX files that compute the same, compared on real pictures and texts."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional

from search.attention import attention_in_products
from search.building import LoadedModel, Towers
from search.cutting import encode_cut, may_be_cut
from search.errors import ExportRefused, ModelUnavailable
from search.geometry import geometry_of
from search.onnx_encoder import IMAGE_TOWER, MERGES, ONNX_ERRORS, TEXT_ROWS, TEXT_TOWER, OnnxEncoder, Tower, optimize
from search.pooling import first_token_only, only_end_states
from search.probes import PROBE_TEXTS, agreement, cosines, probe_pictures
from search.torch_encoder import TorchEncoder
from search.types import Agreement, EncoderIdentity
from search.weights import short

LEAST_COSINE = 0.9999
"""Between the vectors of a picture or a text in PyTorch and in ONNX Runtime, both in fp32."""

LEAST_COSINE_INT8 = 0.999
"""Between those of a picture in fp32 and in int8, on average."""

MOST_LEVELS = 2
"""By which a value of a prepared picture may be rounded in another way (see `search/geometry.py`)."""

PICTURES_COMPARED = 16

_MAX_ROWS = 1 << 20
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""What onnxruntime's own preparation writes, to whose advice it otherwise prints: PyTorch's exporter has done it."""

logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of what it does not simplify


class _TextTower(torch.nn.Module):
    """(n, length) tokens -> (n, dim) unit rows; `length` is the longest text's, or the context where it must be."""

    def __init__(self, towers: Towers) -> None:
        super().__init__()
        self.towers = towers

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        cut = may_be_cut(self.towers)
        rows = encode_cut(self.towers, tokens, only_end_states) if cut else self.towers.encode_text(tokens)
        return functional.normalize(rows, dim=-1)


class _ImageTower(torch.nn.Module):
    """(n, height, width, 3) pixels -> (n, dim) unit rows."""

    def __init__(self, towers: Towers, normalize: Any) -> None:
        super().__init__()
        self.towers = towers
        mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (normalize.mean, normalize.std))
        self.gain, self.shift = torch.nn.Buffer(1 / (255 * std)), torch.nn.Buffer(-mean / std)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        image = pixels.permute(0, 3, 1, 2).float() * self.gain + self.shift
        return functional.normalize(self.towers.encode_image(image), dim=-1)


def export_towers(loaded: LoadedModel, folder: Path, *, threads: int) -> dict[str, Any]:
    """Write the towers into `folder`; returns what else OnnxEncoder must know. Raises ExportRefused."""
    if not isinstance(loaded.tokenizer, SimpleTokenizer):
        raise ExportRefused("only texts that go through CLIP's own tokenizer are encoded without PyTorch")
    try:
        geometry = geometry_of(loaded.identity.preprocessing)
    except ValueError as error:
        raise ExportRefused(f"its pictures are not prepared without PyTorch: {error}") from error
    cut = may_be_cut(loaded.towers)
    reference = TorchEncoder(loaded, torch.device("cpu"))
    context, merges = reference.context, loaded.tokenizer.bpe_ranks
    (folder / MERGES).write_text("\n".join(map(" ".join, merges)), encoding="utf-8")
    pixels = torch.zeros(2, geometry.height, geometry.width, 3, dtype=torch.uint8)
    lengths = {1: torch.export.Dim("length", min=2, max=context)} if cut else {}
    tokens = loaded.tokenizer(["a dog in the snow", "two cats"])[:, : min(context, 20) if cut else context]
    raw = folder / "raw"
    raw.mkdir()
    with attention_in_products(loaded.towers):
        with first_token_only(getattr(loaded.towers, "visual", None)):
            _export(_ImageTower(loaded.towers, loaded.transform.transforms[-1]), pixels, {}, folder / IMAGE_TOWER)
        _export(_TextTower(loaded.towers), tokens, lengths, raw / TEXT_TOWER)
    optimize(raw / TEXT_TOWER, folder / TEXT_TOWER)
    shutil.rmtree(raw)
    texts = reference.encode_texts(PROBE_TEXTS)
    np.save(folder / TEXT_ROWS, texts)
    logits = (reference.logits.scale, reference.logits.bias)
    facts = {"context": context, "cut": cut, "logits": logits, "texts": PROBE_TEXTS}
    exported = OnnxEncoder(loaded.identity, folder, facts, images=folder, threads=threads)
    try:
        _compare(reference, exported, texts, loaded.tokenizer)
    except ONNX_ERRORS as error:
        raise ExportRefused(f"ONNX Runtime does not compute it: {short(error)}") from error
    return facts


def quantize_tower(identity: EncoderIdentity, exported: Path, folder: Path, *, threads: int) -> Agreement:
    """Write the image tower in the folder `exported` in int8 into `folder`. Raises ModelUnavailable below 0.999.

    Weights have a scale for each output channel and 7 bits, because AVX2 adds up pairs of products in 16; what goes in
    is scaled by its own range, picture by picture.
    """
    model = onnx.load(exported / IMAGE_TOWER)
    onnx.helper.set_model_props(model, _PREPARED)
    model.graph.ClearField("value_info")  # shapes as they were before weights are turned to be quantized
    quantize_dynamic(
        model,
        folder / IMAGE_TOWER,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=True,
    )
    pixels = np.stack([geometry_of(identity.preprocessing)(picture) for picture in probe_pictures()])
    exact, quantized = (_one_by_one(Tower(part / IMAGE_TOWER, threads), pixels) for part in (exported, folder))
    found = agreement(exact, quantized, np.load(exported / TEXT_ROWS))
    if not found.cosine >= LEAST_COSINE_INT8:
        raise ModelUnavailable(
            f"{identity.model} in int8 has vectors with a mean cosine of only {found.cosine:.5f} to those in fp32; "
            f"the least that is taken is {LEAST_COSINE_INT8}: leave --precision int8 out"
        )
    return found


def _export(tower: torch.nn.Module, inputs: torch.Tensor, lengths: dict[int, Any], file: Path) -> None:
    """Write a tower for any number of rows, its weights in a file beside it."""
    shapes = ({0: torch.export.Dim("n", min=1, max=_MAX_ROWS), **lengths},)
    try:
        with torch.no_grad():
            program = torch.onnx.export(tower.eval(), (inputs,), dynamo=True, dynamic_shapes=shapes, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        raise ExportRefused(f"PyTorch does not export it to ONNX: {short(error)}") from error
    assert program is not None
    program.save(file, external_data=True)


def _compare(
    reference: TorchEncoder, exported: OnnxEncoder, texts: NDArray[np.float32], tokenizer: SimpleTokenizer
) -> None:
    """Raise ExportRefused unless both make the same of pictures and texts; `texts` are the reference's rows."""
    context = reference.context
    if not np.array_equal(tokenizer(list(PROBE_TEXTS)).numpy(), exported.tokens(PROBE_TEXTS, context)):
        raise ExportRefused("its tokenizer cuts texts in another way than CLIP's")
    pictures = probe_pictures()[:PICTURES_COMPARED]
    for picture in pictures:
        expected, prepared = reference.preprocess(picture), exported.preprocess(picture)
        if expected.shape != prepared.shape or np.abs(expected.astype(np.int16) - prepared).max() > MOST_LEVELS:
            raise ExportRefused("its pictures are prepared in another way")
    for what, rows, others in (
        ("texts", texts, exported.encode_texts(PROBE_TEXTS)),
        ("pictures", reference.encode_images(pictures), exported.encode_images(pictures)),
    ):
        if not (cosine := cosines(rows, others).min()) >= LEAST_COSINE:
            raise ExportRefused(
                f"its {what} have a cosine of only {cosine:.6f} in ONNX Runtime, less than {LEAST_COSINE}"
            )


def _one_by_one(tower: Tower, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([tower(picture[np.newaxis]) for picture in pixels])
