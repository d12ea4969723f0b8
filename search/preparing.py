"""A model in PyTorch -> what is missing of its exports in the cache: towers, one in int8, and how fast they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from search.building import LoadedModel
from search.encoder import Encoder
from search.errors import ExportRefused
from search.exports import Exports
from search.onnx_encoder import open_exported
from search.onnx_export import export_towers, quantize_tower
from search.probes import probe_pictures
from search.trial import PICTURES, Way, machine, measure
from search.types import Agreement, EncoderIdentity, Precision

Tell = Callable[[str], None]


def prepare(
    exports: Exports, loaded: LoadedModel, reference: Encoder, precision: Precision, *, threads: int, tell: Tell
) -> EncoderIdentity:
    """Make what is missing, and return the identity of the encoder in this precision. `reference` has the same model.

    Raises ExportRefused for a model that stays on PyTorch, which is remembered, and ModelUnavailable for one that int8
    changes too much.
    """
    identity = loaded.identity
    with exports.writing():
        if exports.refusal:
            raise ExportRefused(exports.refusal)
        _export(exports, loaded, threads, tell)
        if precision == "int8":
            identity = dataclasses.replace(identity, int8=_quantized(exports, identity, threads, tell))
        if not exports.speeds(machine(threads), precision):
            _measure(exports, identity, reference, threads, tell)
    return identity


def _export(exports: Exports, loaded: LoadedModel, threads: int, tell: Tell) -> None:
    if exports.facts("fp32", thorough=True) is not None:
        return
    probe_pictures()  # without them nothing is exported now; later they may be there
    tell(f"exporting {loaded.identity.model} for ONNX Runtime, once, to {exports.folder}")
    try:
        exports.write("fp32", lambda folder: export_towers(loaded, folder, threads=threads))
    except ExportRefused as error:
        exports.refuse(str(error))
        raise
    exports.remove_older(loaded.identity)


def _quantized(exports: Exports, identity: EncoderIdentity, threads: int, tell: Tell) -> Agreement:
    facts = exports.facts("int8", thorough=True)
    if facts is None:
        tell(f"making the image tower of {identity.model} in int8, once")
        fp32 = exports.part("fp32")
        facts = exports.write(
            "int8", lambda folder: dataclasses.asdict(quantize_tower(identity, fp32, folder, threads=threads))
        )
    return Agreement(**facts)


def _measure(exports: Exports, identity: EncoderIdentity, reference: Encoder, threads: int, tell: Tell) -> None:
    """The ways take turns over pictures that the reference has prepared. int8 is ONNX Runtime's alone."""
    encoders: dict[Way, Encoder] = {"torch": reference} if identity.precision == "fp32" else {}
    encoders["onnx"] = open_exported(exports, identity, threads=threads)
    encoders["onnx-apart"] = open_exported(exports, identity, threads=threads, apart=True)
    speeds = measure(encoders, np.stack([reference.preprocess(picture) for picture in probe_pictures()[:PICTURES]]))
    exports.remember(machine(threads), identity.precision, speeds)
    tell("images a second: " + ", ".join(f"{way} {speed:.1f}" for way, speed in speeds.items()))
