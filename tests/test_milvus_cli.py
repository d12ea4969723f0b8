"""The index in a Milvus server, as the command line and the pages have it; and what a killed server leaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from indexer.cli import main
from search.__main__ import main as search_main
from search.collection import Collection
from search.errors import CollectionError
from search.filters import Filter
from search.kinds import Publication, Served
from search.query import TextTerm
from search.searcher import Searcher
from search.snapshot import restore_snapshot, take_snapshot
from search.types import IndexFacts, IndexPolicy
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from tests.servers import Milvus, milvus_lite_server, milvus_server
from web.app import create_app

AWAY = "milvus+http://127.0.0.1:9/photos"


def test_a_build_puts_its_index_where_it_is_told_and_all_verbs_find_it_there(
    milvus: Milvus, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, named = milvus.new_index(), ["--collection", str(tmp_path / "collection")]
    build = ["build", str(drawings / "odd"), "--model", "bundled", "--keypoints", "0", *named]
    assert main([*build, "--index", url]) == 0
    assert not list((tmp_path / "collection").glob("*.faiss"))
    assert main(["update", "--keypoints", "0", *named]) == 0
    capsys.readouterr()
    assert main(["status", *named, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["index"], status["index_url"], status["published"]) == ("milvus FLAT", url, True)
    assert main(["status", *named]) == 0
    assert f"milvus FLAT, in {url}, generation 1" in capsys.readouterr().out
    assert main(["verify", *named]) == 0
    assert search_main(["id:1", *named, "-k", "3", "--where=-format:webp"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3

    assert main([*build, "--index", AWAY]) == 2
    assert "the Milvus server at http://127.0.0.1:9 is out of reach" in capsys.readouterr().err
    exported, other = str(tmp_path / "export"), str(tmp_path / "other")
    assert main(["export", exported, *named]) == 0
    assert main(["import", exported, "--collection", other, "--index", url]) == 2
    assert "is another collection's index" in capsys.readouterr().err
    with closing(Collection.open(tmp_path / "collection")) as collection:
        assert collection.index("images").kind == "milvus FLAT"
        images = collection.catalog.counts()["images"]
    assert main(["import", exported, "--collection", other, "--index", "exact"]) == 0
    with closing(Collection.open(Path(other))) as collection:
        assert len(collection.index("images")) == images


@pytest.fixture
def away(collection: Collection, index: Build, photos: Path) -> Collection:
    """A collection whose index is in a server that does not answer."""
    pytest.importorskip("pymilvus", reason="Milvus's client is not here: pip install '.[dev]'")
    index(photos)
    state = collection.catalog.state()
    known = Publication(
        IndexPolicy(AWAY), {"images": IndexFacts("milvus FLAT", 3)}, served=Served(AWAY, {"images": "photos_images"})
    )
    collection.catalog.publish(state.generation + 1, state.changes, known.to_dict())
    return collection


def test_while_the_server_is_away_it_is_told_and_what_needs_none_works(
    away: Collection, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--collection", str(away.directory)]
    assert main(["status", *named]) == 0
    assert f"milvus FLAT, in {AWAY}, " in capsys.readouterr().out
    assert search_main(["id:1", *named]) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith("what was written is kept")
    assert any("is out of reach" in problem for problem in verify(away).indexes)
    client = create_app([away], lambda _model: ColorEncoder()).test_client()
    assert client.get("/api/v1/search?q=id:1").status_code == 503
    assert client.get("/api/v1/images/1").status_code == 200


def test_a_restored_snapshot_has_an_index_of_its_own(away: Collection, tmp_path: Path) -> None:
    take_snapshot(away, tmp_path / "backup")
    with closing(restore_snapshot(tmp_path / "backup", tmp_path / "restored")) as restored:
        assert restored.index("images").kind == "exact"
        assert restored.published().served is None
        assert restored.published().superseded == []
        assert verify(restored).clean


@pytest.mark.servers
def test_an_index_in_milvus_lite_is_searched_and_followed_like_one_in_milvus(
    tmp_path: Path, collection: Collection, index: Build, photos: Path, searcher: Searcher
) -> None:
    with milvus_lite_server(tmp_path) as uri:
        (photos / "red.txt").write_text("a red thing\n")
        index(photos)
        wheres = [Filter(), Filter.parse("format:png"), Filter.parse("-format:png")]
        found = [searcher.search([TextTerm("red")], where=where) for where in wheres]
        expected = [[(hit.id, pytest.approx(hit.score, abs=1e-6)) for hit in hits] for hits in found]
        with collection.writing():
            collection.publish(IndexPolicy(f"milvus+{uri}/photos?type=FLAT"))
        found = [searcher.search([TextTerm("red")], where=where) for where in wheres]
        assert [[(hit.id, hit.score) for hit in hits] for hits in found] == expected
        paint(photos / "new.png", "yellow")
        index(photos)
        assert searcher.by_text("yellow")[0].path.name == "new.png"
        assert collection.index("texts").kind == "milvus FLAT"
        assert verify(collection).clean


@pytest.fixture(scope="module")
def mortal() -> Iterator[Milvus]:
    """A server of one's own."""
    with milvus_server(mortal=True) as server:
        yield server


@pytest.fixture
def published(mortal: Milvus, collection: Collection, index: Build, photos: Path) -> Collection:
    """A collection whose index is in that server, and to which pictures came that are not in it yet."""
    index(photos)
    with collection.writing():
        collection.publish(IndexPolicy(mortal.new_index()))
    paint(photos / "new.png", "yellow")
    paint(photos / "newer.png", "cyan")
    return collection


def while_it_publishes(mortal: Milvus, act: Callable[[], None]) -> threading.Thread:
    """`act` once there is one more collection in the server."""
    client = mortal.client()
    before = len(client.list_collections())

    def watch() -> None:
        while len(client.list_collections()) == before:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.servers
def test_a_build_waits_for_a_server_that_is_killed_and_comes_back(
    mortal: Milvus, published: Collection, index: Build, photos: Path, searcher: Searcher
) -> None:
    def restart() -> None:
        mortal.kill()
        mortal.start()

    thread = while_it_publishes(mortal, restart)
    assert index(photos).new == 2
    thread.join()
    assert searcher.by_text("yellow")[0].path.name == "new.png"
    assert verify(published).clean


@pytest.mark.servers
def test_a_build_whose_server_is_killed_ends_in_one_line_and_the_next_one_finishes(
    mortal: Milvus,
    published: Collection,
    index: Build,
    photos: Path,
    searcher: Searcher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("search.milvus_server.PATIENCE_S", 3)
    thread = while_it_publishes(mortal, mortal.kill)
    with pytest.raises(CollectionError, match=r"^the Milvus server at .* is out of reach: .*$"):
        index(photos)
    thread.join()
    with pytest.raises(CollectionError, match="is out of reach"):
        searcher.by_text("yellow")
    assert published.catalog.counts()["images"] == 5
    monkeypatch.undo()
    mortal.start()
    report = index(photos)
    assert (report.new, report.unchanged) == (0, 5)
    assert searcher.by_text("yellow")[0].path.name == "new.png"
    assert verify(published).clean
