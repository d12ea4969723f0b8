"""Results -> words: what the verbs print."""

from __future__ import annotations

import json
import sys
from collections.abc import Container
from typing import TYPE_CHECKING, Any

from indexer.report import Limit, Report
from search.models import MODELS, ModelInfo
from search.terminal import harmless, write_out
from search.verify import Findings

if TYPE_CHECKING:
    from argparse import Namespace

SHOWN = 20
"""How many of a long list are printed; --json has all."""


_TOOK: dict[Limit | None, str] = {
    "decode": "waiting",
    "encode": "encoding",
    "write": "writing",
    "publish": "publishing",
}


def note(text: str) -> None:
    """Say something that is not the result."""
    print(harmless(text, lines=True), file=sys.stderr, flush=True)


def result(facts: dict[str, Any], words: str, arguments: Namespace) -> None:
    """The result on stdout; odd bytes of a file name go out as they are, but for control characters among words."""
    write_out((json.dumps(facts, indent=2, default=str) if arguments.json else harmless(words, lines=True)) + "\n")


def report(done: Report) -> str:
    counts = ("new", "changed", "moved", "copied", "recaptioned", "unchanged", "removed", "failed")
    counted = {name: getattr(done, name) for name in counts}
    lines = [", ".join(f"{count:,} {name}" for name, count in counted.items() if count or name == "new")]
    if not (any(counted.values()) or done.unreadable or done.interrupted):
        lines.append("there is no picture in what was looked through")
    if done.encoded:
        lines.append(
            f"{done.encoded:,} through the model in {done.seconds:.1f} s, {done.images_per_second:.1f} images/s; "
            f"decode {done.decode_seconds:.1f} s on threads, waited {done.wait_seconds:.1f} s for it, "
            f"encode {done.encode_seconds:.1f} s, write {done.write_seconds:.1f} s, "
            f"publish {done.publish_seconds:.1f} s; most of it {_TOOK[done.limit]}"
        )
    if done.starved:
        lines.append(
            "the GPU waited for pictures more than half of the time: let more cores decode (--workers), put the files "
            "on a faster disk, or leave local features out (--keypoints 0)"
        )
    if done.described:
        lines.append(f"{done.described:,} indexed before have their local features now")
    lines += [f"could not be read, what is known of it is kept: {path}: {why}" for path, why in done.unreadable.items()]
    bad = list(done.bad_captions)
    lines += [f"captions left out: {problem}" for problem in bad[:SHOWN]] + _more(bad)
    if done.failed:
        lines.append("python -m indexer status lists the files that failed")
    if done.interrupted:
        lines.append("interrupted; all finished work is kept and searchable, the same command goes on from here")
    return "\n".join(lines)


def status(facts: dict[str, Any]) -> str:
    sizes = ", ".join(f"{name} {_megabytes(size)}" for name, size in facts["size_bytes"].items())
    lines = [
        f"collection  {facts['collection']}",
        f"model       {facts['model']} ({facts['dim']} dimensions, weights {_digest(facts['weights_digest'])})",
        f"precision   {facts['precision']}{_agreement(facts['int8'])}",
        f"on a CPU    {_fastest(facts['images_per_second'], facts['only_torch'])}",
        f"images      {facts['images']:,}",
        f"texts       {facts['texts']:,}",
        *([f"tags        {_tagged(facts['tags'])}"] if facts["tags"]["labels"] else []),
        f"features    {_featured(**facts['local_features'])}",
        f"index       {facts['index']}, {_in_server(facts['index_url'])}{_recalls(facts['recall'])}"
        f"generation {facts['generation']}"
        + ("" if facts["published"] else "; not up to date: run python -m indexer update"),
        f"on disk     {sizes}",
        *(f"folder      {root['path']}" + _rules(root) for root in facts["roots"]),
        *(f"run         {run['started_at'][:19]}  {_run(run['report'])}" for run in facts["runs"]),
        f"failures    {len(facts['failures'])}",
        *(f"            {failure['path']}: {failure['reason']}" for failure in facts["failures"][:SHOWN]),
    ]
    return "\n".join(lines + _more(facts["failures"]))


def _featured(images: int, size_bytes: int) -> str:
    return f"local ones of {images:,} images, {_megabytes(size_bytes)} of the catalog"


def _in_server(url: str | None) -> str:
    return f"in {url}, " if url else ""


def _recalls(recall: dict[str, dict[str, float]]) -> str:
    """What was measured of the images' index, before a comma."""
    measured = recall.get("images", {})
    return "".join(f"recall@10 {value:.3f} for {modality} queries, " for modality, value in measured.items())


def tags(facts: dict[str, Any]) -> str:
    """The labels that most images have; --json has all of them."""
    found = sorted((label for label in facts["labels"] if label["images"]), key=lambda label: -label["images"])
    if not facts["labels"]:
        return "no labels, no tags"
    lines = [f"{label['images']:>7,}  {label['name']}{_sensitive(label)}" for label in found[:SHOWN]]
    return "\n".join([_tagged(facts), *lines, *_more(found)])


def _tagged(facts: dict[str, Any]) -> str:
    hidden = f", {facts['hidden']:,} hidden by sensitive ones" if facts["hidden"] else ""
    return f"{facts['tagged']:,} images have any of {len(facts['labels']):,} labels{hidden}"


def _sensitive(label: dict[str, Any]) -> str:
    return " (sensitive)" if label["sensitive"] else ""


def _agreement(int8: dict[str, float] | None) -> str:
    if int8 is None:
        return ""
    return f", a mean cosine of {int8['cosine']:.4f} to fp32 and {int8['top10']:.1%} of the ten nearest the same"


def _fastest(images_per_second: dict[str, float], only_torch: str | None) -> str:
    """Which way of computing the towers is taken here, and why."""
    if only_torch:
        return f"torch: {only_torch}"
    if not images_per_second:
        return "not measured on this machine yet"
    speeds = ", ".join(f"{way} {speed:.1f}" for way, speed in images_per_second.items())
    return f"{max(images_per_second, key=images_per_second.__getitem__)} (images a second here: {speeds})"


def findings(found: Findings) -> str:
    if found.clean:
        return "clean: every row has its vector, the indexes hold the catalog's vectors, every followed file is there"
    lines = [f"catalog: {line}" for line in found.catalog]
    if found.catalog:
        lines.append("restore a snapshot with python -m indexer import, or build a new collection")
    if found.bad_vectors:
        lines.append(
            f"{len(found.bad_vectors)} images have a vector that is damaged or no unit vector, "
            f"first id:{found.bad_vectors[0]}; verify --repair takes them out; update embeds them again "
            "where their folder is followed, others are to be imported again"
        )
    if found.bad_features:
        lines.append(
            f"{len(found.bad_features)} images have local features that are damaged, first id:{found.bad_features[0]}; "
            "verify --repair takes these out and update makes them again"
        )
    lines += [line if "--repair" in line else f"{line}; verify --repair makes it again" for line in found.indexes]
    lines += [f"{line}; verify --repair takes them away, and they are exported again" for line in found.exports]
    lines += [f"missing: {path}" for path in found.missing_files[:SHOWN]] + _more(found.missing_files)
    if found.missing_files:
        lines.append(
            f"{len(found.missing_files)} files are missing; update takes them out of the collection, "
            "but for those whose folder or tar is not there at all: remove does that"
        )
    return "\n".join(lines)


def models(local: Container[str]) -> str:
    """One line a model: where it is, size, licence, published quality."""
    title = f"{'model':36} {'here':5} {'MB':>5}  {'licence':11} {'ImageNet':>8} {'COCO t2i / i2t R@1':>19}  note"
    return "\n".join([title, *(_model(info, info.name in local) for info in MODELS)])


def _model(info: ModelInfo, here: bool) -> str:
    coco = f"{info.coco_t2i_r1:.1f} / {info.coco_i2t_r1:.1f}" if info.coco_t2i_r1 and info.coco_i2t_r1 else "-"
    imagenet = f"{info.imagenet_top1:.1f}" if info.imagenet_top1 else "-"
    place = "yes" if here else "no"
    return (
        f"{info.name:36} {place:5} {info.size_mb:>5}  {info.licence:11} {imagenet:>8} {coco:>19}  {info.note}".rstrip()
    )


def _digest(digest: str) -> str:
    return digest[:12] or "not known until a build loads the model"


def _rules(root: dict[str, Any]) -> str:
    hidden = ", with hidden folders" if root["include_hidden"] else ""
    return hidden + (f", without {', '.join(root['exclude'])}" if root["exclude"] else "")


def _run(done: dict[str, Any]) -> str:
    counts = ("new", "changed", "moved", "copied", "recaptioned", "removed", "failed")
    return ", ".join(f"{done[name]:,} {name}" for name in counts if done[name]) + f" in {done['seconds']:.1f} s"


def _more(items: list[Any]) -> list[str]:
    return [f"            and {len(items) - SHOWN:,} more; --json lists all"] if len(items) > SHOWN else []


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def bench(facts: dict[str, Any]) -> str:
    lines = [f"model        {facts['model']}; medians of {facts['rounds']}"]
    for name, build in facts["builds"].items():
        lines += [
            f"{name:12} {build['images_per_second']:.1f} images/s, {100 * build['share_of_limit']:.0f} % of the "
            f"{build['limit']:.1f} that matrix products alone would allow",
            f"             of {build['seconds']:.1f} s: encode {build['encode_seconds']:.1f}, waiting for pictures "
            f"{build['wait_seconds']:.1f}, write {build['write_seconds']:.1f}, publish "
            f"{build['publish_seconds']:.1f}; decode {build['decode_seconds']:.1f} over all threads",
        ]
        if "plain_loop" in build:
            lines.append(
                f"             {build['times_plain_loop']:.2f} times the plain loop's {build['plain_loop']:.1f}"
            )
    queries = facts["queries"]
    for stage in ("all", "encode", "index", "hydrate", "text_padded"):
        words = "padded text in PyTorch" if stage == "text_padded" else f"query, {stage}"
        lines.append(f"{words}: {1000 * queries[stage]['p50']:.1f} ms, p95 {1000 * queries[stage]['p95']:.1f}")
    lines += [
        f"a padded text takes {queries['padded_times_encode']:.1f} times as long as a query's",
        f"a query from the shell: {facts['cold_start_seconds']:.2f} s",
        f"peak memory of a build: {_megabytes(facts['peak_bytes'])}",
    ]
    return "\n".join(lines)
