"""Fixtures: colored pictures, the color encoder, a collection of them, and the models that some tests need."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import open_clip
import pytest
from PIL import Image
from safetensors.torch import save_file

from indexer.build import Options, build
from indexer.report import Report
from indexer.roots import merge
from search.collection import Collection
from search.kinds import Publication
from search.searcher import Searcher
from search.settings import PROJECT
from search.types import IndexPolicy, Root
from tests.browser import Browser
from tests.colors import COLORS, ColorEncoder
from tests.servers import Milvus, Postgres, milvus_server, postgres_server

SHARED = Path(__file__).resolve().parents[2] / "shared"

Build = Callable[..., Report]

os.environ["IMAGE_SEARCH_RUNTIME"] = "torch"  # unless a test asks for the other: to export towers takes long
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # its threads may abort a child that is forked to start PostgreSQL

STORAGES = ("sqlite", "postgres", pytest.param("milvus", marks=pytest.mark.servers))
"""Where the fixture `collection` keeps its catalog and its index, in the tests of a module that is marked `storages`:
the catalog in SQLite or in PostgreSQL, with FAISS; in PostgreSQL, with Milvus.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "catalog_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("storages"):
        metafunc.parametrize("storage", STORAGES, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Processes that share the tests take whole files, whose fixtures are made once; the files of Milvus together."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            item.add_marker(pytest.mark.xdist_group("milvus" if "milvus" in item.path.name else item.path.name))


def paint(file: Path, color: str, size: tuple[int, int] = (24, 16)) -> Path:
    """A picture of one color; its format follows the suffix."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, COLORS[color]).save(file)
    return file


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with one picture each of red, green and blue, in three formats and two folders."""
    folder = tmp_path / "photos"
    paint(folder / "red.png", "red")
    paint(folder / "green.bmp", "green")
    paint(folder / "trip" / "blue.webp", "blue")
    return folder


@pytest.fixture
def encoder() -> ColorEncoder:
    return ColorEncoder()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def milvus() -> Iterator[Milvus]:
    with milvus_server() as server:
        yield server


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> str:
    return getattr(request, "param", "sqlite")


@pytest.fixture
def catalog_url(storage: str, request: pytest.FixtureRequest) -> str | None:
    """The URL of a place for a catalog; None for a file of the collection."""
    return None if storage == "sqlite" else request.getfixturevalue("postgres").new_catalog()


@pytest.fixture
def index_url(storage: str, request: pytest.FixtureRequest) -> Iterator[str | None]:
    """The URL of a place for an index, which goes with the test; None for files of the collection."""
    if storage != "milvus":
        yield None
        return
    milvus: Milvus = request.getfixturevalue("milvus")
    yield (url := milvus.new_index())
    milvus.drop_index(url)


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty collection of the color encoder, to be copied: to make one waits for the disk."""
    directory = tmp_path_factory.mktemp("empty") / "collection"
    Collection.create(directory, ColorEncoder().identity).close()
    return directory


@pytest.fixture
def collection(tmp_path: Path, empty: Path, catalog_url: str | None, index_url: str | None) -> Iterator[Collection]:
    """An empty collection of the color encoder."""
    directory = tmp_path / "collection"
    if catalog_url:
        collection = Collection.create(directory, ColorEncoder().identity, catalog=catalog_url)
    else:
        collection = Collection.open(shutil.copytree(empty, directory))
    if index_url:
        collection.catalog.publish(0, 0, Publication(IndexPolicy(index_url)).to_dict())
    yield collection
    collection.close()


@pytest.fixture
def index(collection: Collection, encoder: ColorEncoder) -> Build:
    """Build the collection from folders: `index(folder, ..., stop=event, **options)`."""

    return partial(build_from, collection, encoder)


def build_from(
    collection: Collection,
    encoder: ColorEncoder,
    *folders: Path,
    stop: threading.Event | None = None,
    exclude: tuple[str, ...] = (),
    **options: int,
) -> Report:
    roots = [Root(str(folder), exclude) for folder in folders]
    with collection.writing():
        followed = collection.catalog.roots()
        walk, follow = merge(followed, roots)
        if follow != followed:
            collection.catalog.follow(follow)
        return build(
            collection,
            walk,
            lambda: encoder,
            options=Options(**options),
            progress=lambda *_: None,
            stop=stop or threading.Event(),
        )


@pytest.fixture
def searcher(collection: Collection, encoder: ColorEncoder) -> Searcher:
    return Searcher(collection, lambda: encoder)


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real photographs and a model trained on photographs, which do not come with the project."""
    if not SHARED.is_dir():
        pytest.skip(f"the real photographs are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def drawings() -> Path:
    """The sample pictures that come with the project."""
    return PROJECT / "data" / "sample"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip directory of random towers, in no one else's space."""
    folder = tmp_path_factory.mktemp("tiny")
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model = open_clip.CLIP(**config["model_cfg"])
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    with chromium.page():
        yield chromium
