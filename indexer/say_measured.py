"""Measurements -> words: what `eval` and `models --check` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from indexer.say import SHOWN

_ACCURACIES = {"top1": "top-1", "top5": "top-5", "mean_per_class": "mean per class"}
_DIRECTIONS = {"text_to_image": "text to image", "image_to_text": "image to text"}


def accuracy(facts: dict[str, Any]) -> str:
    failed = f", {facts['failed']:,} could not be read" if facts["failed"] else ""
    lines = [
        f"pictures        {facts['pictures']:,}{failed}",
        *(f"{title:15} {_percent(facts[name])}" for name, title in _ACCURACIES.items()),
        *(f"{_percent(row['top1']):>7}  {row['pictures']:>6,}  {label}" for label, row in facts["classes"].items()),
    ]
    return "\n".join(lines)


def retrieval(facts: dict[str, Any]) -> str:
    per_picture = facts["captions_per_picture"]
    least, most = per_picture["least"], per_picture["most"]
    each = f"{least}" if least == most else f"{least} to {most}"
    columns = [f"R@{k}" for k in facts["text_to_image"]["recall"]]
    lines = [
        f"model           {facts['model']}",
        f"captions        {facts['captions']:,} ({facts['format']}), {each} a picture",
        f"pictures        {facts['pictures']:,}",
        f"{'':15} {' '.join(f'{column:>7}' for column in columns)}  median rank",
        *(f"{title:15} {_figures(facts[name])}" for name, title in _DIRECTIONS.items()),
        *(
            f"{title:15} {row[name]:>7.1%}  published: {row['data']}"
            for row in facts["published"]
            for name, title in _DIRECTIONS.items()
        ),
        "Each caption looks for its own picture among all of these pictures, each picture for any of its own",
        "captions among all of these captions: by cosine, without a prompt; equal scores count against.",
    ]
    if facts["truncated"]:
        lines.append(f"{facts['truncated']:,} captions have more than {facts['context']} tokens; the rest was not read")
    if facts["empty_captions"]:
        lines.append(f"{facts['empty_captions']:,} captions without a word were left out")
    if facts["without_captions"]:
        lines.append(f"{facts['without_captions']:,} pictures that have no caption in the file were left out")
    return "\n".join(lines + _left_out(facts))


def graded(facts: dict[str, Any]) -> str:
    k = facts["k"]
    lines = [
        f"model           {facts['model']}",
        f"pictures        {facts['pictures']:,}",
        f"queries         {facts['queries']:,}",
        f"{f'nDCG@{k}':15} {facts['ndcg']:.4f}",
        f"{f'judged@{k}':15} {facts['judged']:.1%}  of the hits have a grade; the others count as 0",
        *_first([f"{row['ndcg']:.4f}  {row['judged']:>6.1%}  {query}" for query, row in facts["by_query"].items()]),
    ]
    if nothing := facts["nothing_relevant"]:
        lines += [f"{len(nothing):,} queries have no picture here with a grade above 0, and count for nothing:"]
        lines += _first(nothing)
    return "\n".join(lines + _left_out(facts))


def check(facts: dict[str, Any]) -> str:
    sources = list(dict.fromkeys(row["source"] for row in facts["cosines"]))
    lines = [
        f"model           {facts['model']}",
        f"compared with   {facts['taken_for']}, within {facts['tolerance']:g}",
        "published    found        texts",
        *(
            f"{row['cosine']:>9.4f}  {row['found']:>7.4f}  {'pass' if row['passed'] else 'FAIL'}  "
            f"{row['one']!r} / {row['other']!r} [{sources.index(row['source']) + 1}]"
            for row in facts["cosines"]
        ),
        *(f"[{number}] {source}" for number, source in enumerate(sources, 1)),
        "pass" if facts["passed"] else "FAIL: other weights, or another activation or tokenizer than theirs",
    ]
    return "\n".join(lines)


def _figures(figures: dict[str, Any]) -> str:
    return " ".join(f"{share:>7.1%}" for share in figures["recall"].values()) + f"  {figures['median_rank']:>11,g}"


def _left_out(facts: dict[str, Any]) -> list[str]:
    """The pictures that the file names and that could not be used."""
    lines = [f"{path}: {reason}" for path, reason in facts["unreadable"].items()]
    if lines:
        lines = [f"{len(lines):,} pictures could not be read, and were left out:", *_first(lines)]
    if missing := facts["missing"]:
        lines += [f"{len(missing):,} pictures that the file names are not here, and were left out:", *_first(missing)]
    return lines


def _first(items: Sequence[str]) -> list[str]:
    rest = [f"    and {len(items) - SHOWN:,} more; --json lists all"] if len(items) > SHOWN else []
    return [f"    {item}" for item in items[:SHOWN]] + rest


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
