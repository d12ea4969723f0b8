"""Images that share keypoints with a picture are found by votes, whatever the model makes of them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from benchmarks.edits import screenshot
from indexer.bench_pictures import picture
from search.changes import Changes, FileStamp, NewImage
from search.collection import Collection
from search.errors import CollectionError
from search.keypoint_index import LEAST_CELLS, KeypointIndex
from search.local_features import Features, mirrored, query_features, record_of, unpacked
from search.lookup import by_image
from search.searcher import Searcher
from search.types import Facts
from search.verify import repair, verify
from tests.colors import ColorEncoder
from tests.conftest import Build
from tests.test_same_picture import sent

MANY = LEAST_CELLS // 64 + 10


def made(seed: int) -> Image.Image:
    return picture(np.random.default_rng(seed), (128, 96))


def both(features: Features) -> tuple[Features, Features]:
    return features, mirrored(features)


def add(collection: Collection, records: dict[int, bytes]) -> None:
    """Rows with these records and any vector, named by their numbers."""
    rows = [
        NewImage(
            FileStamp(f"/{number}.png", 1, 1),
            b"%d" % number,
            Facts(1, 1, "PNG"),
            np.eye(4, dtype=np.float32)[0],
            features=record,
        )
        for number, record in records.items()
    ]
    collection.catalog.apply(Changes(added=rows))


@pytest.fixture(scope="module")
def records() -> dict[int, bytes]:
    """By ids as a new catalog gives them."""
    return {number: record_of(made(number), 64) for number in range(1, MANY + 1)}


def test_votes_are_those_of_comparing_all_descriptors(collection: Collection, records: dict[int, bytes]) -> None:
    few = {number: records[number] for number in range(1, 6)}
    add(collection, few)
    query, reflected = both(query_features(made(3)))
    (votes,) = KeypointIndex.of(collection.catalog.features).votes([(query, reflected)], 10, 0)
    expected: dict[tuple[int, bool], float] = {}
    descriptors = [(number, row) for number, record in few.items() for row in unpacked(record).descriptors]
    rows = np.stack([row for _, row in descriptors])
    for flipped, side in ((False, query), (True, reflected)):
        for keypoint in side.descriptors:
            distances = ((rows - keypoint) ** 2).sum(axis=1)
            nearest = np.argsort(distances, kind="stable")[:8]
            for place in nearest:
                key = descriptors[place][0], flipped
                rare = 1 - distances[place] / distances[nearest[-1]]
                weight = max(rare, 0.15 * (1 - distances[place] / 0.25))
                expected[key] = expected.get(key, 0) + weight
    assert votes[0].image_id == 3
    for vote in votes:
        assert vote.weight == pytest.approx(expected[vote.image_id, vote.flipped], rel=1e-3)
        assert vote.weight >= expected[vote.image_id, not vote.flipped] - 1e-3


def test_of_many_images_the_right_one_has_most_votes_from_the_side_it_is_seen_from(
    collection: Collection, records: dict[int, bytes], tmp_path: Path
) -> None:
    add(collection, records)
    index = KeypointIndex.of(collection.catalog.features)
    numbers = range(1, MANY, 16)
    pictures = [both(query_features(made(number))) for number in numbers]
    pictures += [both(query_features(ImageOps.mirror(made(number)))) for number in numbers]
    found = index.votes(pictures, 5, 1.0)
    assert [(votes[0].image_id, votes[0].flipped) for votes in found] == [
        (number, flipped) for flipped in (False, True) for number in numbers
    ]
    (alone,) = index.votes(pictures[:1], 5, 1.0)
    assert [vote._replace(weight=0) for vote in alone] == [vote._replace(weight=0) for vote in found[0]]
    assert [vote.weight for vote in alone] == pytest.approx([vote.weight for vote in found[0]], rel=1e-5)
    seal = index.save(tmp_path / "keypoints.faiss")
    assert KeypointIndex.open(tmp_path / "keypoints.faiss", seal).votes(pictures[:1], 5, 1.0) == [alone]


@pytest.mark.parametrize("count", [5, MANY], ids=["without cells", "with cells"])
def test_an_index_follows_what_comes_and_goes(
    collection: Collection, records: dict[int, bytes], count: int, tmp_path: Path
) -> None:
    add(collection, {number: records[number] for number in range(1, count)})
    seal = KeypointIndex.of(collection.catalog.features).save(tmp_path / "keypoints.faiss")
    collection.catalog.apply(Changes(removed=[2, 3]))
    add(collection, {count: records[count]})
    last = KeypointIndex.open(tmp_path / "keypoints.faiss", seal, mapped=False)
    index = KeypointIndex.of(collection.catalog.features, last)
    assert index.image_ids().tolist() == [1, *range(4, count + 1)]
    new, gone = index.votes([both(query_features(made(number))) for number in (count, 2)], 5, 0)
    assert new[0].image_id == count
    assert 2 not in {vote.image_id for vote in gone}


def test_a_picture_without_keypoints_votes_for_nothing(collection: Collection, records: dict[int, bytes]) -> None:
    plain = both(query_features(Image.new("RGB", (64, 64), "red")))
    index = KeypointIndex.of(collection.catalog.features)
    assert index.votes([plain, both(query_features(made(1)))], 5, 0) == [[], []]
    add(collection, {1: records[1]})
    assert KeypointIndex.of(collection.catalog.features, index).votes([plain], 5, 0) == [[]]


def test_a_frame_that_many_share_does_not_hide_the_picture_in_it_nor_do_its_own_copies(
    collection: Collection, records: dict[int, bytes]
) -> None:
    """Thirty screenshots have keypoints in common with the query, and twelve images all of them."""
    framed = {number: record_of(screenshot(made(number), random.Random(number)), 64) for number in range(50, 80)}
    copies = {100 + number: records[2] for number in range(12)}
    add(collection, {number: records[number] for number in range(1, 40)} | framed | copies)
    index = KeypointIndex.of(collection.catalog.features)
    in_frame, copied = index.votes(
        [both(query_features(screenshot(made(7), random.Random(7)))), both(query_features(made(2)))], 5, 2.0
    )
    assert 7 in {vote.image_id for vote in in_frame}
    assert {vote.image_id for vote in copied} <= {2, *range(70, 82)}  # the ids of rows that were added last
    assert len(copied) == 5


def test_an_edit_is_found_that_the_model_puts_far_away(
    searcher: Searcher, tmp_path: Path, index: Build, encoder: ColorEncoder
) -> None:
    """The encoder sees colors only, and all but one of the images have those of the query."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(1, 20):
        Image.blend(made(number), Image.new("RGB", (128, 96), "red"), 0.7).save(folder / f"{number}.png")
    made(20).save(folder / "20.png")
    index(folder)
    query = Image.blend(made(20).rotate(90, expand=True), Image.new("RGB", (96, 128), "red"), 0.7)
    nearest = {hit.path.name for hit in searcher.by_image(sent(query), k=10)}
    assert "20.png" not in nearest
    first = by_image(searcher, sent(query), k=3)[0]
    assert (first.verdict, first.hit.path.name) == ("edited", "20.png")
    assert first.hit.score == pytest.approx(
        float(encoder.encode_images([query])[0] @ encoder.encode_images([made(20)])[0]), abs=2e-3
    )


def test_what_an_older_release_published_gets_its_index_with_the_next_build(
    collection: Collection, tmp_path: Path, index: Build
) -> None:
    made(1).save(tmp_path / "1.png")
    index(tmp_path)
    state, known = collection.catalog.state(), collection.published()
    del known.seals["keypoints"]
    collection.catalog.publish(state.generation, state.changes, known.to_dict())
    assert Collection.open(collection.directory).keypoints() is not None, "nothing says that it is damaged"
    live_file(collection).unlink()
    reopened = Collection.open(collection.directory)
    assert reopened.keypoints() is None
    index(tmp_path)
    assert "keypoints" in collection.published().seals
    found = reopened.keypoints()
    assert found is not None
    assert found.image_ids().tolist() == [1]


@pytest.fixture
def published(collection: Collection, records: dict[int, bytes]) -> Collection:
    """With cells, and with an index of the vectors too."""
    add(collection, records)
    collection.publish()
    return collection


def live_file(collection: Collection) -> Path:
    return collection.index_file("keypoints", collection.catalog.state().generation)


def test_no_bit_of_the_file_changes_unnoticed(published: Collection) -> None:
    file, chance = live_file(published), random.Random(0)
    whole = file.read_bytes()
    for bit in chance.sample(range(8 * len(whole)), 50):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        with pytest.raises(CollectionError, match=r"keypoints-.* is damaged .* its checksum is another"):
            Collection.open(published.directory).keypoints()
    file.write_bytes(whole)
    assert verify(Collection.open(published.directory)).clean


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing"])
def test_a_damaged_index_is_named_and_made_again(published: Collection, damage: str) -> None:
    file = live_file(published)
    whole = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(whole[:100])
        case "flipped":  # in the codes, which FAISS reads whatever they are
            file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        case "missing":
            file.unlink()
    reopened = Collection.open(published.directory)
    with pytest.raises(CollectionError, match=r"verify --repair makes it again"):
        reopened.keypoints()
    findings = verify(published)
    assert len(findings.indexes) == 1, "an index that was open is read again"
    assert file.name in findings.indexes[0] or damage == "missing"
    repair(reopened, findings)
    assert verify(reopened).clean


def test_what_is_published_next_carries_no_damage_on(published: Collection, records: dict[int, bytes]) -> None:
    file = live_file(published)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = Collection.open(published.directory)
    add(again, {MANY + 1: records[1]})
    again.publish()
    sound = KeypointIndex.of(again.catalog.features)
    picture = both(query_features(made(5)))
    live = again.keypoints()
    assert live is not None
    assert live.image_ids().tolist() == list(range(1, MANY + 2))
    assert live.votes([picture], 5, 0) == sound.votes([picture], 5, 0)
