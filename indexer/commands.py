"""The verbs: each takes parsed arguments, speaks, and returns an exit code."""

from __future__ import annotations

import errno
import os
import threading
from argparse import Namespace
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace

from tqdm import tqdm

from indexer import measure, say, say_measured
from indexer.asked import files_of, index_policy, loader_for, options_of, root_of, stage_for
from indexer.build import build as run_build
from indexer.classify_commands import classify as classify
from indexer.duplicate_commands import duplicates as duplicates
from indexer.measure import bench as bench
from indexer.opening import LoadEncoder, load_by_name, loader_of, open_collection, open_or_create
from indexer.report import Report
from indexer.roots import drop, merge, merge_files
from indexer.signals import stop_on_signals
from indexer.stage import LocalStage, MakeStage
from indexer.status import facts_of
from indexer.tag import tag_collection
from indexer.transfer_commands import export as export
from indexer.transfer_commands import import_ as import_
from indexer.watch import watch as follow_changes
from search.changes import Changes
from search.collection import Collection
from search.errors import BadQuery, CollectionBusy, CollectionError, DiskFull
from search.exit_codes import INTERRUPTED, NO, OK
from search.models import MODELS, Hub, local_models
from search.paths import absolute
from search.published import check, text_cosines
from search.settings import Settings
from search.stores import is_url
from search.tars import is_tar
from search.types import Root
from search.verify import repair
from search.verify import verify as find_problems


def build(arguments: Namespace) -> int:
    asked, files = [root_of(folder, arguments) for folder in arguments.folders], files_of(arguments)
    with stage_for(arguments) as make_stage:
        collection, load = open_or_create(
            arguments.collection,
            model=arguments.model,
            precision=arguments.precision,
            catalog=arguments.catalog,
            loader=loader_for(arguments),
        )
        with closing(collection), collection.writing():
            followed = collection.catalog.roots()
            walk, follow = merge(followed, asked) if files is None else merge_files(followed, files)
            if follow != followed:
                collection.catalog.follow(follow)
            with stop_on_signals() as stop:
                report = _run(collection, walk, load, arguments, stop, make_stage, files)
    return _tell(report, arguments)


def update(arguments: Namespace) -> int:
    collection, load = open_collection(arguments.collection, loader=loader_for(arguments))
    with closing(collection), collection.writing(), stage_for(arguments) as make_stage, stop_on_signals() as stop:
        report = _run(collection, collection.catalog.roots(), load, arguments, stop, make_stage)
    return _tell(report, arguments)


def watch(arguments: Namespace) -> int:
    """Update, then again after every burst of changes, until Ctrl-C."""
    collection, load = open_collection(arguments.collection, loader=loader_for(arguments))
    with closing(collection), stop_on_signals() as stop:
        told, untold = set[str](), dict[str, str]()

        def later(why: str) -> bool:
            if why not in told:
                say.note(f"{why}; trying again until it can be done")
                told.add(why)
            return False

        def update_now() -> bool:
            try:
                with collection.writing():
                    report = _run(collection, _on_disks(collection), load, arguments, stop)
            except (CollectionBusy, DiskFull) as trouble:
                return later(str(trouble))
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                return later(f"{error.filename or collection.directory}: {error.strerror}")
            told.clear()
            if report.wrote or report.unreadable != untold:
                _tell(report, arguments)
            untold.clear()
            untold.update(report.unreadable)
            return True

        paths = [root.path for root in _on_disks(collection)]
        if not paths:
            raise CollectionError("there is no folder to watch; stores do not tell of changes: run update for them")
        folders = list(dict.fromkeys(os.path.dirname(path) if is_tar(path) else path for path in paths))
        if missing := [folder for folder in folders if not os.path.isdir(folder)]:
            raise CollectionError(
                f"{missing[0]} is not there to be watched; bring it back, or take what it held out of the collection: "
                f"python -m indexer remove {missing[0]}"
            )
        say.note(f"watching {', '.join(folders)}; Ctrl-C ends it")
        follow_changes(folders, update_now, stop)
    return OK


def status(arguments: Namespace) -> int:
    with closing(Collection.open(arguments.collection)) as collection:
        facts = facts_of(collection)
    say.result(facts, say.status(facts), arguments)
    return OK


def verify(arguments: Namespace) -> int:
    with closing(Collection.open(arguments.collection)) as collection, collection.writing(to_write=arguments.repair):
        cache = Settings.from_environment().cache
        findings = find_problems(collection, cache)
        if arguments.repair and not findings.clean:
            say.note(f"{say.findings(findings)}\nrepairing")
            repair(collection, findings, cache)
            findings = find_problems(collection, cache)
    say.result(findings.to_dict(), say.findings(findings), arguments)
    return OK if findings.clean else NO


def remove(arguments: Namespace) -> int:
    with closing(Collection.open(arguments.collection)) as collection, collection.writing():
        counts = {path: _remove(collection, absolute(path)) for path in dict.fromkeys(arguments.paths)}
        collection.publish_if_changed()
    for path in (path for path, count in counts.items() if not count):
        say.note(f"{path}: no image there was in the collection")
    removed = sum(counts.values())
    say.result({"removed": removed}, f"out of the collection: {removed:,}; the files are untouched", arguments)
    return OK if removed else NO


def tag(arguments: Namespace) -> int:
    """Tag every picture from its stored vector: only the text tower runs, and none to take tags away."""
    collection, load = open_collection(arguments.collection, loader=loader_for(arguments))
    with closing(collection), collection.writing():
        facts = tag_collection(
            collection, load, arguments.labels_file, templates=arguments.templates, threshold=arguments.threshold
        )
    say.result(facts, say.tags(facts), arguments)
    return OK


def eval(arguments: Namespace) -> int:  # noqa: A001 (the verb's name)
    """One of the measurements."""
    measurement: Callable[[Namespace], int] = getattr(measure, arguments.what)
    return measurement(arguments)


def models(arguments: Namespace) -> int:
    if arguments.check:
        return _check(arguments)
    if arguments.model:
        raise BadQuery(f"--model {arguments.model} goes with --check, which names the model that it is compared with")
    local = local_models(models=Settings.from_environment().models, hub=Hub())
    rows = [{**asdict(info), "here": info.name in local} for info in MODELS]
    others = sorted(set(local) - {info.name for info in MODELS})
    say.result({"models": rows, "others": others}, "\n".join([say.models(local), *others]), arguments)
    return OK


def _check(arguments: Namespace) -> int:
    """Compare a model with what is published of it; on the CPU, where numbers are not rounded to half precision."""
    text_cosines(arguments.check)  # nothing is loaded where there is nothing to compare with
    loader = loader_of("cpu", "torch", tell=say.note)
    encoder = load_by_name(arguments.model or arguments.check, precision="fp32", loader=loader)
    checked = check(encoder, arguments.check)
    facts = checked.to_dict()
    say.result(facts, say_measured.check(facts), arguments)
    return OK if checked.passed else NO


def _run(
    collection: Collection,
    roots: Sequence[Root],
    load: LoadEncoder,
    arguments: Namespace,
    stop: threading.Event,
    make_stage: MakeStage = LocalStage,
    only: frozenset[str] | None = None,
) -> Report:
    """One build with a progress bar, if stderr is a terminal."""
    asked = replace(
        options_of(arguments),
        split_captions=arguments.long_captions == "split",
        keypoints=arguments.keypoints,
        index=index_policy(collection.published(), arguments),
        allow_mass_removal=arguments.allow_mass_removal,
    )
    with tqdm(unit=" images", disable=None, dynamic_ncols=True) as bar:

        def show(report: Report, done: int, total: int) -> None:
            bar.total = total
            bar.set_postfix(new=report.new, failed=report.failed, refresh=False)
            bar.update(done - bar.n)

        return run_build(
            collection,
            roots,
            load,
            options=asked,
            progress=show,
            stop=stop,
            make_stage=make_stage,
            tell=say.note,
            only=only,
        )


def _on_disks(collection: Collection) -> list[Root]:
    """The followed folders that tell when they change, as stores do not."""
    return [root for root in collection.catalog.roots() if not is_url(root.path)]


def _tell(report: Report, arguments: Namespace) -> int:
    say.result(report.to_dict(), say.report(report), arguments)
    if report.interrupted:
        return INTERRUPTED
    return NO if report.unreadable else OK


def _remove(collection: Collection, path: str) -> int:
    """Take the rows at or under `path` out, and see that no update brings them back, unless nothing ever was there."""
    catalog = collection.catalog
    rows = [known.id for known in catalog.known_files(path).values()]
    failures = list(catalog.known_failures(path))
    catalog.apply(Changes(removed=rows, forgotten_failures=failures))
    roots = catalog.roots()
    kept = drop(roots, path)
    was_there = rows or failures or len(kept) < len(roots) or os.path.lexists(path)
    if was_there and kept != roots:
        catalog.follow(kept)
    return len(rows)
