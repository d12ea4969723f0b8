"""What is fuzzed: a name -> what mutations begin with, and a function that any bytes may be given to.

The function lets nothing out but what is a finding: an error that the project does not document, or a result that
breaks a promise.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from indexer.build import Options, build
from indexer.caption_files import ALL, read_caption_file
from indexer.captions import MAX_CAPTION_LENGTH, MAX_CAPTIONS, read_captions
from indexer.described import read_row
from indexer.graded import read_judgments
from indexer.labels import labels_in
from indexer.rows import read_rows
from indexer.vectors import open_vectors, stored_rows
from search.collection import Collection
from search.errors import BadFilter, BadImport, BadPicture, BadQuery, ModelUnavailable
from search.expression import parse_conditions
from search.filters import Filter
from search.formats import of_config, read_open_clip
from search.image import decode_here
from search.query import ImageTerm, checked, parse, parse_text
from search.thumbnail import thumbnail
from search.types import Root
from search.weights import read_weights
from tests.colors import COLORS, ColorEncoder
from tests.fuzz import seeds
from web.app import create_app
from web.uploads import Uploads

Run = Callable[[bytes], None]

MAX_PIXELS = 1_000_000

PLACES = (
    *(f"json /api/v1/{name}" for name in ("search", "lookup", "embed", "classify", "score")),
    *(f"form /api/v1/{name}" for name in ("search", "lookup", "embed", "classify")),
    "form /search",
    "query /api/v1/search",
    "query /search",
)
"""How a body comes, and the address that it comes to."""


@dataclass(frozen=True, slots=True)
class Target:
    """`make` is given an empty folder for what the target needs, once."""

    seeds: Callable[[], Sequence[bytes]]
    make: Callable[[Path], Run]


def _images(_: Path) -> Run:
    def run(data: bytes) -> None:
        for variant in dict.fromkeys((data, _with_checksums(data))):
            for short_side in (None, 8):
                _decode(variant, short_side)

    return run


def _decode(data: bytes, short_side: int | None) -> None:
    try:
        picture = decode_here(data, max_pixels=MAX_PIXELS, short_side=short_side, room=lambda *_: nullcontext())
    except BadPicture as error:
        reason = str(error)
        assert 0 < len(reason) < 250
        assert "\n" not in reason
        return
    facts = picture.facts
    assert picture.image.mode == "RGB"
    assert 0 < picture.image.width * picture.image.height <= MAX_PIXELS
    assert facts.width > 0
    assert facts.height > 0
    for text in (facts.camera, facts.lens, facts.caption):
        assert text is None or (text == " ".join(text.split()) and text.encode())
    assert facts.latitude is None or -90 <= facts.latitude <= 90
    assert facts.longitude is None or -180 <= facts.longitude <= 180
    for encoding in ("WEBP", "JPEG"):
        small = Image.open(io.BytesIO(thumbnail(picture.image, 16, encoding=encoding)))  # type: ignore[arg-type]
        assert max(small.size) <= 16


def _with_checksums(data: bytes) -> bytes:
    """A PNG with the checksum that each chunk should have; without, a mutation ends there."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    mended, place = bytearray(data), 8
    while place + 12 <= len(mended):
        behind = place + 8 + int.from_bytes(mended[place : place + 4])
        if behind + 4 > len(mended):
            break
        mended[behind : behind + 4] = zlib.crc32(mended[place + 4 : behind]).to_bytes(4)
        place = behind + 4
    return bytes(mended)


def _filters(folder: Path) -> Run:
    catalog = three_pictures(folder).catalog

    def run(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        try:
            conditions = parse_conditions(text)
            assert parse_conditions(" ".join(map(str, conditions))) == conditions
            catalog.matching(Filter(conditions), "images")
        except BadFilter as error:
            assert len(str(error)) < 1_000

    return run


def _queries(_: Path) -> Run:
    def run(data: bytes) -> None:
        text = data.decode("utf-8", "surrogateescape")
        uploads = (b"one", b"two")
        for read in (lambda: parse(text.split("\n")), lambda: parse_text(text, uploads)):
            try:
                terms = checked(read())
            except BadQuery:
                continue
            assert all(
                term.source in uploads
                for term in terms
                if isinstance(term, ImageTerm) and isinstance(term.source, bytes)
            )

    return run


def _vectors(folder: Path) -> Run:
    file = folder / "vectors.npy"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        with suppress(BadQuery):
            parse([str(file)])
        with suppress(BadImport):
            rows = open_vectors(file)
            if len(rows):
                stored_rows(rows, [0], file)

    return run


def _captions(folder: Path) -> Run:
    picture, stamps = folder / "a.jpg", itertools.count(1)

    def sidecar(name: str) -> Run:
        def read(data: bytes) -> None:
            (folder / name).write_bytes(data)
            os.utime(folder / name, ns=(0, next(stamps)))  # what was parsed is remembered by its time
            found = read_captions(str(picture), [name])
            assert len(found.captions) <= MAX_CAPTIONS
            assert all(0 < len(text) <= MAX_CAPTION_LENGTH and text.encode() for text in found.captions)

        return read

    def file(name: str, error: type[Exception], read: Callable[[Path], object]) -> Run:
        def run(data: bytes) -> None:
            (folder / name).write_bytes(data)
            try:
                read(folder / name)
            except error as refused:
                assert str(refused)

        return run

    readers = (
        *(sidecar(name) for name in ("a.txt", "a.json", "captions.json")),
        file("pairs", BadQuery, lambda path: (read_caption_file(path), read_caption_file(path, ALL))),
        file("labels.csv", BadQuery, lambda path: labels_in(None, path)),
        file("judgments", BadQuery, read_judgments),
        file("rows.json", BadImport, lambda path: [read_row(row, unnamed="x") for row in read_rows(path)]),
    )
    return _chosen(readers)


def _checkpoints(folder: Path) -> Run:
    weights = folder / "weights"

    def read(file: Path) -> None:
        try:
            read_weights(file)
        except ModelUnavailable as error:
            assert str(error)

    def raw(data: bytes) -> None:
        weights.write_bytes(data)
        read(weights)

    def shards(data: bytes) -> None:
        weights.write_bytes(b"{}")
        index = folder / "weights.index.json"
        index.write_bytes(data)
        read(index)

    def open_clip(data: bytes) -> None:
        (folder / "open_clip_config.json").write_bytes(data)
        with suppress(ModelUnavailable):
            read_open_clip(folder / "open_clip_config.json")

    def config(data: bytes) -> None:
        """The processor's part stands in the same file."""
        weights.write_bytes(b"{}")
        file = folder / "config.json"
        file.write_bytes(data)
        processor = folder / "preprocessor_config.json"
        processor.write_bytes(_inner(data, "preprocessor"))
        files = {"preprocessor_config.json": processor, "model.safetensors": weights}
        with suppress(ModelUnavailable):
            of_config("name", file, lambda *names: next((files[name] for name in names if name in files), None))

    readers = (
        raw,
        lambda data: raw(seeds.torchscript(data)),
        lambda data: raw(seeds.torch_save(data)),
        shards,
        open_clip,
        config,
    )
    return _chosen(readers)


def _inner(data: bytes, name: str) -> bytes:
    try:
        return json.dumps(json.loads(data)[name]).encode()
    except (ValueError, LookupError, TypeError, RecursionError):
        return b"{}"


def _bodies(folder: Path) -> Run:
    app = create_app([three_pictures(folder)], lambda _model: ColorEncoder(), uploads=Uploads(folder / "uploads"))
    app.testing = True  # what no handler knows comes out
    client = app.test_client()

    def asked(place: str) -> Run:
        kind, path = place.split()
        form = {"data": {}, "content_type": "multipart/form-data; boundary=x"}

        def run(data: bytes) -> None:
            if kind == "query":
                answer = client.get(path, environ_overrides={"QUERY_STRING": data.decode("latin-1")})
            else:
                content_type = "application/json" if kind == "json" else str(form["content_type"])
                answer = client.post(path, data=data, content_type=content_type)
            assert answer.status_code < 500, answer.text
            if path.startswith("/api/"):
                body = json.loads(answer.data, parse_constant=_no_json)
                assert (answer.status_code >= 400) == ("error" in body), answer.text

        return run

    return _chosen([asked(place) for place in PLACES])


def _no_json(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def _chosen(runs: Sequence[Run]) -> Run:
    """The first byte says which."""

    def run(data: bytes) -> None:
        if data:
            runs[data[0] % len(runs)](data[1:])

    return run


def three_pictures(folder: Path) -> Collection:
    """A collection of them by the color encoder."""
    encoder, photos = ColorEncoder(), folder / "photos"
    photos.mkdir()
    for name in ("red", "green", "blue"):
        Image.new("RGB", (24, 16), COLORS[name]).save(photos / f"{name}.png")
    collection, roots = Collection.create(folder / "collection", encoder.identity), [Root(str(photos))]
    with collection.writing():
        collection.catalog.follow(roots)
        build(collection, roots, lambda: encoder, options=Options(), progress=lambda *_: None, stop=threading.Event())
    return collection


TARGETS = {
    "images": Target(seeds.images, _images),
    "filters": Target(lambda: seeds.FILTERS, _filters),
    "queries": Target(lambda: seeds.QUERIES, _queries),
    "vectors": Target(seeds.vectors, _vectors),
    "captions": Target(seeds.captions, _captions),
    "checkpoints": Target(seeds.checkpoints, _checkpoints),
    "bodies": Target(lambda: seeds.bodies(PLACES), _bodies),
}
