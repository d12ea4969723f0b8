"""Builds of folders that change between them: what is counted, what the model sees, what is kept."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer import say
from indexer.build import Options, build
from indexer.report import Report
from search.background import BACKGROUND_TEXTS
from search.collection import Collection
from search.errors import CollectionBusy
from search.searcher import Searcher
from search.types import Root
from search.verify import verify
from tests.colors import ColorEncoder
from tests.conftest import Build, paint

pytestmark = pytest.mark.storages


def paths(collection: Collection) -> list[str]:
    return [Path(path).name for path in collection.catalog.paths()]


def files_of(collection: Collection) -> dict[str, tuple[bytes, int]]:
    """The bytes and times of everything that a build may write; the lock is none of it."""
    files = [file for file in collection.directory.iterdir() if file.suffix not in (".lock", ".sqlite-shm")]
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_a_first_build_indexes_every_picture(collection: Collection, index: Build, photos: Path) -> None:
    report = index(photos)
    assert (report.new, report.failed, report.encoded) == (3, 0, 3)
    assert paths(collection) == ["green.bmp", "red.png", "blue.webp"]
    assert verify(collection).clean


@pytest.mark.parametrize(
    ("seconds", "limit", "told"),
    [
        pytest.param((3.0, 1.0, 1.0), "decode", True, id="waits for pictures"),
        pytest.param((2.0, 1.0, 1.5), "decode", False, id="waits less than half of the time"),
        pytest.param((1.0, 3.0, 1.0), "encode", False, id="encodes"),
        pytest.param((0.1, 0.2, 0.3), "write", False, id="writes"),
    ],
)
def test_a_report_names_the_stage_that_limits_and_a_gpu_that_waits(
    seconds: tuple[float, float, float], limit: str, told: bool
) -> None:
    wait, encode, write = seconds
    report = Report(encoded=1, seconds=5.0, wait_seconds=wait, encode_seconds=encode, write_seconds=write)
    assert report.to_dict()["limit"] == limit
    assert "the GPU waited" not in say.report(report)
    report.on_gpu = True
    assert ("the GPU waited" in say.report(report)) is told


def test_a_report_tells_whether_the_model_was_on_a_gpu(
    index: Build, photos: Path, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "on_gpu", True)
    assert index(photos).on_gpu
    assert not index(photos).on_gpu  # nothing changed: no model was needed


def test_a_second_build_with_nothing_changed_runs_no_model_and_writes_nothing(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    (photos / "red.txt").write_text("red\n")
    index(photos)
    before, encoded = files_of(collection), encoder.encoded
    report = index(photos)
    assert files_of(collection) == before
    assert encoder.encoded == encoded
    assert (report.unchanged, report.wrote) == (4, False)


def test_a_folder_renamed_wholesale_runs_no_model_and_keeps_its_ids(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder, searcher: Searcher
) -> None:
    (photos / "red.txt").write_text("a red thing\n")
    index(photos)
    red, encoded, texts = searcher.by_text("red")[0], encoder.encoded, len(encoder.texts)
    renamed = photos.rename(photos.with_name("pictures"))
    report = index(renamed)
    assert (report.moved, report.encoded) == (3, 0)
    assert encoder.encoded == encoded
    assert len(encoder.texts) == texts
    assert searcher.by_text("red")[0].id == red.id
    assert searcher.by_text("red")[0].path == renamed / "red.png"
    assert verify(collection).clean


def test_a_copy_reuses_the_vector_and_is_a_row_of_its_own(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    index(photos)
    shutil.copy(photos / "red.png", photos / "trip" / "red again.png")
    report = index(photos)
    assert (report.copied, report.new, encoder.encoded) == (1, 0, 3)
    assert len(paths(collection)) == 4


def test_two_copies_in_one_build_are_encoded_once(index: Build, photos: Path, encoder: ColorEncoder) -> None:
    shutil.copy(photos / "red.png", photos / "red2.png")
    report = index(photos)
    assert (report.new, report.copied, encoder.encoded) == (3, 1, 3)


def test_a_deleted_file_leaves(collection: Collection, index: Build, photos: Path, searcher: Searcher) -> None:
    index(photos)
    (photos / "red.png").unlink()
    assert index(photos).removed == 1
    assert "red.png" not in [hit.path.name for hit in searcher.by_text("red")]
    assert verify(collection).clean


def test_a_changed_file_is_embedded_again_under_a_new_id(
    collection: Collection, index: Build, photos: Path, searcher: Searcher
) -> None:
    index(photos)
    old = searcher.by_text("red")[0]
    paint(photos / "red.png", "cyan", (30, 20))
    report = index(photos)
    new = searcher.by_text("cyan")[0]
    assert (report.changed, report.encoded) == (1, 1)
    assert new.path == old.path and new.id != old.id
    assert verify(collection).clean


def test_a_touched_file_costs_a_hash_and_keeps_its_row(index: Build, photos: Path, searcher: Searcher) -> None:
    index(photos)
    before = searcher.by_text("red")[0]
    os.utime(photos / "red.png", ns=(1, 1))
    assert index(photos).encoded == 0
    assert searcher.by_text("red")[0] == before


def test_a_chain_of_renames_runs_no_model(collection: Collection, index: Build, photos: Path) -> None:
    index(photos)
    (photos / "red.png").rename(photos / "keep.png")
    (photos / "green.bmp").rename(photos / "red.png")
    (photos / "keep.png").rename(photos / "green.bmp")
    assert index(photos).encoded == 0
    assert verify(collection).clean
    assert len(paths(collection)) == 3


def test_contents_swapped_across_batches_are_not_lost(collection: Collection, index: Build, photos: Path) -> None:
    index(photos)
    red, blue = (photos / "red.png").read_bytes(), (photos / "trip" / "blue.webp").read_bytes()
    (photos / "red.png").write_bytes(blue)
    (photos / "trip" / "blue.webp").write_bytes(red)
    index(photos, batch_size=1)
    assert index(photos).wrote is False
    assert len(paths(collection)) == 3
    assert verify(collection).clean


def test_a_bad_file_is_recorded_and_shifts_nothing(
    collection: Collection, index: Build, photos: Path, searcher: Searcher
) -> None:
    (photos / "a.jpg").write_bytes(b"no picture at all")
    (photos / "m.png").write_bytes((photos / "red.png").read_bytes()[:40])
    report = index(photos, batch_size=2)
    assert (report.new, report.failed) == (3, 2)
    assert [Path(path).name for path, _, _ in collection.catalog.failures()] == ["a.jpg", "m.png"]
    for color in ("red", "green", "blue"):
        assert searcher.by_text(color)[0].path.stem == color


def test_a_bad_file_is_tried_again_when_it_changes_and_then_forgotten(
    collection: Collection, index: Build, photos: Path
) -> None:
    (photos / "late.png").write_bytes(b"half a")
    index(photos)
    assert index(photos).failed == 0
    paint(photos / "late.png", "yellow")
    assert index(photos).new == 1
    assert collection.catalog.failures() == []


def test_a_deleted_bad_file_is_forgotten(collection: Collection, index: Build, photos: Path) -> None:
    (photos / "bad.png").write_bytes(b"bad")
    index(photos)
    (photos / "bad.png").unlink()
    index(photos)
    assert collection.catalog.failures() == []


def test_a_picture_moved_over_a_bad_file_ends_its_failure(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    (photos / "bad.png").write_bytes(b"bad")
    index(photos)
    (photos / "red.png").replace(photos / "bad.png")
    report = index(photos)
    assert (report.moved, encoder.encoded) == (1, 3)
    assert collection.catalog.failures() == []


def test_a_picture_that_turned_bad_leaves(collection: Collection, index: Build, photos: Path) -> None:
    index(photos)
    (photos / "red.png").write_bytes(b"overwritten")
    report = index(photos)
    assert report.failed == 1
    assert "red.png" not in paths(collection)
    assert verify(collection).clean


def test_the_pixel_limit_refuses_and_a_larger_one_takes_it(collection: Collection, index: Build, photos: Path) -> None:
    paint(photos / "large.png", "yellow", (200, 100))
    assert index(photos, max_pixels=10_000).failed == 1
    ((_, reason, _),) = collection.catalog.failures()
    assert "--max-megapixels" in reason
    assert index(photos, max_pixels=10_000).failed == 0
    assert index(photos, max_pixels=20_000).new == 1


def test_captions_come_from_beside_the_picture_and_follow_it(
    collection: Collection, index: Build, photos: Path, searcher: Searcher, encoder: ColorEncoder
) -> None:
    (photos / "red.txt").write_text("red one\nred two\n")
    index(photos)
    (photos / "red.txt").write_text("red one\nred three\n")
    os.utime(photos / "red.txt", ns=(2, 2))
    encoder.texts.clear()
    report = index(photos)
    assert (report.recaptioned, report.encoded) == (1, 0)
    assert encoder.texts == ["red three"]
    texts = [hit.text for hit in searcher.by_text("red", target="texts")]
    assert sorted(texts) == ["red one", "red three"]
    (photos / "red.txt").unlink()
    index(photos)
    assert searcher.by_text("red", target="texts") == []
    assert verify(collection).clean


def test_a_stop_finishes_the_batch_in_hand_and_the_next_build_goes_on(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    for number in range(40):
        paint(photos / f"{number:02}.png", "red", (10 + number, 10))
    stop = threading.Event()
    encode = encoder.encode_batches

    def encode_one_batch(batches):  # type: ignore[no-untyped-def]
        for rows in encode(batches):
            stop.set()
            yield rows

    encoder.encode_batches = encode_one_batch  # type: ignore[method-assign]
    report = index(photos, batch_size=4, stop=stop)
    assert report.interrupted
    assert 4 <= report.new <= 8
    assert verify(collection).clean
    encoder.encode_batches = encode  # type: ignore[method-assign]
    assert index(photos).new == 43 - report.new
    assert encoder.encoded == 43


def test_a_long_build_publishes_as_it_goes(collection: Collection, index: Build, photos: Path) -> None:
    index(photos, batch_size=1, publish_seconds=0)
    assert collection.catalog.state().generation > 1


def test_a_root_that_shows_nothing_keeps_its_images(collection: Collection, index: Build, photos: Path) -> None:
    index(photos)
    photos.rename(photos.with_name("unmounted"))
    photos.mkdir()
    report = index(photos)
    assert report.removed == 0
    assert "in case a disk is missing" in report.unreadable[str(photos)]
    assert len(paths(collection)) == 3


def test_rows_under_a_folder_that_cannot_be_read_are_kept(
    collection: Collection, index: Build, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(photos)
    scandir = os.scandir

    def refuse_trip(folder: str) -> object:
        if folder.endswith("trip"):
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse_trip)  # a test may run as root, whom no permission stops
    report = index(photos)
    assert report.unreadable == {str(photos / "trip"): "Permission denied"}
    assert "blue.webp" in paths(collection)


def test_a_second_writer_is_refused_and_told_who_the_first_is(collection: Collection) -> None:
    with collection.writing(), pytest.raises(CollectionBusy, match=f"process {os.getpid()}"), collection.writing():
        pass


def test_vectors_equal_the_encoders_own(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder, searcher: Searcher
) -> None:
    index(photos, batch_size=2)
    for hit in searcher.by_text("red"):
        with Image.open(hit.path) as image:
            (expected,) = encoder.encode_images([image.convert("RGB")])
        assert collection.catalog.stored("images", [hit.id])[hit.id] == pytest.approx(expected, abs=1e-3)


def test_many_workers_and_small_batches_keep_every_row_with_its_picture(
    collection: Collection, index: Build, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    colors = np.random.default_rng(0).integers(0, 256, (120, 3))
    for number, color in enumerate(colors):
        Image.new("RGB", (8, 8), tuple(int(value) for value in color)).save(folder / f"{number}.png")
    index(folder, batch_size=7, workers=6)
    for path, row in collection.catalog.known_files(str(folder)).items():
        vector = collection.catalog.stored("images", [row.id])[row.id]
        color = np.append(colors[int(Path(path).stem)] / 255, 0.2)
        assert vector == pytest.approx(color / np.linalg.norm(color), abs=2e-3)


def test_a_bad_caption_file_is_told_of_once_and_stops_nothing(index: Build, photos: Path) -> None:
    (photos / "captions.json").write_text("{not json")
    (photos / "red.txt").write_text("a red thing\n")
    report = index(photos)
    assert report.new == 3
    (problem,) = report.bad_captions
    assert problem.startswith(str(photos / "captions.json"))


def test_a_picture_with_too_many_captions_is_named(index: Build, photos: Path) -> None:
    (photos / "red.txt").write_text("\n".join(map(str, range(1_234))))
    report = index(photos)
    assert list(report.bad_captions) == [f"{photos}/red.png: 1,234 captions, only the first 100 are kept"]


def test_progress_counts_every_file_read_up_to_the_last(
    collection: Collection, photos: Path, encoder: ColorEncoder
) -> None:
    (photos / "broken.jpg").write_bytes(b"no picture")
    seen = []
    with collection.writing():
        build(
            collection,
            [Root(str(photos))],
            lambda: encoder,
            options=Options(batch_size=2),
            progress=lambda report, done, total: seen.append((report.new + report.failed, done, total)),
            stop=threading.Event(),
        )
    assert seen[-1] == (4, 4, 4)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_build_leaves_the_texts_that_indexes_are_measured_with(
    collection: Collection, index: Build, photos: Path, encoder: ColorEncoder
) -> None:
    index(photos)
    assert np.array_equal(collection.background(), encoder.encode_texts(BACKGROUND_TEXTS))


def test_what_is_excluded_stays_so_when_a_folder_within_is_built(
    collection: Collection, index: Build, photos: Path
) -> None:
    paint(photos / "trip" / "far" / "cyan.png", "cyan")
    paint(photos / "trip" / "black.png", "black")
    index(photos, exclude=("trip/far",))
    assert index(photos / "trip", exclude=("bla*",)).removed == 1
    assert paths(collection) == ["green.bmp", "red.png", "blue.webp"]
    assert not index(photos).wrote
