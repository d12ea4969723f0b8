"""Hits and lookups -> the lines that the command line writes: words, one JSON object, or bare paths."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from search.terminal import harmless
from search.types import Hit, TextLength

if TYPE_CHECKING:
    from search.lookup import Candidate
    from search.records import Tag

Form = Literal["words", "json", "paths"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The hits of a query, nearest first, with the tags of their images by id.

    `matched` and `length` are those of `search.searcher.Page`.
    """

    hits: list[Hit]
    tags: Mapping[int, Sequence[Tag]]
    matched: bool | None
    length: TextLength | None


def hit_lines(answer: Answer, form: Form) -> list[str]:
    if form == "paths":
        return [hit.location for hit in answer.hits]
    if form == "words":
        return [harmless(_hit(hit)) for hit in answer.hits]
    tags = answer.tags
    rows = [{**hit.to_dict(), "tags": [tag._asdict() for tag in tags.get(hit.image_id, ())]} for hit in answer.hits]
    return [json.dumps({"hits": rows}, indent=2)]


def remarks(answer: Answer, asked: Sequence[str]) -> list[str]:
    """What the hits themselves do not say; `asked` are the words of the query as they were typed."""
    length = answer.length
    said = []
    if length and length.truncated:
        said.append(f"the text has {length.tokens} tokens; the model reads the first {length.context} of them")
    if answer.hits and answer.matched is False:
        said.append("nothing here is a clear match; these are the nearest")
    for words in asked:
        if _names_a_file(words):
            said.append(f"{words} was searched for as words; the picture is ./{words}")
        elif words.startswith(("http://", "https://")):
            said.append(f"{words} was searched for as words; fetch the picture and give its path")
    return said


def lookup_lines(found: Mapping[Path, Sequence[Candidate]], form: Form) -> list[str]:
    """Of each file the images that are the same picture; in JSON every candidate."""
    same = {file: [one for one in candidates if one.is_same] for file, candidates in found.items()}
    if form == "paths":
        return [one.hit.location for candidates in same.values() for one in candidates]
    if form == "words":
        lines = (line for file, candidates in found.items() for line in _lookup(file, candidates, same[file]))
        return [harmless(line) for line in lines]
    rows = [
        {"file": str(file), "found": bool(same[file]), "candidates": [one.to_dict() for one in candidates]}
        for file, candidates in found.items()
    ]
    return [json.dumps({"lookups": rows}, indent=2)]


def _names_a_file(words: str) -> bool:
    """Whether a path was perhaps meant, without the beginning that tells one from words."""
    return not words.startswith(("./", "../", "/", "~/")) and os.path.isfile(words)  # noqa: PTH113 - any length is no error


def _hit(hit: Hit) -> str:
    text, alike = f"  {hit.text}" if hit.text else "", f"  (+{len(hit.alike)} alike)" if hit.alike else ""
    return f"{hit.score:.4f}  id:{hit.image_id:<7} {hit.location}{text}{alike}"


def _lookup(file: Path, candidates: Sequence[Candidate], same: Sequence[Candidate]) -> list[str]:
    if same:
        return [f"{one.verdict:16}  id:{one.hit.image_id:<7} {one.hit.location}  is {file}{_edit(one)}" for one in same]
    untold = any(one.verdict == "unverified" for one in candidates)
    return [f"{'cannot tell' if untold else 'not here':16}  {'':10} {file}"]


def _edit(candidate: Candidate) -> str:
    from search.verdict_words import edit_in_words  # OpenCV comes with it, which is there when anything was looked up

    return f"  ({edit_in_words(candidate.evidence)})" if candidate.verdict == "edited" and candidate.evidence else ""
