"""A model's name -> the identity that it was found to have, as long as its files are as they were; no torch here.

Trusted is that a file of the same path, size, mtime and ctime has the same content. Size and mtime alone would not do:
all weights of an architecture have one size, and a copy may keep the time of its original. Should it be wrong all the
same, vectors are still those of the identity that is stored with them, because builds and servers compare the exported
towers with their digests: only the name would stand for weights of before. The bundled model's files are compared with
the digests that come with it, as always.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from search.files import make_folder, replacing
from search.model_files import damage_of, files_of_name
from search.models import BUNDLED, Hub
from search.seals import with_checksum, without_checksum
from search.settings import BUNDLED_MODEL
from search.types import EncoderIdentity, Precision


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A name with its files in the state that they are in now; each state has a `file` of its own for the identity.

    The bundled model is known as long as its files in `bundled` are as they came.
    """

    file: Path
    bundled: Path | None

    @classmethod
    def of(
        cls,
        name: str,
        precision: Precision,
        *,
        cache: Path,
        models: Path | None = None,
        hub: Hub | None = None,
        bundled: Path = BUNDLED_MODEL,
    ) -> KnownModel | None:
        """None where the files are not on this machine, or only open_clip knows which they are."""
        files = files_of_name(name, models=models, hub=hub or Hub(), bundled=bundled)
        if not files:
            return None
        # What architecture a weights file has, and what that is by default, is open_clip's to say.
        state = json.dumps([version("open_clip_torch"), precision, name, *(_state(file) for file in files)])
        key = hashlib.sha256(state.encode()).hexdigest()[:32]
        return cls(cache / "models" / key, bundled if name == BUNDLED else None)

    @property
    def identity(self) -> EncoderIdentity | None:
        """None where none was noted in this state."""
        try:
            text = without_checksum(self.file.read_bytes())
        except FileNotFoundError:
            return None
        if text is None or (self.bundled and damage_of(self.bundled)):
            return None
        return EncoderIdentity.from_json(text.decode())

    def remember(self, identity: EncoderIdentity) -> None:
        """Note what was found in the files after their state was taken: if they changed meanwhile, that is another."""
        make_folder(self.file.parent)
        with replacing(self.file) as aside:
            aside.write_bytes(with_checksum(identity.to_json().encode()))


def _state(file: Path) -> tuple[str, str, int, int, int]:
    stat = file.stat()
    return str(file), str(file.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
