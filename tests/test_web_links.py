"""Addresses made from patterns are those that Flask builds one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import url_for

from search.collection import Collection
from search.records import ImageRecord
from search.types import Facts
from tests.colors import ColorEncoder
from tests.conftest import Build
from web.app import create_app
from web.current import choose_shelf
from web.links import Links
from web.present import Tile
from web.thumbnails import SIZES


@pytest.mark.parametrize("name", [None, "an other & more"])
def test_links_are_those_of_flask(
    collection: Collection, encoder: ColorEncoder, tmp_path: Path, index: Build, photos: Path, name: str | None
) -> None:
    index(photos)
    other = Collection.create(tmp_path / "an other & more", encoder.identity)
    app = create_app([collection, other], lambda _model: encoder)
    tile = Tile(17, ImageRecord("/a/b.jpg", Facts(4000, 3000, "JPEG")), "b.jpg", has_picture=True)
    for root, query in (("", ""), ("/{under}", ""), ("", "?sensitive=show")):
        with app.test_request_context(f"/{query}", base_url=f"http://localhost{root}"):
            choose_shelf(name)
            links = Links().of(tile)
            assert links == {
                "self": url_for("api.image", image_id=17),
                "page": url_for("pages.image", image_id=17),
                "original": url_for("media.original", image_id=17),
                "thumbnails": [url_for("media.thumbnail", image_id=17, size=size, v=tile.key) for size in SIZES],
            }
            assert links["self"].startswith(f"{root}/api/v1/images/17")
            assert ("collection=" in links["page"]) == (name is not None)
            assert ("sensitive=" in links["page"]) == bool(query)
