"""Pictures in tar files: what a folder of the same files gives, read again only when the tar was written again."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from indexer.cli import main
from search.collection import Collection
from search.paths import exists, read_file, stamp_of
from search.settings import PROJECT
from search.tars import list_tar
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint
from web.app import create_app


def pack(tar: Path, folder: Path) -> Path:
    """A tar file of the files in the folder, in the order of their names, replaced whole and newer than before."""
    before = tar.stat().st_mtime_ns if tar.exists() else 0
    aside = tar.with_suffix(".new")
    with tarfile.open(aside, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.add(file, str(file.relative_to(folder)), recursive=False)
    aside.replace(tar)
    newer = max(tar.stat().st_mtime_ns, before + 1)
    os.utime(tar, ns=(newer, newer))
    return tar


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    """A folder as img2dataset writes it: a key for each sample, and one folder more."""
    folder = tmp_path / "samples"
    for key, color in enumerate(("red", "green", "blue")):
        paint(folder / f"{key:09}.jpg", color)
        (folder / f"{key:09}.txt").write_text(f"a {color} thing")
        (folder / f"{key:09}.json").write_text(json.dumps({"key": key, "caption": f"a {color} thing", "exif": "{}"}))
    paint(folder / "more" / "yellow.png", "yellow")
    (folder / "more" / "captions.json").write_text(json.dumps({"yellow.png": ["sun", "gold"]}))
    return folder


@pytest.fixture
def tar(tmp_path: Path, samples: Path) -> Path:
    return pack(tmp_path / "00000.tar", samples)


def content(collection: Collection, place: Path) -> dict[str, tuple[Any, ...]]:
    """All that the catalog holds of each picture below a place, except for times."""
    return {
        image.stamp.path.removeprefix(f"{place}/"): (image.digest, image.facts, image.vector, tuple(image.captions))
        for images in collection.catalog.bulk.images(50)
        for image in images
        if image.stamp.path.startswith(f"{place}/")
    }


def ids(collection: Collection) -> dict[str, int]:
    return {Path(path).name: known.id for path, known in collection.catalog.known_files("/").items()}


def test_a_tar_gives_what_a_folder_gives(collection: Collection, index: Build, samples: Path, tar: Path) -> None:
    report = index(tar)
    assert (report.new, report.encoded, report.failed) == (4, 4, 0)
    found = content(collection, tar)
    assert [len(captions) for *_, captions in found.values()] == [1, 1, 1, 2]
    assert index(samples).copied == 4
    assert content(collection, samples) == found
    assert verify(collection).clean


def test_a_tar_that_is_the_same_is_not_read_again(
    collection: Collection, index: Build, tar: Path, encoder: ColorEncoder
) -> None:
    index(tar)
    encoded = encoder.encoded
    report = index(tar)
    assert (report.unchanged, report.wrote, encoder.encoded) == (4, False, encoded)


def test_of_a_tar_that_was_written_again_only_new_contents_go_through_the_model(
    collection: Collection, index: Build, samples: Path, tar: Path, encoder: ColorEncoder
) -> None:
    index(tar)
    before, encoded = ids(collection), encoder.encoded
    (samples / "000000000.jpg").unlink()
    paint(samples / "000000001.jpg", "cyan")
    (samples / "000000002.txt").write_text("the sea")
    paint(samples / "new.png", "magenta")
    pack(tar, samples)
    report = index(tar)
    assert (report.removed, report.changed, report.new, report.unchanged) == (1, 1, 1, 2)
    assert encoder.encoded == encoded + 2
    after = ids(collection)
    assert after.keys() == {"000000001.jpg", "000000002.jpg", "new.png", "yellow.png"}
    assert {name for name in after if after[name] == before.get(name)} == {"000000002.jpg", "yellow.png"}
    *_, captions = content(collection, tar)["000000002.jpg"]
    assert [text for text, _ in captions] == ["the sea", "a blue thing"]
    assert verify(collection).clean


def test_the_same_picture_in_two_tars_is_a_row_in_each(
    collection: Collection, index: Build, tmp_path: Path, samples: Path, tar: Path
) -> None:
    index(tar)
    other = pack(tmp_path / "00001.tar", samples)
    report = index(tar, other)
    assert (report.copied, report.moved, report.unchanged) == (4, 0, 4)
    assert not index(tar, other).wrote


def test_a_bad_member_is_a_failure_and_costs_no_other(
    collection: Collection, index: Build, samples: Path, tar: Path
) -> None:
    (samples / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    (samples / "empty.png").touch()
    (samples / "000000000.json").write_text("[")
    pack(tar, samples)
    report = index(tar)
    assert (report.new, report.failed, report.unreadable) == (4, 2, {})
    assert list(report.bad_captions) == [f"{tar}/000000000.json: not JSON: Expecting value in line 1"]
    assert [path for path, *_ in collection.catalog.failures()] == [f"{tar}/broken.jpg", f"{tar}/empty.png"]
    assert not index(tar).wrote


@pytest.mark.parametrize("damage", ["end", "header", "all", "gone"])
def test_of_a_damaged_tar_what_is_known_stays(collection: Collection, index: Build, tar: Path, damage: str) -> None:
    index(tar)
    data = bytearray(tar.read_bytes())
    third = list_tar(str(tar)).members["000000002.jpg"].offset
    if damage == "end":
        data = data[: third + 10]
    elif damage == "header":
        data[third - 512 : third] = b"?" * 512
    else:
        data = bytearray(b"no tar file" * 1000)
    tar.write_bytes(data)
    if damage == "gone":
        tar.unlink()
    report = index(tar)
    assert list(report.unreadable) == [str(tar)]
    assert (report.removed, report.failed) == (0, 0)
    assert len(ids(collection)) == 4


def test_a_folder_and_the_tars_in_it_are_followed_beside_each_other(
    collection: Collection, index: Build, tmp_path: Path, samples: Path
) -> None:
    tar = pack(samples / "shard.tar", samples / "more")
    index(samples)
    assert len(ids(collection)) == 4
    index(tar)
    assert [root.path for root in collection.catalog.roots()] == [str(samples), str(tar)]
    assert len(collection.catalog.paths()) == 5
    assert not index(samples, tar).wrote
    tar.unlink()  # what is known of it stays, as what is known of a disk that is away
    assert not index(samples).wrote
    report = index(*(Path(root.path) for root in collection.catalog.roots()))
    assert (report.removed, list(report.unreadable)) == (0, [str(tar)])
    assert len(collection.catalog.paths()) == 5


def test_what_the_rules_of_a_folder_leave_out_is_kept_beside_it(
    collection: Collection, index: Build, samples: Path, tmp_path: Path
) -> None:
    hidden = paint(samples / ".hidden" / "cyan.png", "cyan").parent
    tar = pack(tmp_path / "some.tar", samples / "more")
    (samples / "@eaDir").mkdir()
    tar = tar.rename(samples / "@eaDir" / "some.tar")
    for place in (samples, hidden, tar):
        assert index(place).wrote
    for _ in range(2):
        report = index(*(Path(root.path) for root in collection.catalog.roots()))
        assert (report.unchanged, report.wrote) == (6, False)


def test_rules_of_a_walk_hold_in_a_tar(collection: Collection, index: Build, samples: Path, tar: Path) -> None:
    paint(samples / ".hidden.png", "red")
    paint(samples / "@eaDir" / "system.png", "red")
    pack(tar, samples)
    index(tar, exclude=("more/*", "000000000.*"))
    assert ids(collection).keys() == {"000000001.jpg", "000000002.jpg"}


def test_only_plain_files_below_the_tar_are_members(tmp_path: Path) -> None:
    picture = paint(tmp_path / "red.png", "red").read_bytes()
    tar = tmp_path / "odd.tar"
    with tarfile.open(tar, "w") as archive:
        for name in ("./a.png", "../b.png", "/c.png", "d//e.png", "twice.png", "twice.png"):
            info = tarfile.TarInfo(name)
            info.size = len(picture)
            archive.addfile(info, io.BytesIO(picture))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"special-{kind!r}.png")
            info.type, info.linkname = kind, "../red.png"
            archive.addfile(info)
    listing = list_tar(str(tar))
    assert (list(listing.members), listing.problem) == (["a.png", "twice.png"], None)
    assert read_file(tar / "a.png") == picture
    assert stamp_of(f"{tar}/a.png") == (len(picture), tar.stat().st_mtime_ns)
    assert exists(f"{tar}/a.png")
    assert not exists(f"{tar}/b.png")
    assert not exists(f"{tar}/../red.png")


def test_any_bytes_are_listed_or_told_of(tmp_path: Path, tar: Path) -> None:
    whole, made = tar.read_bytes(), random.Random(0)
    for number in range(300):
        data = bytearray(whole[: made.randrange(1, len(whole))] if number % 3 == 0 else whole)
        for _ in range(made.randrange(1, 30)):
            data[made.randrange(min(len(data), 1024 if number % 2 else len(data)))] = made.randrange(256)
        file = tmp_path / f"{number}.tar"
        file.write_bytes(data)
        listing = list_tar(str(file))
        assert listing.members or listing.problem or not bytes(data).strip(b"\0")


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """The block of a header, whatever its size says."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def entry(kind: bytes, body: bytes) -> bytes:
    return header("before.png", len(body), kind) + body.ljust(-(-len(body) // 512) * 512, b"\0")


def listed_behind_a_file(tmp_path: Path, data: bytes) -> str:
    """What is wrong with a tar of one good file, the data and another good file, of which the first can be read."""
    tar = tmp_path / "odd.tar"
    tar.write_bytes(entry(tarfile.REGTYPE, b"a") + data + entry(tarfile.REGTYPE, b"b") + bytes(1024))
    listing = list_tar(str(tar))
    assert list(listing.members) == ["before.png"]
    assert listing.members["before.png"].offset == 512
    assert str(listing.problem).startswith("not a whole tar file, 1 files can be read: ")
    return str(listing.problem)


@pytest.mark.parametrize(
    "data",
    [
        header("n.png", -512),
        header("n.png", -1024),
        header("n.png", -1024, tarfile.GNUTYPE_LONGNAME),
        entry(tarfile.XHDTYPE, b"14 size=-2048\n"),
        entry(tarfile.XGLTYPE, b"14 size=-2048\n"),
    ],
)
def test_a_size_below_0_ends_a_tar(tmp_path: Path, data: bytes) -> None:
    assert "below 0" in listed_behind_a_file(tmp_path, data)


@pytest.mark.parametrize(
    "data",
    [
        entry(tarfile.XHDTYPE, b"10 a=bcde\n") * 300,
        entry(tarfile.XGLTYPE, b"") * 300,
        entry(tarfile.GNUTYPE_LONGNAME, b"a") * 300,
        header("much", 6 * 1024**3, tarfile.XHDTYPE),
        header("much", 65_537, tarfile.GNUTYPE_LONGLINK),
    ],
)
def test_headers_of_one_file_that_take_too_much_end_a_tar(tmp_path: Path, data: bytes) -> None:
    assert "over the limit of 65,536" in listed_behind_a_file(tmp_path, data)


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"1" * 30_000, "30,000 digits in a row"), (b"2 " * 10_000 + b"a=\n", "ends before its value")],
)
def test_a_header_that_takes_long_to_read_ends_a_tar(tmp_path: Path, body: bytes, problem: str) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE):
        assert problem in listed_behind_a_file(tmp_path, entry(kind, body))


def test_a_tar_may_end_within_a_header(tmp_path: Path) -> None:
    tar, block = tmp_path / "cut.tar", bytearray(header("sparse.png", 512, tarfile.GNUTYPE_SPARSE))
    block[482] = 1  # more of the header is to follow
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * ord(" "))
    tar.write_bytes(entry(tarfile.REGTYPE, b"a") + block)
    listing = list_tar(str(tar))
    assert list(listing.members) == ["before.png"]
    assert listing.problem == "not a whole tar file, 1 files can be read: it ends within a header"


def test_long_names_are_read(tmp_path: Path) -> None:
    tar, names = tmp_path / "long.tar", [f"{'a' * 200}/" * 20 + end for end in ("b.png", "c.png")]
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tar, "w", format=kind, pax_headers={"comment": "of all" * 1000}) as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(name))
        listing = list_tar(str(tar))
        assert (list(listing.members), listing.problem) == (names, None)


def test_pages_show_pictures_out_of_a_tar(
    collection: Collection, index: Build, samples: Path, tar: Path, encoder: ColorEncoder
) -> None:
    index(tar)
    client = create_app([collection], lambda _model: encoder).test_client()
    image = client.get("/api/v1/search?q=red&k=1").get_json()["hits"][0]["image"]
    assert image["path"] == "000000000.jpg"
    size_bytes = (samples / "000000000.jpg").stat().st_size
    assert client.get(f"/api/v1/images/{image['id']}").get_json()["size_bytes"] == size_bytes
    with client.get(image["links"]["original"]) as answer:
        assert answer.data == (samples / "000000000.jpg").read_bytes()
        assert answer.headers["Content-Disposition"] == "inline; filename=000000000.jpg"
    assert client.get(image["links"]["thumbnails"][0]).mimetype == "image/webp"
    tar.unlink()
    gone = client.get(image["links"]["original"])
    assert (gone.status_code, str(tar) in gone.text) == (404, False)


def test_the_command_line_takes_tars_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, directory = tmp_path / "few", tmp_path / "collection"
    folder.mkdir()
    for file in sorted((PROJECT / "data" / "sample" / "odd").glob("*.jpg"))[:2]:
        shutil.copy(file, folder)
    tars = [str(pack(tmp_path / name, folder)) for name in ("00000.tar", "00001.TAR")]
    assert main(["build", *tars, "--model", "bundled", "--collection", str(directory)]) == 0
    assert "2 new, 2 copied" in capsys.readouterr().out
    assert main(["update", "--collection", str(directory)]) == 0
    assert "0 new, 4 unchanged" in capsys.readouterr().out
    assert main(["remove", tars[0], "--collection", str(directory)]) == 0
    assert main(["verify", "--collection", str(directory)]) == 0
    assert main(["build", str(next(folder.iterdir())), "--collection", str(directory)]) == 2
    assert "is a file; name its folder, or a tar file" in capsys.readouterr().err
