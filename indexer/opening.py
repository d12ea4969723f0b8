"""Arguments -> a collection and the way to load its encoder: the collection's own, the one named, or a choice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search.collection import Collection
from search.errors import BadImport
from search.models import Hub, choose_auto, local_models
from search.settings import Settings
from search.types import EncoderIdentity

if TYPE_CHECKING:
    from search.encoder import Encoder

AUTO = "auto"

LoadEncoder = Callable[[], "Encoder"]
Tell = Callable[[str], None]


def open_collection(directory: Path, *, device: str) -> tuple[Collection, LoadEncoder]:
    """An existing collection with its own encoder, loaded when it is first called for."""
    collection = Collection.open(directory)
    return collection, _own(collection, device)


def open_or_create(directory: Path, *, model: str, device: str, tell: Tell) -> tuple[Collection, LoadEncoder]:
    """The collection in `directory`, made if there is none, with `model`; "auto" is the collection's own or a choice.

    Raises EncoderMismatch when the collection holds vectors of another model than the one named.
    """
    if Collection.exists(directory) and model == AUTO:
        return open_collection(directory, device=device)
    encoder = load_by_name(model, device=device, tell=tell)
    if Collection.exists(directory):
        collection = Collection.open(directory)
        collection.require(encoder.identity)
    else:
        collection = Collection.create(directory, encoder.identity)
    return collection, lambda: encoder


def load_by_name(model: str, *, device: str, tell: Tell) -> Encoder:
    """The encoder of a model's name; "auto" is a choice, which is told."""
    return _load(_chosen(tell) if model == AUTO else model, device)


def identity_of(model: str, *, dim: int, tell: Tell) -> EncoderIdentity:
    """Whose vectors of `dim` dimensions are, said by the model's name: a claim where its weights are not here.

    Nothing is downloaded. Raises ModelUnavailable for a name that no model has, and BadImport for another dimension.
    """
    from search.checkpoints import published_dim

    models = Settings.from_environment().models
    if model in local_models(models=models, hub=Hub()) or Path(model.rpartition("@")[2]).exists():
        identity = load_by_name(model, device="cpu", tell=tell).identity
    else:
        identity = EncoderIdentity.claim(model, published_dim(model) or dim)
        tell(f"{model} is not on this machine: its name is noted, and the first build that loads it notes its weights")
    if identity.dim != dim:
        raise BadImport(f"the vectors have {dim} dimensions, those of {model} have {identity.dim}")
    return identity


def _own(collection: Collection, device: str) -> LoadEncoder:
    @functools.cache
    def load() -> Encoder:
        encoder = _load(collection.identity.model, device)
        collection.require(encoder.identity)
        return encoder

    return load


def _load(model: str, device: str) -> Encoder:
    from search.encoder import load_encoder  # torch takes seconds to import; a run that changes nothing needs none

    return load_encoder(model, device=device, models=Settings.from_environment().models)


def _chosen(tell: Tell) -> str:
    """What "auto" means for a new collection; said once, and stored with the collection."""
    from search.encoder import cuda_available

    hub = Hub()
    local = local_models(models=Settings.from_environment().models, hub=hub)
    choice = choose_auto(has_gpu=cuda_available(), local=local, hub_problem=hub.problem)
    tell(f"model: {choice.name} ({choice.reason})")
    if choice.notice:
        tell(choice.notice)
    return choice.name
