"""A file of captions, as data sets publish them -> the captions of each picture; the format is told by the content."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from search.errors import BadQuery

TEST = "test"
ALL = "all"
"""The split of Karpathy's files that results are published on, and what stands for every split."""

PICTURE_COLUMNS = ("image", "image_name", "file_name", "filename", "file", "filepath", "path")
CAPTION_COLUMNS = ("caption", "comment", "text", "sentence", "title")
"""How the two columns of a CSV file may be called."""

Pair = tuple[str, str]
"""A picture's name and a caption."""

Pairs = list[Pair]

_DELIMITERS = ",\t;|"
_TOKEN = re.compile(r"(?P<name>[^\t]+?)#\d+\t(?P<caption>.*)")


@dataclass(frozen=True, slots=True)
class CaptionFile:
    """`captions` are by the picture's name as the file has it, which may begin with folders; pictures without one are
    not there. `empty` counts the captions without a word, which are left out.
    """

    format: str
    captions: dict[str, list[str]]
    empty: int


def read_caption_file(file: Path, split: str | None = None) -> CaptionFile:
    """Read COCO's or Karpathy's JSON, an object of captions by file name, Flickr's token file, or CSV with a header.

    `split` is for Karpathy's: "test" when it is None. Raises BadQuery naming what is wrong and where.
    """
    text = text_of(file)
    if text.lstrip()[:1] in ("{", "["):
        kind, pairs = _of_json(_parsed(file, text), file, split)
    elif split is not None:
        raise BadQuery(f"{file} has no splits; leave --split {split} out")
    elif _TOKEN.fullmatch(text.lstrip().partition("\n")[0].rstrip("\r")):
        kind, pairs = "Flickr token file", list(_of_tokens(text, file))
    else:
        kind, pairs = "CSV", list(_of_csv(text, file))
    lines = [(str(PurePosixPath(name)), " ".join(caption.split())) for name, caption in pairs]
    captions: dict[str, list[str]] = {}
    for name, line in lines:
        if line:
            captions.setdefault(name, []).append(line)
    if not captions:
        raise BadQuery(f"{file} holds no captions")
    return CaptionFile(kind, captions, sum(not line for _, line in lines))


def text_of(file: Path) -> str:
    """The text of a file that a user names. Raises BadQuery."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadQuery(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadQuery(f"{file} is not UTF-8 text: byte {error.start} is wrong") from error


def table_of(text: str, file: Path, columns: Iterable[tuple[str, ...]]) -> Iterator[tuple[int, list[str]]]:
    """The line number of each row of a CSV file and its values in `columns`, of which each may have several names.

    The delimiter is the one under which the header has all columns. Raises BadQuery without one, and for a row with
    more or fewer values than the header.
    """
    heading = text.partition("\n")[0]
    for delimiter in _DELIMITERS:
        titles = [title.strip().strip('"').lower() for title in heading.split(delimiter)]
        places = [next((titles.index(name) for name in names if name in titles), None) for names in columns]
        if None not in places:
            return _rows(text, file, delimiter, [place for place in places if place is not None], len(titles))
    wanted = " and ".join(f"{names[0]} (or {', '.join(names[1:])})" if names[1:] else names[0] for names in columns)
    raise BadQuery(f"{file} is of no known format; the first line of CSV names the columns {wanted}")


def _rows(text: str, file: Path, delimiter: str, places: list[int], width: int) -> Iterator[tuple[int, list[str]]]:
    # Between bars, quotes are part of the text: Flickr30k is published so.
    quote = None if delimiter == "|" else '"'
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote)
    try:
        next(rows)
        for row in rows:
            if row and len(row) != width:
                raise BadQuery(f"{file}, line {rows.line_num}: {len(row)} values, the header has {width}")
            if row:
                yield rows.line_num, [row[place].strip() for place in places]
    except csv.Error as error:
        raise BadQuery(f"{file}, line {rows.line_num}: {error}") from error


def _of_csv(text: str, file: Path) -> Iterator[Pair]:
    for line, (name, caption) in table_of(text, file, (PICTURE_COLUMNS, CAPTION_COLUMNS)):
        if not name:
            raise BadQuery(f"{file}, line {line}: no picture is named")
        yield name, caption


def _of_tokens(text: str, file: Path) -> Iterator[Pair]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            found = _TOKEN.fullmatch(line.rstrip("\r"))
            if found is None:
                raise BadQuery(f"{file}, line {number}: not of the form NAME#NUMBER, a tab, a caption")
            yield found["name"], found["caption"]


def _parsed(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadQuery(f"{file} is not JSON: {error.msg} in line {error.lineno}") from error
    except (RecursionError, ValueError) as error:  # nested too deep; an integer of too many digits
        raise BadQuery(f"{file} is not JSON that can be read: too deep or a number too long") from error


def _of_json(value: Any, file: Path, split: str | None) -> tuple[str, Pairs]:
    try:
        if isinstance(value, dict) and "images" in value and "annotations" not in value:
            return f"Karpathy's JSON, split {split or TEST}", _of_karpathy(value["images"], file, split or TEST)
        if split is not None:
            raise BadQuery(f"{file} has no splits; leave --split {split} out")
        if isinstance(value, dict) and "images" in value:
            return "COCO's JSON", _of_coco(value, file)
        if isinstance(value, dict):
            return "JSON of captions by file name", _by_name(value)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadQuery(f"{file} has not the fields of COCO's or Karpathy's JSON: {error!r}") from error
    raise BadQuery(f"{file} is a JSON list; known are COCO's and Karpathy's objects, and captions by file name")


def _of_karpathy(images: list[dict[str, Any]], file: Path, split: str) -> Pairs:
    """Those of one split. Names have the folder (`filepath`) before them where the file tells it, as COCO's does."""
    sizes = Counter(image["split"] for image in images)
    chosen = [image for image in images if split in (ALL, image["split"])]
    if not chosen:
        known = ", ".join(f"{name} ({count:,} pictures)" for name, count in sizes.items())
        raise BadQuery(f"{file} has no split {split!r}; there are: {known}, and {ALL}")
    return [
        (f"{image.get('filepath', '')}/{image['filename']}".lstrip("/"), caption)
        for image in chosen
        for caption in [as_text(sentence["raw"]) for sentence in image["sentences"]]
    ]


def _of_coco(value: dict[str, Any], file: Path) -> Pairs:
    names = {image["id"]: as_text(image["file_name"]) for image in value["images"]}
    annotations = value["annotations"]
    if strays := [row["image_id"] for row in annotations if row["image_id"] not in names]:
        raise BadQuery(f"{file}: {len(strays):,} captions are of images that it does not list, first: id {strays[0]}")
    return [(names[row["image_id"]], as_text(row["caption"])) for row in annotations]


def _by_name(value: dict[str, Any]) -> Pairs:
    texts = {name: [found] if isinstance(found, str) else found for name, found in value.items()}
    return [(name, as_text(caption)) for name, found in texts.items() for caption in found]


def as_text(value: Any) -> str:
    """A text out of JSON. Raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} in place of a text")
    return value
