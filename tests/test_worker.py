"""What a machine of a cluster does for a build, on this one."""

from __future__ import annotations

import dataclasses
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from indexer.build import Options
from indexer.plan import Work
from indexer.scan import scan
from indexer.worker import Digests, Result, Worker, sound
from search.changes import FileStamp
from search.errors import ClusterError
from search.image import digest_of
from search.settings import PROJECT
from search.types import EncoderIdentity, Root
from tests.colors import ColorEncoder
from tests.test_tars import pack


def load(_identity: EncoderIdentity, _threads: int) -> ColorEncoder:
    return ColorEncoder()


def load_other_weights(identity: EncoderIdentity, _threads: int) -> ColorEncoder:
    encoder = ColorEncoder()
    encoder.identity = dataclasses.replace(identity, weights_digest="1" * 64)
    return encoder


def done(works: list[Work], *, known: list[bytes] = [], load=load) -> Result:  # noqa: B006 (not changed)
    worker = Worker(load, ColorEncoder.identity, Options(workers=1), Digests(known))
    (result,) = worker({"task": [pickle.dumps(works)]})["result"]
    return sound(pickle.loads(result))


def test_a_task_comes_back_read_and_encoded_with_its_captions_and_without_pixels(photos: Path) -> None:
    (photos / "red.txt").write_text("red\n")
    works = [Work(found) for found in scan(Root(str(photos))).files]
    result = done(works)
    assert [item.work for item in result.encoded.items] == works
    assert all(item.pixels is None and item.facts for item in result.encoded.items)
    encoder = ColorEncoder()
    assert result.texts.keys() == {"red"}
    assert np.array_equal(result.texts["red"], encoder.encode_texts(["red"])[0])
    assert result.encoded.vectors.keys() == {digest_of(Path(work.found.stamp.path).read_bytes()) for work in works}


def test_known_contents_are_not_decoded(photos: Path) -> None:
    works = [Work(found) for found in scan(Root(str(photos))).files]
    digest = digest_of((photos / "red.png").read_bytes())
    result = done(works, known=[digest])
    assert len(result.encoded.vectors) == 2
    assert digest not in result.encoded.vectors


def test_other_weights_are_refused_and_the_machine_is_named(photos: Path) -> None:
    works = [Work(found) for found in scan(Root(str(photos))).files]
    with pytest.raises(ClusterError, match=r"^[^:]+: its colors has other weights than the driver's"):
        done(works, load=load_other_weights)


def test_a_folder_that_only_the_driver_sees_is_no_list_of_bad_files(photos: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    work = Work(dataclasses.replace(scan(Root(str(photos))).files[0], stamp=FileStamp(str(gone / "a.png"), 1, 1)))
    result = done([work])
    assert result.encoded.items[0].reason is not None  # the folder is really gone: a bad file like any other
    assert result.not_there == [str(gone)]
    gone.mkdir()
    with pytest.raises(ClusterError, match=f"{result.host} does not see {gone}"):
        sound(result)


def test_a_tar_that_only_the_driver_sees_is_no_list_of_bad_files(photos: Path, tmp_path: Path) -> None:
    tar = pack(tmp_path / "00000.tar", photos)
    works = [Work(found) for found in scan(Root(str(tar))).files]
    away = tar.rename(tmp_path / "away.tar")
    result = done(works)
    assert result.not_there == [str(tar), f"{tar}/trip"]
    away.rename(tar)
    assert done(works).not_there == []
    with pytest.raises(ClusterError, match=f"{result.host} does not see {tar}"):
        sound(result)


def test_digests_are_a_set_of_digests() -> None:
    generator = random.Random(5)
    digests = [generator.randbytes(32) for _ in range(1000)]
    known = Digests(set(digests[:500]))
    assert [digest in known for digest in digests] == [True] * 500 + [False] * 500
    assert b"" not in Digests([])
    assert digests[0][:8] + bytes(24) in known  # the beginning alone counts


def test_without_the_extra_the_error_names_the_command_that_installs_it(photos: Path, tmp_path: Path) -> None:
    words = ["build", str(photos), "--ray", "local", "--collection", str(tmp_path / "collection")]
    program = f"import sys; sys.modules['ray'] = None; from indexer.cli import main; sys.exit(main({words!r}))"
    run = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.strip() == "error: --ray needs the package ray: pip install 'text-image-search[ray]'"
    assert not (tmp_path / "collection").exists()
