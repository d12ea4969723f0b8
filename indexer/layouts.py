"""A folder of an export, or of a public embedding set -> the files in it; a row of such a set -> one of ours, and back.

Embedding sets are laid out as clip-retrieval writes them (github.com/rom1504/clip-retrieval, clip_inference/writer.py):
`img_emb/img_emb_0.npy`, perhaps `text_emb/text_emb_0.npy`, and `metadata/metadata_0.parquet` with the columns
`image_path`, perhaps `caption`, and any others; then 1, 2 and so on. A row, its vector and that of its caption have the
same place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from indexer.described import write_row
from indexer.rows import COLUMNS, Row
from search.bulk import StoredImage
from search.errors import BadImport

SHARD_ROWS = 1_000_000
"""Rows of a shard, as clip-retrieval has them unless it is told otherwise."""

_OURS = {name: kind for name, kind in COLUMNS.items() if name not in ("path", "caption", "captions")}
SET_COLUMNS: dict[str, type] = {"image_path": str, "caption": str, "caption_inside": str, **_OURS}
"""What is written of an embedding set's row; the first two are clip-retrieval's.

`caption_inside` is the caption inside the picture's file, which a build keeps beside those of its caption files.
"""

_PARTS = {"img_emb": ".npy", "text_emb": ".npy", "metadata": ".parquet"}


@dataclass(frozen=True, slots=True)
class Files:
    """Where vectors (.npy) and rows are: of images, of their captions if any, and the encoder's identity if it is said.

    A row is for the vector at its place. The vectors of captions follow each other as the rows name these; in a shard
    of an embedding set (`of_set`) there is one for each row.
    """

    vectors: Path
    rows: Path
    texts: Path | None = None
    encoder: Path | None = None
    of_set: bool = False


def files_in(folder: Path) -> Files:
    """The files of an export; its rows are JSON unless there is parquet alone."""
    rows = [folder / f"image_rows{ending}" for ending in (".json", ".parquet")]
    found = next((file for file in rows if file.exists()), rows[0])
    return Files(folder / "image_vectors.npy", found, folder / "text_vectors.npy", folder / "encoder.json")


def is_set(folder: Path) -> bool:
    """Whether a part of an embedding set is there; empty folders are what an export that was stopped leaves."""
    return any(_numbered(folder, part) for part in _PARTS)


def shards_in(folder: Path) -> list[Files]:
    """The shards of an embedding set, by number. BadImport where parts of one are missing."""
    parts = {part: _numbered(folder, part) for part in _PARTS}
    images, texts, rows = parts.values()
    for part in ("img_emb", "metadata", *(["text_emb"] if texts else [])):
        if missing := sorted((images.keys() | rows.keys() | texts.keys()) - parts[part].keys()):
            raise BadImport(f"{folder} has no {part}/{part}_{missing[0]}{_PARTS[part]}, and other parts of that number")
    if not images:
        raise BadImport(f"{folder / 'img_emb'} has no img_emb_0.npy")
    encoder = folder / "encoder.json"
    said = encoder if encoder.exists() else None
    return [Files(images[number], rows[number], texts.get(number), said, of_set=True) for number in sorted(images)]


def new_shard(folder: Path, number: int, *, texts: bool) -> Files:
    """The files to write a shard to."""
    images, text, rows = (folder / part / f"{part}_{number}{ending}" for part, ending in _PARTS.items())
    return Files(images, rows, text if texts else None, of_set=True)


def own_row(row: Row, *, texts: bool) -> Row:
    """A row of an embedding set as one of ours. Its caption is searched where it has a vector, else only shown."""
    caption = row.get("caption") or None
    ours = {name: _whole(row.get(name)) if kind is int else row.get(name) for name, kind in _OURS.items()}
    shown = row.get("caption_inside") if texts else caption
    captions = {"captions": [caption] if caption and texts else None, "caption": shown}
    return {**ours, **captions, "path": row.get("image_path") or None}


def set_row(image: StoredImage, *, texts: bool) -> Row:
    """The image as a row of an embedding set: with its first caption, or without `texts` the one inside its file.

    Where captions are left out, nothing is said of the caption files' times: a build after an import reads these again.
    """
    own = write_row(image, captions=True)
    searched = image.captions[0][0] if image.captions else None
    stamp = own["captions_stamp"] if len(image.captions) <= 1 else None
    captions = {"caption": searched if texts else own["caption"], "caption_inside": own["caption"]}
    return {**own, **captions, "image_path": own["path"], "captions_stamp": stamp}


def _numbered(folder: Path, part: str) -> dict[int, Path]:
    """The files of a part by number, which may have leading zeros."""
    found: dict[int, Path] = {}
    for file in sorted((folder / part).glob(f"{part}_*{_PARTS[part]}")):
        number = file.stem.removeprefix(f"{part}_")
        if not (number.isascii() and number.isdigit()):
            raise BadImport(f"{file}: a file here is called {part}_ and its number, as {part}_0{_PARTS[part]}")
        if other := found.get(int(number)):
            raise BadImport(f"{other} and {file} have the same number")
        found[int(number)] = file
    return found


def _whole(value: Any) -> Any:
    """A number of a column with gaps, which pandas writes as floats and NaN."""
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else int(value) if value.is_integer() else value
