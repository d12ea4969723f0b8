"""Parsed arguments -> folders, the pictures below them, what a model says of these, and how much is done at once."""

from __future__ import annotations

import codecs
import os
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from indexer import say
from indexer.build import Options
from indexer.classify import Classified, classify_files
from indexer.opening import load_by_name, loader_of
from indexer.rules import ALL
from indexer.scan import scan
from indexer.stage import LocalStage, MakeStage
from search.classify import make_classifier
from search.decoding import note_in
from search.errors import CollectionError
from search.index_place import require_place
from search.kinds import Publication
from search.loader import Loader
from search.paths import absolute, exists, is_folder
from search.prompts import Label, templates_of
from search.stores import is_url, require_store
from search.tars import is_tar
from search.types import EncoderIdentity, IndexPolicy, Root

if TYPE_CHECKING:
    from search.encoder import Encoder


def root_of(folder: str, arguments: Namespace) -> Root:
    """The folder or the tar file with the rules of its walk. Raises CollectionError for what is neither."""
    if folder.startswith(("http://", "https://")):
        raise CollectionError(f"{folder} is on the web, which lists nothing; name a folder, or one in a store")
    path = absolute(folder)
    if is_url(path):
        require_store(path)
    if not is_folder(path) and not is_tar(path):
        if not exists(path):
            raise CollectionError(f"{folder} does not exist")
        instead = ", or list it in --files-from" if hasattr(arguments, "files_from") else ""
        raise CollectionError(f"{folder} is a file; name its folder, or a tar file{instead}")
    return Root(path, tuple(_rule(glob, path) for glob in arguments.exclude), arguments.include_hidden)


def _rule(glob: str, root: str) -> str:
    """A name or a path below the root, however it was written: ./private/ is private, and so is the root's private."""
    rule = glob.rstrip("/")
    while rule.startswith("./"):
        rule = rule[2:].lstrip("/")
    rule = rule.removeprefix(f"{root.rstrip('/')}/")
    return glob if rule in ("", ALL) else rule  # the one that leaves out all but named files is none of these


def files_of(arguments: Namespace) -> frozenset[str] | None:
    """The files that the list names, a line each; None without one. Raises CollectionError if it cannot be read."""
    if arguments.files_from is None:
        return None
    try:
        named = sys.stdin.buffer.read() if arguments.files_from == "-" else Path(arguments.files_from).read_bytes()
    except OSError as error:
        raise CollectionError(f"{arguments.files_from} cannot be read: {error.strerror}") from error
    lines = named.removeprefix(codecs.BOM_UTF8).split(b"\n")
    names = (os.fsdecode(line.rstrip(b"\r")) for line in lines)
    paths = frozenset(absolute(name) for name in names if name)
    for url in {path.partition("://")[0]: path for path in paths if is_url(path)}.values():
        require_store(url)
    return paths


def pictures_of(arguments: Namespace) -> list[str]:
    """The paths of the pictures below the folder that is asked for."""
    found = scan(root_of(arguments.folder, arguments))
    for path, reason in found.unreadable.items():
        say.note(f"could not be read: {path}: {reason}")
    return [file.stamp.path for file in found.files]


def loader_for(arguments: Namespace) -> Loader:
    """What loads encoders as the options say."""
    return loader_of(arguments.device, arguments.runtime, tell=say.note)


def index_policy(last: Publication, arguments: Namespace) -> IndexPolicy:
    """What is asked now of the index, and for the rest what was asked before.

    Raises CollectionError where it shall be in a server that is not there, or has another one under that name.
    """
    kind = arguments.index or last.policy.kind
    least = last.policy.min_recall if arguments.min_recall is None else arguments.min_recall
    policy = IndexPolicy(kind, least)
    if policy != last.policy:
        require_place(policy, last)
    return policy


def stage_for(arguments: Namespace) -> AbstractContextManager[MakeStage]:
    """Where a build reads and encodes files: here, or on the Ray cluster that is named. Raises ClusterError."""
    if arguments.ray is None:
        return nullcontext(LocalStage)
    from indexer.distributed import ray_cluster  # ray is an extra, and slow to import

    device = arguments.device.partition(":")[0]  # which GPU of its machine a worker has is Ray's to say
    load = partial(_load_on_worker, replace(loader_for(arguments), device=device))
    return ray_cluster(arguments.ray, actors=arguments.ray_actors, gpus=device != "cpu", load=load)


def _load_on_worker(loader: Loader, identity: EncoderIdentity, threads: int) -> Encoder:
    with suppress(OSError):  # a machine whose cache may only be read notes nothing
        note_in(loader.cache)
    return replace(loader, threads=threads).of(identity)


def encoder_for(arguments: Namespace) -> Encoder:
    """The encoder of the model that is named."""
    return load_by_name(arguments.model, precision=arguments.precision or "fp32", loader=loader_for(arguments))


def classified(paths: Iterable[str], labels: Sequence[str | Label], arguments: Namespace) -> Iterator[Classified]:
    encoder = encoder_for(arguments)
    classifier = make_classifier(encoder, labels, templates_of(arguments.templates))
    return classify_files(paths, encoder, classifier, options_of(arguments))


def options_of(arguments: Namespace) -> Options:
    asked = Options(
        batch_size=arguments.batch_size,
        max_pixels=arguments.max_megapixels * 1_000_000,
        exact_decode=arguments.exact_decode,
    )
    return replace(asked, workers=arguments.workers) if arguments.workers else asked
