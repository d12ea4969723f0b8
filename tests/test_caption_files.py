"""Captions as data sets publish them, told apart by content, with everything wrong named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from indexer.caption_files import read_caption_file
from search.errors import BadQuery

WANTED = {"dog.jpg": ["a dog", "a wet dog"], "cat.jpg": ["a cat, asleep"]}

COCO = {
    "info": {},
    "images": [
        {"id": 7, "file_name": "dog.jpg"},
        {"id": 8, "file_name": "cat.jpg"},
        {"id": 9, "file_name": "none.jpg"},
    ],
    "annotations": [
        {"image_id": 7, "id": 1, "caption": "a dog"},
        {"image_id": 8, "id": 2, "caption": "a cat, asleep\n"},
        {"image_id": 7, "id": 3, "caption": "a wet  dog"},
    ],
}


def karpathy(name: str, split: str, *captions: str, **more: str) -> dict[str, Any]:
    return {"filename": name, "split": split, "sentences": [{"raw": text, "tokens": []} for text in captions], **more}


KARPATHY = {
    "dataset": "flickr8k",
    "images": [
        karpathy("dog.jpg", "test", "a dog", "a wet dog"),
        karpathy("cat.jpg", "test", "a cat, asleep"),
        karpathy("elk.jpg", "train", "an elk", filepath="train2014"),
    ],
}

FORMATS = {
    "COCO's JSON": json.dumps(COCO),
    "Karpathy's JSON, split test": json.dumps(KARPATHY, indent=1),
    "JSON of captions by file name": json.dumps({"dog.jpg": ["a dog", "a wet dog"], "cat.jpg": "a cat, asleep"}),
    "Flickr token file": "dog.jpg#0\ta dog\r\ndog.jpg#1\ta wet dog\r\n\r\ncat.jpg#0\ta cat, asleep\r\n",
    "CSV": 'image,caption\ndog.jpg,a dog\ncat.jpg,"a cat,\nasleep"\ndog.jpg,a wet dog\n',
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "no suffix tells"


@pytest.mark.parametrize(("kind", "text"), FORMATS.items(), ids=list(FORMATS))
def test_every_format_is_told_by_its_content(file: Path, kind: str, text: str) -> None:
    for mark in ("", "\ufeff"):
        file.write_bytes((mark + text).encode())
        read = read_caption_file(file)
        assert (read.format, read.captions, read.empty) == (kind, WANTED, 0)


def test_columns_have_the_names_and_delimiters_of_the_published_files(file: Path) -> None:
    file.write_text('image_name| comment_number| comment\ndog.jpg| 0| "A" dog .\ndog.jpg| 1|" two\n')
    assert read_caption_file(file).captions == {"dog.jpg": ['"A" dog .', '" two']}
    file.write_text("title\tfilepath\na dog\tin/dog.jpg\n")
    assert read_caption_file(file).captions == {"in/dog.jpg": ["a dog"]}


def test_a_split_of_karpathys_is_chosen(file: Path) -> None:
    file.write_text(json.dumps(KARPATHY))
    assert read_caption_file(file, "train").captions == {"train2014/elk.jpg": ["an elk"]}
    assert list(read_caption_file(file, "all").captions) == ["dog.jpg", "cat.jpg", "train2014/elk.jpg"]
    with pytest.raises(BadQuery, match=r"no split 'val'; there are: test \(2 pictures\), train \(1 p.*, and all"):
        read_caption_file(file, "val")
    for text in (json.dumps(COCO), FORMATS["CSV"], FORMATS["Flickr token file"]):
        file.write_text(text)
        with pytest.raises(BadQuery, match="has no splits; leave --split test out"):
            read_caption_file(file, "test")


def test_captions_without_a_word_are_counted(file: Path) -> None:
    file.write_text("image,caption\ndog.jpg,a dog\ndog.jpg,  \ncat.jpg,\n")
    read = read_caption_file(file)
    assert (read.captions, read.empty) == ({"dog.jpg": ["a dog"]}, 2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no known format; the first line of CSV names the columns image"),
        ("picture,caption\n", "no known format"),
        ("image,caption\n", "holds no captions"),
        ("image,caption\ndog.jpg,a, dog\n", "line 2: 3 values, the header has 2"),
        ("image,caption\n,a dog\n", "line 2: no picture is named"),
        ("dog.jpg#0\ta dog\ncat.jpg a cat\n", "line 2: not of the form NAME#NUMBER"),
        ('{"images": [', "is not JSON: Expecting value in line 1"),
        ("[" * 100_000, "too deep"),
        ("[1]", "is a JSON list"),
        ('{"dog.jpg": [1]}', "1 in place of a text"),
        ('{"dog.jpg": 1}', "has not the fields"),
        ('{"images": [{}]}', "has not the fields of COCO's or Karpathy's JSON: KeyError('split')"),
        ('{"images": [{"id": 1}], "annotations": []}', "KeyError('file_name')"),
        ('{"images": [], "annotations": [{"image_id": 3, "caption": "a"}]}', "1 captions are of images that it does"),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1}]}', "KeyError('caption')"),
        ('{"images": []}', "no split 'test'"),
        ("{}", "holds no captions"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(BadQuery) as error:
        read_caption_file(file)
    assert told in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(BadQuery, match="cannot be read: No such file"):
        read_caption_file(file)
    file.write_bytes(b"image,caption\ndog.jpg,\xff\n")
    with pytest.raises(BadQuery, match="not UTF-8 text: byte 22"):
        read_caption_file(file)
