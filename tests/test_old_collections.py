"""A collection of every schema that was ever released opens, answers as it did, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.catalog_place import CATALOG_FILE
from search.collection import Collection
from search.migrate import MIGRATIONS
from search.schema import SCHEMA_VERSION
from search.searcher import Searcher
from search.sqlite import backup_of
from search.verify import verify
from tests.colors import ColorEncoder
from tests.scenarios import OLD, unpack

SCHEMAS = sorted(folder.name for folder in OLD.iterdir())


def test_every_schema_has_its_collection() -> None:
    migrations = sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("*.py"))
    assert migrations == SCHEMAS
    assert SCHEMAS[-1] == SCHEMA_VERSION


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_old_collection_answers_as_it_did_and_goes_on(schema: str, tmp_path: Path, encoder: ColorEncoder) -> None:
    directory = unpack(schema, tmp_path / "collection")
    collection = Collection.open(directory)
    assert backup_of(directory / CATALOG_FILE, schema).exists() == (schema != SCHEMA_VERSION)
    searcher = Searcher(collection, lambda: encoder)
    tagged = schema > "0001"  # blue is cold, and that is a sensitive label
    for color in ("red", "green") if tagged else ("red", "green", "blue"):
        best, *_ = searcher.by_text(color)
        assert best.path == Path(f"/photos/{color}.png")
        vector = encoder.encode_texts([color])[0]
        assert best.score == pytest.approx(float(collection.catalog.stored("images", [best.id])[best.id] @ vector))
    assert sorted(str(hit.text) for hit in searcher.by_text("red", target="texts")) == ["a red thing", "red and white"]
    assert collection.catalog.counts() == {"images": 3, "texts": 2, "failures": 1}
    assert [root.path for root in collection.catalog.roots()] == ["/photos"]
    tags = {tag.name for found in collection.catalog.tags.of([1, 2, 3]).values() for tag in found}
    assert tags == ({"warm", "cold"} if tagged else set())
    findings = verify(collection)
    assert (findings.catalog, findings.bad_vectors, findings.indexes) == ([], [], [])
    generation, sealed = collection.catalog.state().generation, collection.published().seals.keys()
    collection.publish_if_changed()  # an older release left no checksums of its indexes
    kept = {"images", "texts"} | ({"keypoints"} if collection.catalog.features.any() else set())
    published = not sealed >= kept
    assert collection.published().seals.keys() == (kept | {"facts", "text-facts"} if published else sealed)
    assert collection.catalog.state().generation == generation + published
    assert len(searcher.by_text("red")) == (2 if tagged else 3)
    assert verify(collection).indexes == []
    collection.close()
