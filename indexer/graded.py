"""A file of judgments, and pictures with their vectors -> nDCG@k of each query."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.caption_files import PICTURE_COLUMNS, as_text, table_of, text_of
from indexer.gallery import Encoded
from search.errors import BadQuery
from search.evaluate import ndcg, nearest

if TYPE_CHECKING:
    from search.encoder import Encoder

Grades = dict[str, dict[str, float]]
"""Query -> picture -> grade, 0 or more."""


def read_judgments(file: Path) -> Grades:
    """CSV whose first line names the columns query, image and grade, or a JSON object of these a line.

    Pictures are named as in the file. Raises BadQuery naming the line for what is no judgment, and where a picture has
    two grades for a query.
    """
    text = text_of(file)
    rows = _of_json(text, file) if text.lstrip().startswith("{") else _of_csv(text, file)
    grades: Grades = {}
    for line, query, name, grade in rows:
        where = f"{file}, line {line}"
        query, name = query.strip(), name.strip()
        if not query or not name:
            raise BadQuery(f"{where}: an empty query or picture")
        if not (math.isfinite(grade) and grade >= 0):
            raise BadQuery(f"{where}: the grade {grade:g} is not a number from 0 on")
        if grades.setdefault(query, {}).setdefault(str(PurePosixPath(name)), grade) != grade:
            raise BadQuery(f"{where}: {name} has another grade for {query!r} before")
    if not grades:
        raise BadQuery(f"{file} holds no judgments")
    return grades


def _of_csv(text: str, file: Path) -> Iterator[tuple[int, str, str, float]]:
    for line, (query, name, grade) in table_of(text, file, (("query",), PICTURE_COLUMNS, ("grade",))):
        yield line, query, name, _number(grade)


def _of_json(text: str, file: Path) -> Iterator[tuple[int, str, str, float]]:
    for line, row in enumerate(text.split("\n"), 1):
        if row.strip():
            try:
                judgment = json.loads(row)
                yield line, as_text(judgment["query"]), as_text(judgment["image"]), _number(judgment["grade"])
            except (ValueError, RecursionError, LookupError, TypeError) as error:
                raise BadQuery(f'{file}, line {line}: not {{"query", "image", "grade"}}: {error!r}') from error


def _number(value: Any) -> float:
    """NaN for what is none."""
    try:
        return float(value)
    except (ValueError, TypeError):
        return math.nan


@dataclass(frozen=True, slots=True)
class Graded:
    """nDCG in [0, 1] by query, and the share of each query's first k that has a grade at all.

    `nothing_relevant` are the queries without a picture of a grade above 0, which have no nDCG.
    """

    ndcg: dict[str, float]
    judged: dict[str, float]
    nothing_relevant: list[str]

    def to_dict(self) -> dict[str, Any]:
        return {
            "queries": len(self.ndcg),
            "ndcg": float(np.mean(list(self.ndcg.values()))),
            "judged": float(np.mean(list(self.judged.values()))),
            "by_query": {query: {"ndcg": value, "judged": self.judged[query]} for query, value in self.ndcg.items()},
            "nothing_relevant": self.nothing_relevant,
        }


def graded(images: Encoded, grades: Mapping[str, Mapping[str, float]], encoder: Encoder, k: int) -> Graded:
    """`grades` are by query and path; a picture without one has the grade 0.

    Raises BadQuery where no query has a picture of a grade above 0.
    """
    places = {path: place for place, path in enumerate(images.paths)}
    known = {
        query: {places[path]: grade for path, grade in of_query.items() if path in places}
        for query, of_query in grades.items()
    }
    queries = [query for query, of_query in known.items() if any(of_query.values())]
    if not queries:
        raise BadQuery("no query has a picture here with a grade above 0")
    found = nearest(encoder.encode_texts(queries), images.rows, k)
    measured = {
        query: ndcg(
            np.array([known[query].get(place, 0.0) for place in hits]), np.array(list(known[query].values())), k
        )
        for query, hits in zip(queries, found.tolist(), strict=True)
    }
    judged = {
        query: sum(place in known[query] for place in hits) / len(hits)
        for query, hits in zip(queries, found.tolist(), strict=True)
    }
    return Graded(measured, judged, [query for query in grades if query not in measured])
