"""A collection -> what `status` tells of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from indexer.tag import tag_facts
from search.collection import Collection
from search.exports import Exports
from search.settings import Settings
from search.trial import machine
from search.types import TARGETS


def facts_of(collection: Collection) -> dict[str, Any]:
    """Counts, model, index, sizes, folders, the last runs and failures, as JSON values.

    `images_per_second` is of each way to compute the image tower on this machine's CPU, empty where none is measured.
    """
    catalog, identity, state = collection.catalog, collection.identity, collection.catalog.state()
    counts = catalog.counts()
    settings = Settings.from_environment()
    exports = Exports.of(settings.cache, identity)
    published = collection.published()
    index = published.facts.get("images")
    return {
        "collection": str(collection.directory),
        "model": identity.model,
        "dim": identity.dim,
        "weights_digest": identity.weights_digest,
        "precision": identity.precision,
        "int8": asdict(identity.int8) if identity.int8 else None,
        "images_per_second": exports.speeds(machine(settings.threads), identity.precision),
        "only_torch": exports.refusal,
        "images": counts["images"],
        "texts": counts["texts"],
        "tags": tag_facts(collection),
        "local_features": catalog.features.totals()._asdict(),
        "index": index.kind if index else collection.index("images").kind,
        "index_url": published.served.url if published.served else None,
        "recall": {target: collection.recall(target) for target in TARGETS},
        "generation": state.generation,
        "published": state.changes == state.published_changes,
        "size_bytes": collection.sizes(),
        "roots": [asdict(root) for root in catalog.roots()],
        "runs": [{"started_at": str(when), "report": report} for when, report in catalog.last_runs(5)],
        "failures": [{"path": path, "reason": why, "failed_at": str(when)} for path, why, when in catalog.failures()],
    }
