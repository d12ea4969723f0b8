"""The process behind `search/apart.py` with decoders of JPEG 2000 and QOI that fail as the picture says, in each way
there is.

A picture of them is the signature of the format and a word.
"""

from __future__ import annotations

import ctypes
import io
import os
import time
from typing import Any

from PIL import Image

from search import apart_worker

SIGNATURES = {"JPEG2000": b"\xff\x4f\xff\x51", "QOI": b"qoif"}
WORKER = "from tests.bad_decoders import main; main()"


def picture(word: str, format_: str = "JPEG2000") -> bytes:
    return SIGNATURES[format_] + word.encode()


class _Picture(Image.Image):
    """Fails where a decoder does, once it is asked for pixels."""

    def __init__(self, format_: str, word: str) -> None:
        super().__init__()
        self.format = format_
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


def install() -> None:
    Image.init()
    for format_, signature in SIGNATURES.items():

        def open_(stream: io.BytesIO, _name: str, format_: str = format_) -> Image.Image:
            return _Picture(format_, stream.read()[4:].decode())

        Image.OPEN[format_] = (open_, lambda prefix, signature=signature: prefix.startswith(signature))  # type: ignore[assignment]


def main() -> None:
    install()
    apart_worker.main()
