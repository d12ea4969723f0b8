"""What is made once of a model and kept in the cache: a folder of ONNX towers for each identity, whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import ModelUnavailable
from search.files import file_digest, replacing, sync_file, sync_folder
from search.types import PRECISIONS, EncoderIdentity, Precision

EXPORTER = 4
"""Counts the ways in which towers were exported; towers of another one are made anew."""

_MANIFEST = "manifest.json"
_REFUSED = "refused.json"
_SPEEDS = "speeds.json"


@dataclass(frozen=True, slots=True)
class Exports:
    """The towers of one identity in `folder`: fp32, and perhaps the image tower in int8, in a folder each."""

    folder: Path

    @classmethod
    def of(cls, cache: Path, identity: EncoderIdentity) -> Exports:
        """Those of an identity, whatever name the model goes by."""
        return cls(cache / "onnx" / _key(EXPORTER, identity))

    def part(self, precision: Precision) -> Path:
        return self.folder / precision

    def facts(self, precision: Precision, *, thorough: bool = False) -> dict[str, Any] | None:
        """What was written with a part; None where it is not there or a file of it has another size.

        `thorough` reads the files and compares their digests too.
        """
        part = self.part(precision)
        manifest = _read_json(part / _MANIFEST)
        checksum = manifest and manifest.pop("checksum", None)  # older releases wrote none
        if manifest is None or checksum not in (None, _checksum(manifest)):
            return None
        for name, (size_bytes, sha256) in manifest["files"].items():
            file = part / name
            if not file.is_file() or file.stat().st_size != size_bytes or (thorough and file_digest(file) != sha256):
                return None
        facts: dict[str, Any] = manifest["facts"]
        return facts

    def write(self, precision: Precision, make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
        """Have `make` write the files of a part into a folder and return its facts; what was there is replaced."""
        part, aside = self.part(precision), self.part(precision).with_suffix(".new")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        try:
            facts = make(aside)
            files = {file.name: (file.stat().st_size, file_digest(file)) for file in sorted(aside.iterdir())}
            for name in files:
                sync_file(aside / name)
            manifest = {"files": files, "facts": facts}
            _write_json(aside / _MANIFEST, {**manifest, "checksum": _checksum(manifest)})
            shutil.rmtree(part, ignore_errors=True)
            aside.rename(part)
            sync_folder(self.folder)
            return facts
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def remove_older(self, identity: EncoderIdentity) -> None:
        """What earlier releases exported of the same identity, which nothing will read again."""
        for exporter in range(1, EXPORTER):
            shutil.rmtree(self.folder.with_name(_key(exporter, identity)), ignore_errors=True)

    def damage(self, *, forget: bool = False) -> list[str]:
        """The parts that are not as they were written; with `forget` they go, to be exported again."""
        damaged = [part for part in PRECISIONS if self.part(part).exists() and self.facts(part, thorough=True) is None]
        for part in damaged if forget else ():
            shutil.rmtree(self.part(part))
        return [f"the exported towers in {self.part(part)} are damaged" for part in damaged]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for writing; who comes second waits. Raises ModelUnavailable where nothing can be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ModelUnavailable(
                f"exported towers cannot be kept in {self.folder} ({error}): set IMAGE_SEARCH_CACHE to another folder, "
                "or take --runtime torch"
            ) from error

    @property
    def refusal(self) -> str | None:
        """Why this model stays on PyTorch; None where that was not found."""
        refused = _read_json(self.folder / _REFUSED)
        return None if refused is None else str(refused["reason"])

    def refuse(self, reason: str) -> None:
        _write_json(self.folder / _REFUSED, {"reason": reason})

    def speeds(self, machine: str, precision: Precision) -> dict[str, float]:
        """Images a second of each way to compute the image tower, as measured on this machine; empty before."""
        speeds: dict[str, float] = (_read_json(self.folder / _SPEEDS) or {}).get(machine, {}).get(precision, {})
        return speeds

    def remember(self, machine: str, precision: Precision, speeds: dict[str, float]) -> None:
        known = _read_json(self.folder / _SPEEDS) or {}
        known.setdefault(machine, {})[precision] = speeds
        _write_json(self.folder / _SPEEDS, known)


def _key(exporter: int, identity: EncoderIdentity) -> str:
    return hashlib.sha256(f"{exporter} {identity.space.to_json()}".encode()).hexdigest()[:32]


def _read_json(file: Path) -> Any:
    """None where there is no such file or half of one."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _write_json(file: Path, content: object) -> None:
    with replacing(file) as aside:
        aside.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _checksum(manifest: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())
