"""Arguments -> a collection and the way to load its encoder: the collection's own, the one named, or a choice."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from search.collection import Collection
from search.errors import BadImport, EncoderMismatch
from search.loader import Loader, cuda_available
from search.models import Hub, choose_auto, local_models
from search.settings import Settings
from search.types import EncoderIdentity, Precision, Runtime

if TYPE_CHECKING:
    from search.encoder import Encoder

AUTO = "auto"

LoadEncoder = Callable[[], "Encoder"]
Tell = Callable[[str], None]


def loader_of(device: str, runtime: Runtime, *, tell: Tell) -> Loader:
    """What loads the encoder of a build on this machine."""
    settings = Settings.from_environment()
    return Loader(
        purpose="build",
        cache=settings.cache,
        threads=settings.threads,
        device=device,
        runtime=runtime,
        models=settings.models,
        tell=tell,
    )


def open_collection(directory: Path, *, loader: Loader) -> tuple[Collection, LoadEncoder]:
    """An existing collection with its own encoder, loaded when it is first called for."""
    collection = Collection.open(directory)
    return collection, _own(collection, loader)


def open_or_create(
    directory: Path, *, model: str | None, precision: Precision | None, catalog: str | None, loader: Loader
) -> tuple[Collection, LoadEncoder]:
    """The collection in `directory`, made if there is none, with `model`; "auto" is the collection's own or a choice,
    and None its own or what the environment says.

    A new one has its catalog in there, or at the URL `catalog`. Without a `precision` it is the collection's own, or
    fp32. Raises EncoderMismatch when the collection holds vectors of another model than the one named, or in another
    precision.
    """
    if not Collection.exists(directory):
        named = Settings.from_environment().model if model is None else model
        encoder = load_by_name(named, precision=precision or "fp32", loader=loader)
        return Collection.create(directory, encoder.identity, catalog=catalog), lambda: encoder
    collection = Collection.open(directory, catalog=catalog)
    own = collection.identity.precision
    if precision not in (None, own):
        raise EncoderMismatch(
            f"{directory} holds pictures embedded in {own}. Leave --precision out to go on with it, or embed again: "
            f"python -m indexer build FOLDER --precision {precision} --collection NEW_DIRECTORY"
        )
    if model in (None, AUTO):
        return collection, _own(collection, loader)
    encoder = loader.named(model, precision=own)
    collection.require(encoder.identity)
    return collection, lambda: encoder


def load_by_name(model: str, *, precision: Precision, loader: Loader) -> Encoder:
    """The encoder of a model's name; "auto" is a choice, which is told."""
    return loader.named(_chosen(loader) if model == AUTO else model, precision=precision)


def identity_of(model: str, *, dim: int, tell: Tell) -> EncoderIdentity:
    """Whose vectors of `dim` dimensions are, said by the model's name: a claim where its weights are not here.

    Nothing is downloaded. Raises ModelUnavailable for a name that no model has, and BadImport for another dimension.
    """
    from search.checkpoints import published_dim

    models = Settings.from_environment().models
    if model in local_models(models=models, hub=Hub()) or Path(model.rpartition("@")[2]).exists():
        from search.encoder import load_encoder

        identity = load_encoder(model, device="cpu", models=models).identity
    else:
        identity = EncoderIdentity.claim(model, published_dim(model) or dim)
        tell(f"{model} is not on this machine: its name is noted, and the first build that loads it notes its weights")
    if identity.dim != dim:
        raise BadImport(f"the vectors have {dim} dimensions, those of {model} have {identity.dim}")
    return identity


def _own(collection: Collection, loader: Loader) -> LoadEncoder:
    @functools.cache
    def load() -> Encoder:
        encoder = loader.of(collection.identity)
        collection.require(encoder.identity)
        return encoder

    return load


def _chosen(loader: Loader) -> str:
    """What "auto" means for a new collection; said once, and stored with the collection."""

    hub = Hub()
    local = local_models(models=loader.models, hub=hub)
    choice = choose_auto(has_gpu=cuda_available(), local=local, hub_problem=hub.problem)
    loader.tell(f"model: {choice.name} ({choice.reason})")
    if choice.notice:
        loader.tell(choice.notice)
    return choice.name
