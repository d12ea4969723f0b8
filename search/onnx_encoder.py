"""The towers in ONNX Runtime: images or texts -> (n, dim) unit rows, on a CPU and without torch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states
from PIL.Image import Image

from search.byte_pairs import BytePairs
from search.encoder import IMAGE_BATCH, finite
from search.errors import ModelUnavailable
from search.exports import Exports
from search.geometry import geometry_of
from search.languages import in_latin, letters
from search.packing import pack
from search.types import EncoderIdentity, Logits

TEXT_TOWER, IMAGE_TOWER, MERGES, TEXT_ROWS = "text.onnx", "image.onnx", "merges.txt", "texts.npy"
"""The files of an export."""

_SLICE = 8
"""Pictures that are computed at once. Of 8 of ViT-B/32 what the layers hand on stays in the caches: 64 at once take an
eighth longer.
"""

_SPIN_US = 1_000
"""How long a thread of the text tower stays awake for its next part. At 50 threads fall asleep within the tower: a text
of 15 tokens takes 17.4 ms, and 11.3 at 200. A query to a server takes half a millisecond less than at 200. By default
it is much longer, and threads wait on cores that others need: three clients get 58 answers a second then, 77 so.
"""

ONNX_ERRORS: tuple[type[Exception], ...] = (
    *(states.Fail, states.InvalidGraph, states.InvalidProtobuf, states.InvalidArgument, states.NoSuchFile),
    *(states.NotImplemented, states.RuntimeException),
)
"""What ONNX Runtime raises for a file that it cannot read or a graph that it cannot compute; they have no base."""


class OnnxEncoder:
    """Satisfies `search.encoder.Encoder` with the towers in `folder`, and the `facts` written with them.

    The image tower is that in `images`. It is computed by one session on all `threads`, or, `apart`, by as many threads
    that share a session and each compute pictures of their own. A single text is computed on all threads, several are
    computed apart, since threads that wait for each other take longer together. With `once` sessions open quickly and
    compute slower. Texts of `known` have the rows, (dim,), that are given there.
    """

    def __init__(
        self,
        identity: EncoderIdentity,
        folder: Path,
        facts: Mapping[str, Any],
        *,
        images: Path,
        threads: int,
        apart: bool = False,
        once: bool = False,
        known: Mapping[str, NDArray[np.float32]] = MappingProxyType({}),
    ) -> None:
        self._identity = identity
        self._logits = Logits(*facts["logits"])
        self._geometry = geometry_of(identity.preprocessing)
        self.tokens = BytePairs((folder / MERGES).read_text(encoding="utf-8").split("\n"), facts["context"])
        self._length = None if facts["cut"] else facts["context"]
        self._known = known
        self._text = Tower(folder / TEXT_TOWER, threads, once, _SPIN_US)
        self._texts = self._text if once or threads == 1 else Tower(folder / TEXT_TOWER, 1)
        self._text_threads = threads
        self._counting, self._calls = threading.Lock(), 0
        self._text_pool = ThreadPoolExecutor(threads, thread_name_prefix="texts")
        self._image = Tower(images / IMAGE_TOWER, 1 if apart else threads, once)
        self._threads = threads if apart else 1
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="towers")

    @property
    def identity(self) -> EncoderIdentity:
        return self._identity

    @property
    def side(self) -> int:
        return max(self._geometry.width, self._geometry.height)

    @property
    def logits(self) -> Logits:
        return self._logits

    @property
    def on_gpu(self) -> bool:
        return False

    @property
    def context(self) -> int:
        return self.tokens.context

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.tokens.count(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """What `search.tokens.Tokens.reads` says of CLIP's own tokenizer."""
        return [in_latin(text) or not letters(text) for text in texts]

    def preprocess(self, image: Image) -> NDArray[np.uint8]:
        return self._geometry(image)

    def encode_batches(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """The next batch is asked for while the last computes."""
        running: deque[list[Future[NDArray[np.float32]]]] = deque()
        for batch in batches:
            running.append([self._pool.submit(self._image, pixels) for pixels in self._slices(batch)])
            if len(running) > 1:
                yield self._gather(future.result() for future in running.popleft())
        while running:
            yield self._gather(future.result() for future in running.popleft())

    def encode_images(self, images: Sequence[Image]) -> NDArray[np.float32]:
        chunks = (images[start : start + IMAGE_BATCH] for start in range(0, len(images), IMAGE_BATCH))
        return self._gather(self.encode_batches(np.stack([self.preprocess(i) for i in chunk]) for chunk in chunks))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if all(text in self._known for text in texts):
            return self._gather([self._known[text][np.newaxis] for text in texts])
        if len(texts) == 1:
            return self._gather([self._text(self.tokens(texts, self._length))])
        return self._apart(texts)

    def _apart(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Texts of like length together, so that few are filled up; each thread that is left takes some of its own."""
        lengths = np.minimum(self.tokens.count(texts), self.context)
        with self._threads_left() as threads:
            parts = pack(lengths, threads)
            tokens = (self.tokens([texts[place] for place in part], self._length) for part in parts)
            rows = self._gather(self._text_pool.map(self._texts, tokens))
        return rows[np.argsort(np.concatenate(parts))]

    @contextmanager
    def _threads_left(self) -> Iterator[int]:
        """How many threads no other call computes texts with, one at least."""
        with self._counting:
            threads = max(1, self._text_threads - self._calls)
            self._calls += 1
        try:
            yield threads
        finally:
            with self._counting:
                self._calls -= 1

    def _slices(self, batch: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Pictures that are computed together, as many slices for each thread. In int8, none are: the numbers of one
        would change those of another.
        """
        share = max(1, ceil(len(batch) / self._threads))
        size = 1 if self._identity.precision == "int8" else ceil(share / ceil(share / _SLICE))
        return [np.ascontiguousarray(batch[start : start + size]) for start in range(0, len(batch), size)]

    def _gather(self, parts: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        return finite(np.concatenate([np.empty((0, self._identity.dim), np.float32), *parts]), self._identity)


def open_exported(
    exports: Exports, identity: EncoderIdentity, *, threads: int, apart: bool = False, once: bool = False
) -> OnnxEncoder:
    """The encoder of what is exported. Raises ModelUnavailable where nothing is."""
    facts = exports.facts("fp32")
    if facts is None:
        raise ModelUnavailable(f"{exports.folder} holds no towers of {identity.model}")
    folder, images = exports.part("fp32"), exports.part(identity.precision)
    known = dict(zip(facts["texts"], np.load(folder / TEXT_ROWS), strict=True))
    return OnnxEncoder(identity, folder, facts, images=images, threads=threads, apart=apart, once=once, known=known)


class Tower:
    """The session of a file, opened when it is first called, by whichever thread."""

    def __init__(self, file: Path, threads: int, once: bool = False, spin_us: int | None = None) -> None:
        self._file = file
        self._options = _options(threads, once, spin_us)
        self._opening = threading.Lock()
        self._session: ort.InferenceSession | None = None

    def __call__(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """The tower's rows, (n, dim)."""
        session = self._open()
        rows: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: inputs})[0]
        return rows

    def _open(self) -> ort.InferenceSession:
        with self._opening:
            if self._session is None:
                try:
                    self._session = ort.InferenceSession(self._file, self._options, providers=["CPUExecutionProvider"])
                except ONNX_ERRORS as error:
                    raise ModelUnavailable(
                        f"{self._file} is damaged ({error}); remove {self._file.parent}, and it is made again"
                    ) from error
            return self._session


def _options(threads: int, once: bool, spin_us: int | None) -> ort.SessionOptions:
    """Rearranging the graph and the weights takes longer than a single query gains by it."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if spin_us is not None:
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(spin_us))
    if once:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def optimize(file: Path, optimized: Path) -> None:
    """Write a graph as ONNX Runtime rearranges it for any machine, its weights in a file beside it."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(optimized)
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", f"{optimized.name}.data"
    )
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
