"""Pictures in a store: what a folder of the same files gives, and nothing lost where it does not answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from indexer.cli import main
from indexer.scan import scan
from search.collection import Collection
from search.errors import BadPicture, CollectionError, UnreadFile
from search.filters import Filter
from search.paths import absolute, exists, is_folder, read_file, stamp_of
from search.query import TextTerm
from search.searcher import Searcher
from search.settings import PROJECT
from search.stores import is_url, require_store
from search.types import Root
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from tests.test_tars import content
from web.app import create_app


class Asked(MemoryFileSystem):
    """A store in memory that notes what is asked of it. When it is down it has an error of its own.

    Of an object it tells an ETag and the second of its time, as S3 does.
    """

    protocol = "counted"
    asked: list[tuple[str, str]] = []  # noqa: RUF012
    down: bool | str = False
    etags: dict[str, str] = {}  # noqa: RUF012

    class DownError(Exception):
        pass

    def _ask(self, what: str, path: str) -> None:
        self.asked.append((what, path))
        if self.down is True or self.down == what:
            raise self.DownError("nobody there")

    def _told(self, info: dict[str, Any]) -> dict[str, Any]:
        told = {name: info[name] for name in ("name", "size", "type")}
        return {**told, "LastModified": 1_700_000_000, "ETag": self.etags.get(info["name"].strip("/"), "first")}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("counted://", "memory://"))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._ask("ls", path)
        return [self._told(info) for info in super().ls(path, detail=detail, **kwargs)]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self._ask("info", path)
        return self._told(super().info(path, **kwargs))

    def cat_file(self, path: str, *args: Any, **kwargs: Any) -> bytes:
        self._ask("cat", path)
        return super().cat_file(path, *args, **kwargs)


fsspec.register_implementation("counted", Asked, clobber=True)


@pytest.fixture
def store() -> Iterator[Asked]:
    """The bucket "bucket" of an empty store."""
    store = fsspec.filesystem("counted")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    Asked.asked.clear()
    Asked.etags.clear()
    Asked.down = False
    yield store
    Asked.down = False


URL = "counted://bucket/photos"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """Pictures with captions in two folders, one that is broken, a hidden one, and a collection."""
    folder = tmp_path / "samples"
    for color in ("red", "green", "blue"):
        paint(folder / f"{color}.jpg", color)
        (folder / f"{color}.txt").write_text(f"a {color} thing")
    paint(folder / "more" / "a b #1?.png", "yellow")
    (folder / "more" / "captions.json").write_text(json.dumps({"a b #1?.png": ["sun", "gold"]}))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    paint(folder / ".hidden" / "red.png", "red")
    paint(folder / "collection" / "thumbnails" / "red.png", "red")
    (folder / "collection" / "catalog.sqlite").touch()
    return folder


def put(store: Asked, folder: Path, url: str = URL) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            store.pipe_file(f"{url}/{file.relative_to(folder)}", file.read_bytes())


def ids(collection: Collection) -> dict[str, int]:
    return {path: known.id for path, known in collection.catalog.known_files(URL).items()}


def test_a_store_gives_what_a_folder_gives(collection: Collection, index: Build, samples: Path, store: Asked) -> None:
    put(store, samples)
    report = index(URL)
    assert (report.new, report.failed, report.unreadable) == (4, 1, {})
    found = content(collection, URL)  # type: ignore[arg-type]
    assert index(samples).copied == 4
    assert content(collection, samples) == found
    assert {path for path, *_ in collection.catalog.failures()} == {f"{URL}/broken.jpg", f"{samples}/broken.jpg"}
    assert verify(collection).clean


@pytest.mark.parametrize("url", ["memory://bucket/photos", "file://{samples}"])
def test_stores_that_fsspec_brings_are_read(
    collection: Collection, index: Build, samples: Path, store: Asked, url: str
) -> None:
    put(store, samples)
    url = url.format(samples=samples)
    assert index(url).new == 4  # type: ignore[arg-type]
    assert not index(url).wrote  # type: ignore[arg-type]
    assert {image["text"] for image in texts(collection)} >= {"a red thing", "sun", "gold"}
    assert verify(collection).clean


def texts(collection: Collection) -> list[dict[str, Any]]:
    hits = Searcher(collection, ColorEncoder).by_text("red", k=10, target="texts")
    return [hit.to_dict() for hit in hits]


def test_what_is_the_same_is_listed_and_nothing_more(
    collection: Collection, index: Build, samples: Path, store: Asked
) -> None:
    put(store, samples)
    index(URL)
    Asked.asked.clear()
    assert not index(URL).wrote
    assert Asked.asked == [("ls", URL), ("ls", f"{URL}/collection"), ("ls", f"{URL}/more")]


def test_objects_that_are_written_again_moved_or_gone_are_seen(
    collection: Collection, index: Build, samples: Path, store: Asked, encoder: ColorEncoder
) -> None:
    put(store, samples)
    index(URL)
    before, encoded = ids(collection), encoder.encoded
    store.mv(f"{URL}/red.jpg", f"{URL}/more/moved.jpg")
    store.rm(f"{URL}/green.jpg")
    store.pipe_file(f"{URL}/blue.jpg", (samples / "red.jpg").read_bytes())
    Asked.etags["bucket/photos/blue.jpg"] = "second"  # in the same second, and of the same size
    report = index(URL)
    assert (report.moved, report.changed + report.copied, report.removed) == (1, 1, 1)
    assert encoder.encoded == encoded
    after = ids(collection)
    assert after[f"{URL}/more/moved.jpg"] == before[f"{URL}/red.jpg"]
    assert after.keys() == {f"{URL}/more/moved.jpg", f"{URL}/blue.jpg", f"{URL}/more/a b #1?.png"}
    assert not index(URL).wrote


def test_where_a_store_does_not_answer_everything_stays(
    collection: Collection, index: Build, samples: Path, store: Asked
) -> None:
    put(store, samples)
    index(URL)
    before = ids(collection)
    Asked.down = True
    report = index(URL)
    assert report.unreadable == {URL: "its store refuses: DownError: nobody there"}
    assert (ids(collection), report.wrote) == (before, False)
    assert verify(collection).missing_files == []
    Asked.down = False
    for file in samples.glob("*.jpg"):
        store.rm(f"{URL}/{file.name}")
    store.rm(f"{URL}/more", recursive=True)
    assert list(index(URL).unreadable) == [URL]
    assert ids(collection) == before
    assert index(URL, allow_mass_removal=True).removed == 4


def test_objects_that_a_store_does_not_give_are_tried_again(
    collection: Collection, index: Build, samples: Path, store: Asked
) -> None:
    put(store, samples)
    Asked.down = "cat"
    report = index(URL)
    assert (len(report.unreadable), report.new, report.failed) == (5, 0, 0)
    Asked.down = False
    assert index(URL).new == 4


def test_no_store_is_asked_for_imported_rows(collection: Collection, index: Build, samples: Path, store: Asked) -> None:
    put(store, samples)
    index(URL)
    with collection.writing():
        collection.catalog.follow([])
    Asked.asked.clear()
    report = index(samples)
    assert (report.moved, report.failed) == (4, 1)
    assert Asked.asked == []


def test_pages_show_pictures_out_of_a_store(
    collection: Collection, index: Build, samples: Path, store: Asked, encoder: ColorEncoder
) -> None:
    put(store, samples)
    index(URL)
    client = create_app([collection], lambda _model: encoder).test_client()
    image = client.get("/api/v1/search?q=red&k=1").get_json()["hits"][0]["image"]
    assert image["path"] == "red.jpg"
    size_bytes = (samples / "red.jpg").stat().st_size
    assert client.get(f"/api/v1/images/{image['id']}").get_json()["size_bytes"] == size_bytes
    with client.get(image["links"]["original"]) as answer:
        assert answer.data == (samples / "red.jpg").read_bytes()
        assert answer.headers["Content-Disposition"] == "inline; filename=red.jpg"
        etag = answer.headers["ETag"]
    assert client.get(image["links"]["original"], headers={"If-None-Match": etag}).status_code == 304
    assert client.get(image["links"]["thumbnails"][0]).mimetype == "image/webp"
    assert client.get("/?q=red").status_code == 200
    lookup = client.post("/api/v1/lookup", data={"image": (samples / "red.jpg").open("rb")}).get_json()
    assert lookup["candidates"][0]["image"]["path"] == "red.jpg"
    Asked.down = True
    gone = client.get(image["links"]["original"])
    assert (gone.status_code, "counted" in gone.text, "nobody" in gone.text) == (404, False, False)


def test_hits_have_the_url_and_filters_take_it(
    collection: Collection, index: Build, samples: Path, store: Asked, encoder: ColorEncoder
) -> None:
    put(store, samples)
    index(URL)
    searcher = Searcher(collection, lambda: encoder)
    assert searcher.by_text("red", k=1)[0].location == f"{URL}/red.jpg"
    (hit,) = searcher.page([TextTerm("red")], where=Filter.parse(f"folder:{URL}/more")).hits
    assert hit.to_dict()["path"] == f"{URL}/more/a b #1?.png"


def test_what_is_read_has_the_stamp_of_the_walk(samples: Path, store: Asked) -> None:
    put(store, samples)
    for file in scan(Root(URL)).files:
        assert stamp_of(file.stamp.path) == (file.stamp.size_bytes, file.stamp.mtime_ns)
        assert read_file(file.stamp.path) == (samples / file.stamp.path.removeprefix(f"{URL}/")).read_bytes()
    with pytest.raises(BadPicture, match="MB, over the limit of 0 MB"):
        read_file(f"{URL}/red.jpg", max_bytes=5)
    with pytest.raises(UnreadFile, match="No such file"):
        read_file(f"{URL}/none.jpg")
    store.pipe_file(f"{URL}/empty.jpg", b"")
    with pytest.raises(BadPicture, match="empty"):
        read_file(f"{URL}/empty.jpg")
    assert (exists(f"{URL}/red.jpg"), exists(f"{URL}/none.jpg")) == (True, False)
    assert (is_folder(URL), is_folder(f"{URL}/red.jpg"), is_folder(f"{URL}/none")) == (True, False, False)


@pytest.mark.parametrize("path", ["s3://b", "gs://b/c", "abfs://c@account/x", "file:///a", "memory://a b/c\n"])
def test_urls_are_left_as_they_are(path: str) -> None:
    assert is_url(path)
    assert absolute(f"{path}/") == absolute(path) == path


@pytest.mark.parametrize("path", ["https://example.org/a.jpg", "http://a", "s3:/b", "s3://", "/s3://b", "C:"])
def test_other_paths_are_those_of_files(path: str) -> None:
    assert not is_url(path)


def test_the_command_line_takes_urls(tmp_path: Path, store: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    directory = ["--collection", str(tmp_path / "collection")]
    for file in sorted((PROJECT / "data" / "sample" / "odd").glob("*.jpg"))[:2]:
        store.pipe_file(f"{URL}/{file.name}", file.read_bytes())
    assert main(["build", f"{URL}/", "--model", "bundled", *directory]) == 0
    assert "2 new" in capsys.readouterr().out
    assert main(["update", *directory]) == 0
    assert "0 new, 2 unchanged" in capsys.readouterr().out
    Asked.down = True
    assert main(["update", *directory]) == 1
    assert "could not be read, what is known of it is kept" in capsys.readouterr().out
    Asked.down = False
    for words, said in [
        (["build", f"{URL}/none"], "does not exist"),
        (["build", f"{URL}/{file.name}"], "is a file; name its folder"),
        (["build", "nowhere://a"], "nowhere://a is in no store that fsspec knows"),
        (["watch"], "there is no folder to watch"),
    ]:
        assert main([*words, *directory]) == 2
        assert said in capsys.readouterr().err
    assert main(["remove", f"{URL}/", *directory]) == 0
    assert main(["remove", URL, *directory]) == 1


def test_without_the_package_of_a_store_the_error_names_it() -> None:
    program = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from search.paths import read_file\nfrom search.stores import require_store\n"
        "try: require_store('s3://b')\nexcept Exception as error: print(type(error).__name__, error)\n"
        "try: read_file('s3://b/c')\nexcept Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("CollectionError s3:// needs the package fsspec")
    assert second.startswith("UnreadFile cannot be read: s3:// needs the package fsspec")
    assert "pip install 'text-image-search[remote]'" in first
    with pytest.raises(CollectionError, match="no store that fsspec knows"):
        require_store("nowhere://b")
