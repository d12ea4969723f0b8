"""The files beside a picture that speak of it -> its captions."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from search.errors import BadPicture, UnreadFile
from search.paths import read_file, stamp_of
from search.tars import Stamp

FOLDER_SIDECAR = "captions.json"
"""One file for a whole folder: {"photo.jpg": "a caption"} or {"photo.jpg": ["a caption", "another"]}."""

SUFFIXES = (".txt", ".json", ".supplemental-metadata.json")
"""Of a picture's own sidecars, after its name with or without its suffix. The last is how Google Takeout names them."""

MAX_SIDECAR_BYTES = 1_000_000
MAX_FOLDER_SIDECAR_BYTES = 128_000_000
MAX_CAPTIONS = 100
MAX_CAPTION_LENGTH = 2_000

_one_parser = threading.Lock()
"""Held so that threads that start on a folder together parse its file once."""


@dataclass(frozen=True, slots=True)
class Captions:
    """The captions of one picture in the order of its sidecars, and why a sidecar gave none or not all,
    each beginning with a name in the picture's folder.

    `unread` when a sidecar could not be read this time: then these may not be all.
    """

    captions: tuple[str, ...]
    problems: tuple[str, ...] = ()
    unread: bool = False


class _BadSidecar(Exception):
    """A sidecar that cannot be used; the message is the reason. `unread` when another try may do."""

    unread = False


class _UnreadSidecar(_BadSidecar):
    unread = True


def sidecars_of(name: str, names_in_folder: AbstractSet[str]) -> tuple[str, ...]:
    """Names among `names_in_folder` that may hold captions of the picture `name`, nearest first."""
    stems = dict.fromkeys((PurePath(name).stem, name))
    own = [stem + suffix for suffix in SUFFIXES for stem in stems]
    candidates = dict.fromkeys([*(candidate for candidate in own if candidate != FOLDER_SIDECAR), FOLDER_SIDECAR])
    return tuple(candidate for candidate in candidates if candidate in names_in_folder)


def read_captions(picture: str, sidecars: Sequence[str]) -> Captions:
    """Read the sidecars of `picture`. A malformed one is a problem beside the captions of the others, never an error.

    Captions are on one line each, without duplicates, at most MAX_CAPTIONS of MAX_CAPTION_LENGTH characters.
    """
    folder, _, name = picture.rpartition("/")
    captions: dict[str, None] = {}
    problems, unread = [], False
    for sidecar in sidecars:
        try:
            texts = _texts_in(f"{folder}/{sidecar}", name)
        except _BadSidecar as error:
            problems.append(f"{sidecar}: {error}")
            unread = unread or error.unread
        else:
            captions.update((line, None) for text in texts if (line := _line(text)))
    if len(captions) > MAX_CAPTIONS:
        problems.append(f"{name}: {len(captions):,} captions, only the first {MAX_CAPTIONS} are kept")
    return Captions(tuple(captions)[:MAX_CAPTIONS], tuple(problems), unread)


def _texts_in(sidecar: str, name: str) -> list[str]:
    if sidecar.endswith(f"/{FOLDER_SIDECAR}"):
        return _texts(_captions_by_name(sidecar).get(name))
    text = _text_of(sidecar, MAX_SIDECAR_BYTES)
    return _texts(_parsed(text)) if sidecar.endswith(".json") else text.splitlines()


def _captions_by_name(sidecar: str) -> dict[str, Any]:
    try:
        stamp = stamp_of(sidecar)
    except OSError as error:
        raise _UnreadSidecar(f"cannot be read: {error.strerror}") from error
    with _one_parser:
        captions = _parsed_folder_sidecar(sidecar, stamp)
    if isinstance(captions, str):
        raise _BadSidecar(captions)
    return captions


@functools.lru_cache(maxsize=2)
def _parsed_folder_sidecar(sidecar: str, stamp: Stamp) -> dict[str, Any] | str:  # noqa: ARG001 (the cache's key)
    """The captions by picture, or why there are none, which is remembered too: every picture of the folder asks."""
    try:
        captions = _parsed(_text_of(sidecar, MAX_FOLDER_SIDECAR_BYTES))
    except _UnreadSidecar:
        raise
    except _BadSidecar as error:
        return str(error)
    return captions if isinstance(captions, dict) else "not an object of captions by file name"


def _text_of(sidecar: str, max_bytes: int) -> str:
    try:
        return read_file(sidecar, max_bytes=max_bytes).decode("utf-8-sig")
    except UnreadFile as error:
        raise _UnreadSidecar(str(error)) from error
    except BadPicture as error:
        raise _BadSidecar(str(error)) from error
    except UnicodeDecodeError as error:
        raise _BadSidecar(f"not UTF-8 text: byte {error.start} is wrong") from error


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _BadSidecar(f"not JSON: {error.msg} in line {error.lineno}") from error
    except (RecursionError, ValueError) as error:  # nested too deep; an integer of too many digits
        raise _BadSidecar("not JSON that can be read: too deep or a number too long") from error


def _texts(value: Any) -> list[str]:
    """The captions in a JSON value: a text, a list of them, or an object that holds either under a known key."""
    values = [value.get(key) for key in ("caption", "captions", "description")] if isinstance(value, dict) else [value]
    lists = [item if isinstance(item, list) else [item] for item in values if item is not None]
    texts = [text for texts in lists for text in texts]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise _BadSidecar(f"a caption that is not a text but {type(wrong[0]).__name__}")
    return texts


def _line(text: str) -> str:
    """On one line, within the limit, and without the lone surrogates that JSON can write and no database can store."""
    return " ".join(text.encode("utf-8", "ignore").decode().replace("\0", " ").split())[:MAX_CAPTION_LENGTH].rstrip()
