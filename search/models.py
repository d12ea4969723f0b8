"""The model table, which models are on this machine, and what "auto" means; no torch here."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, get_session, hf_hub_download, scan_cache_dir, try_to_load_from_cache
from huggingface_hub.errors import (
    CacheNotFound,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from search.errors import ModelUnavailable
from search.settings import BUNDLED_MODEL

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""The names that hub repositories use, the preferred one first."""

BUNDLED = "bundled"
HUB_PREFIX = "hf-hub:"

# The hub's errors derive from the HTTPError of whichever client that release uses (httpx, later httpx2).
_HTTP_ERROR: type[BaseException] = HfHubHTTPError.__mro__[1]


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A checkpoint and what is published of it.

    Sizes are those of fp32 weights in megabytes, compute is GFLOP for one image, quality is in percent: ImageNet top-1
    zero-shot, and recall@1 without a prompt, text to image (t2i) and image to text (i2t). None: not measured.
    Source: open_clip's docs/openclip_results.csv, openclip_retrieval_results.csv and model_profile.csv.
    """

    name: str
    repo: str | None
    licence: str
    size_mb: int
    image_gflops: float | None
    imagenet_top1: float | None = None
    flickr_t2i_r1: float | None = None
    flickr_i2t_r1: float | None = None
    coco_t2i_r1: float | None = None
    coco_i2t_r1: float | None = None
    note: str = ""


_RESEARCH_ONLY = "the licence allows research only"
_TOKENIZER = "needs the package transformers for its tokenizer"

# fmt: off
MODELS: tuple[ModelInfo, ...] = (
    ModelInfo("ViT-B-32/openai", "timm/vit_base_patch32_clip_224.openai", "MIT",
              605, 8.82, 63.32, 58.78, 78.90, 30.44, 50.12),
    ModelInfo("ViT-B-16/openai", "timm/vit_base_patch16_clip_224.openai", "MIT",
              598, 35.13, 68.34, 62.16, 82.20, 33.09, 52.42),
    ModelInfo("ViT-L-14/openai", "timm/vit_large_patch14_clip_224.openai", "MIT",
              1710, 162.03, 75.54, 64.96, 85.20, 36.51, 56.34),
    ModelInfo("ViT-L-14-336/openai", "timm/vit_large_patch14_clip_336.openai", "MIT",
              1712, 381.92, 76.56, 66.90, 87.70, 37.09, 57.94),
    ModelInfo("ViT-B-32-256/datacomp_s34b_b86k", "laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K", "MIT",
              605, 11.5, 72.81, 64.92, 84.80, 39.93, 57.92, "auto on a CPU"),
    ModelInfo("ViT-B-32/laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "MIT",
              605, 8.82, 66.56, 66.78, 84.10, 39.34, 56.32),
    ModelInfo("ViT-L-14/datacomp_xl_s13b_b90k", "laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "MIT",
              1710, 162.03, 79.21, 73.38, 89.00, 45.73, 63.30, "auto on a GPU"),
    ModelInfo("ViT-H-14/laion2b_s32b_b79k", "laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "MIT",
              3944, 334.59, 77.96, 77.64, 90.70, 49.48, 65.92),
    ModelInfo("ViT-B-16-SigLIP/webli", "timm/ViT-B-16-SigLIP", "Apache-2.0",
              813, 35.42, 76.04, 74.68, 89.10, 47.78, 65.74, _TOKENIZER),
    ModelInfo("ViT-SO400M-14-SigLIP-384/webli", "timm/ViT-SO400M-14-SigLIP-384", "Apache-2.0",
              3512, 670.35, 83.08, 82.96, 94.30, 54.21, 72.42, _TOKENIZER),
    ModelInfo("ViT-H-14-378-quickgelu/dfn5b", "apple/DFN5B-CLIP-ViT-H-14-378", "apple-amlr",
              3947, 1006.96, 84.37, 82.02, 94.00, 55.64, 71.88, _RESEARCH_ONLY),
    ModelInfo(BUNDLED, None, "MIT", 17, 0.15, note="knows drawn scenes, not photographs; always on this machine"),
)
# fmt: on

AUTO_CPU = ("ViT-B-32-256/datacomp_s34b_b86k", "ViT-B-32/laion2b_s34b_b79k", "ViT-B-32/openai")
AUTO_GPU = ("ViT-L-14/datacomp_xl_s13b_b90k", "ViT-H-14/laion2b_s32b_b79k", "ViT-L-14/openai", *AUTO_CPU)
"""The first is what "auto" downloads; the others serve when they are on this machine and the first cannot be had."""


@dataclass(frozen=True, slots=True)
class Hub:
    """The Hugging Face hub and its cache on this machine; None stands for huggingface_hub's own setting."""

    endpoint: str | None = None
    cache: Path | None = None
    timeout_s: float = 3.0

    @property
    def url(self) -> str:
        return self.endpoint or constants.ENDPOINT

    def problem(self) -> str | None:
        """Why the hub cannot be asked, within about `timeout_s` seconds; None when it answers."""
        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE forbids asking the hub"
        answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # A thread, because no timeout reaches a name server that does not answer.
        threading.Thread(target=lambda: answers.put(_failure(self.url, self.timeout_s)), daemon=True).start()
        try:
            failure = answers.get(timeout=self.timeout_s)
        except queue.Empty:
            failure = f"no answer within {self.timeout_s:g} s"
        return f"{self.url} cannot be reached ({failure})" if failure else None

    def cached(self, repo: str, filename: str) -> Path | None:
        """The file in the cache; the network is not asked. ModelUnavailable for what is no name of a repository."""
        try:
            found = try_to_load_from_cache(repo, filename, cache_dir=self.cache)
        except HFValidationError as error:
            raise ModelUnavailable(f"{repo!r} is no name of a hub repository: {error}") from error
        return Path(found) if isinstance(found, str) else None

    def snapshot(self, repo: str) -> Path | None:
        """The folder in the cache that has the repository's configuration or weights, of the commit that is taken."""
        names = (CONFIG_FILE, "config.json", *WEIGHTS_FILES)
        return next((file.parent for name in names if (file := self.cached(repo, name))), None)

    def has_model(self, repo: str) -> bool:
        """Whether the repository's weights, under the usual names, are in the cache."""
        return any(self.cached(repo, filename) for filename in WEIGHTS_FILES)

    def fetch(self, repo: str, *filenames: str) -> Path:
        """The first of these files that the cache has, else the first that the hub has, downloaded into the cache.

        Raises ModelUnavailable with the reason.
        """
        if found := self.find(repo, *filenames):
            return found
        raise ModelUnavailable(f"{self.url}/{repo} has no file {' or '.join(filenames)}")

    def find(self, repo: str, *filenames: str) -> Path | None:
        """Like `fetch`, but None where the repository has none of these files."""
        for filename in filenames:
            if cached := self.cached(repo, filename):
                return cached
        if problem := self.problem():
            raise ModelUnavailable(f"{problem}\n{_by_hand(repo)}")
        return next(filter(None, (self._download(repo, filename) for filename in filenames)), None)

    def _download(self, repo: str, filename: str) -> Path | None:
        """The file, downloaded into the cache; None where the repository has no such file."""
        try:
            return Path(hf_hub_download(repo, filename, endpoint=self.endpoint, cache_dir=self.cache))
        except GatedRepoError as error:
            page = f"{self.url}/{repo}"
            raise ModelUnavailable(f"{repo} is gated: accept its terms at {page}, then `hf auth login`") from error
        except RepositoryNotFoundError as error:
            raise ModelUnavailable(f"{self.url} has no repository {repo}, or it is private") from error
        except LocalEntryNotFoundError as error:
            raise ModelUnavailable(f"{self.url} did not deliver {filename}\n{_by_hand(repo)}") from error
        except EntryNotFoundError:
            return None
        except (_HTTP_ERROR, OSError, RuntimeError) as error:
            raise ModelUnavailable(f"the download of {filename} broke off: {error}\n{_by_hand(repo)}") from error

    def cached_repos(self) -> list[str]:
        """The repositories in the cache that hold an open_clip configuration."""
        try:
            repos = scan_cache_dir(self.cache).repos
        except CacheNotFound:
            return []
        ids = [repo.repo_id for repo in repos if repo.repo_type == "model"]
        return sorted(repo for repo in ids if self.cached(repo, CONFIG_FILE))


def _by_hand(repo: str) -> str:
    return f"""\
On a machine with a network run
    hf download {repo} {CONFIG_FILE} {WEIGHTS_FILES[0]} --local-dir FOLDER
(the repository may have others, in transformers' format: config.json preprocessor_config.json tokenizer.json
model.safetensors), copy FOLDER to this machine and give its path as the model."""


def _failure(url: str, timeout_s: float) -> str | None:
    """What keeps the url from answering; any answer will do."""
    try:
        get_session().head(url, timeout=timeout_s)
    except (_HTTP_ERROR, OSError) as error:
        return str(error) or repr(error)
    return None


def local_models(*, models: Path | None, hub: Hub, bundled: Path = BUNDLED_MODEL) -> list[str]:
    """Names of the models that load without a network: of the table, of the hub's cache, in the folder `models`."""
    table = {info.repo: info.name for info in MODELS if info.repo}
    names = [name for repo, name in table.items() if hub.has_model(repo)]
    names += [f"hf-hub:{repo}" for repo in hub.cached_repos() if repo not in table and hub.has_model(repo)]
    configs = [*models.glob(f"*/{CONFIG_FILE}"), *models.glob("*/config.json")] if models else []
    names += sorted({config.parent.name for config in configs})
    return [*names, BUNDLED] if (bundled / CONFIG_FILE).is_file() else names


@dataclass(frozen=True, slots=True)
class Choice:
    """What "auto" means here and why; `notice` is set when much is lost and must be shown."""

    name: str
    reason: str
    notice: str | None = None


def choose_auto(*, has_gpu: bool, local: Container[str], hub_problem: Callable[[], str | None]) -> Choice:
    """The model for a new collection when none is named.

    On a CPU ViT-B-32-256/datacomp_s34b_b86k: of the table's models below 12 GFLOP an image it is best on ImageNet and
    on COCO; the next step up, a patch of 16, costs three times the compute. On a GPU, where decoding and not the tower
    sets the pace, ViT-L-14/datacomp_xl_s13b_b90k: ahead of all OpenAI models, MIT, 1.7 GB. ViT-H-14 gains four more
    points of recall for twice the compute and memory; ViT-B-16-SigLIP gains one or two for a fifth of the compute, but
    needs another package.

    `local` holds the names of the models on this machine; `hub_problem` says why the hub cannot be asked, if it cannot,
    and is called only when the first choice is not here (`Hub.problem`).
    """
    wanted, *others = AUTO_GPU if has_gpu else AUTO_CPU
    device = "a GPU" if has_gpu else "a CPU"
    if wanted in local:
        return Choice(wanted, f"the best for its speed on {device}, found on this machine")
    problem = hub_problem()
    if problem is None:
        size_mb = next(info.size_mb for info in MODELS if info.name == wanted)
        return Choice(wanted, f"the best for its speed on {device}; {size_mb} MB are downloaded once")
    for name in others:
        if name in local:
            return Choice(name, f"found on this machine; {wanted} would be the first choice, but {problem}")
    return Choice(BUNDLED, f"no pretrained model is on this machine, and {problem}", _bundled_notice(wanted, problem))


def _bundled_notice(wanted: str, problem: str) -> str:
    return f"""\
NOTICE: the small bundled model is used: no pretrained model is on this machine,
and {problem}. The bundled model has learned from drawn scenes only:
ON PHOTOGRAPHS ITS RESULTS ARE POOR. When there is a network, build anew with a model that knows photographs:
    python -m indexer build FOLDER --model {wanted} --collection NEW_DIR
`python -m indexer models` lists more of them."""
