"""The process behind `search/apart.py` with a JPEG 2000 decoder that fails as the picture says, in each way there is.

A picture of it is the signature of JPEG 2000 and a word.
"""

from __future__ import annotations

import ctypes
import io
import os
import time
from typing import Any

from PIL import Image

from search import apart_worker

SIGNATURE = b"\xff\x4f\xff\x51"
WORKER = "from tests.bad_decoders import main; main()"


def picture(word: str) -> bytes:
    return SIGNATURE + word.encode()


class _Picture(Image.Image):
    """Fails where a decoder does, once it is asked for pixels."""

    format = "JPEG2000"

    def __init__(self, word: str) -> None:
        super().__init__()
        self._mode, self._size = "RGB", (8, 8)
        self.word = word

    def load(self) -> Any:
        match self.word:
            case "crashes":
                ctypes.string_at(0)
            case "sleeps":
                time.sleep(3_600)
            case "hangs":  # in C, with Python's lock
                ctypes.PyDLL(None).pause()
            case "takes memory":
                blocks = [bytes(1 << 26) for _ in range(1 << 20)]
                raise AssertionError(f"{len(blocks)} blocks of memory")
            case "takes memory at once":
                bytes(1 << 40)
            case "exits":
                os._exit(3)
            case "prints":
                os.write(1, b'{"refused": "what a library prints"}\n')
        self.im = Image.new("RGB", self.size, "red").im
        return super().load()


def _open(stream: io.BytesIO, _name: str) -> Image.Image:
    return _Picture(stream.read().removeprefix(SIGNATURE).decode())


def main() -> None:
    Image.init()
    Image.OPEN["JPEG2000"] = (_open, lambda prefix: prefix.startswith(SIGNATURE))  # type: ignore[assignment]
    apart_worker.main()
