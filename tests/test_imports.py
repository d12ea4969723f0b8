"""The import diagram: which module may know which library, and what a quick answer may not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import search
from search.settings import PROJECT

FILES = sorted(file for package in ("search", "indexer", "web") for file in (PROJECT / package).rglob("*.py"))

MODELS = {
    f"search/{name}.py" for name in ("formats", "weights", "torchscript", "architectures", "hugging_face", "timm_tower")
}
"""What reads the formats of models."""

HOMES = {
    "torch": {
        "indexer/plain_loop.py",
        "search/torch_encoder.py",
        "search/onnx_export.py",
        "search/cutting.py",
        "search/fitting.py",
        "search/attention.py",
        "search/pooling.py",
        "search/building.py",
        *MODELS,
    },
    "onnxruntime": {"search/onnx_encoder.py", "search/onnx_export.py"},
    "onnx": {"search/onnx_export.py"},
    "regex": {"search/byte_pairs.py"},
    "ftfy": {"search/byte_pairs.py"},
    "open_clip": {
        "search/building.py",
        "search/checkpoints.py",
        "search/preprocessing.py",
        "search/cutting.py",
        "search/attention.py",
        "search/pooling.py",
        "search/tokens.py",
        "search/onnx_export.py",
        "search/prompts.py",
        *MODELS,
    },
    "timm": {"search/timm_tower.py"},
    "faiss": {
        "search/exact_index.py",
        "search/scan_index.py",
        "search/index_threads.py",
        "search/kinds.py",
        "search/index_file.py",
        "search/keypoint_index.py",
        "search/vector_cells.py",
    },
    "sqlalchemy": {
        "search/catalog.py",
        "search/apply.py",
        "search/bulk.py",
        "search/filters.py",
        "search/tags.py",
        "search/feature_records.py",
        "search/statements.py",
        "search/schema.py",
        "search/database.py",
        "search/sqlite.py",
        "search/postgres.py",
        "search/copy_rows.py",
        "search/migrate.py",
        "search/migrations/",
    },
    "psycopg": {"search/copy_rows.py"},
    "pymilvus": {"search/milvus_server.py", "search/milvus_collection.py"},
    "fsspec": {"search/stores.py"},
    "grpc": {"search/milvus_server.py"},
    "alembic": {"search/migrate.py", "search/migrations/"},
    "flask": {"web/"},
    "waitress": {"web/connections.py"},
    "flask_limiter": {"web/rate.py"},
    "urllib3": {"web/fetch.py"},
    "werkzeug": {"web/"},
    "prometheus_client": {"web/instruments.py"},
    "argparse": {
        "search/arguments.py",
        "search/__main__.py",
        "indexer/cli.py",
        "indexer/options.py",
        "indexer/commands.py",
        "indexer/classify_commands.py",
        "indexer/duplicate_commands.py",
        "indexer/measure.py",
        "indexer/asked.py",
        "indexer/gallery.py",
        "indexer/transfer_commands.py",
        "indexer/transfer_options.py",
        "web/__main__.py",
    },
    "tqdm": {
        "indexer/commands.py",
        "indexer/classify_commands.py",
        "indexer/duplicate_commands.py",
        "indexer/measure.py",
        "indexer/gallery.py",
        "indexer/retrieval.py",
        "indexer/transfer_commands.py",
    },
    "matplotlib": {"indexer/plot.py"},
    "pyarrow": {"indexer/rows.py"},
    "ray": {"indexer/distributed.py"},
    "watchfiles": {"indexer/watch.py"},
    "cv2": {"search/local_features.py", "search/alignment.py"},
    "rawpy": {"search/raw.py"},
    "cykooz_resizer": {"search/resizing.py"},
    "pillow_heif": {"search/signatures.py"},
}
"""Library -> the files, or folders, that may import it."""


def imports(file: Path) -> set[str]:
    """The modules that a file imports anywhere, but for type checking alone."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    nodes = [node for node in ast.walk(tree) if id(node) not in typing_only]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PROJECT)))
def test_a_file_imports_only_what_is_its_own(file: Path) -> None:
    name = file.relative_to(PROJECT).as_posix()
    libraries = {module.partition(".")[0] for module in imports(file)}
    strangers = [
        library
        for library in libraries & HOMES.keys()
        if not any(name == home or (home.endswith("/") and name.startswith(home)) for home in HOMES[library])
    ]
    assert strangers == []
    package = name.partition("/")[0]
    forbidden = {"search": {"indexer", "web"}, "indexer": {"web"}, "web": {"indexer"}}[package]
    assert libraries & forbidden == set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PROJECT)))
def test_a_file_is_short_enough_to_be_read_at_once(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["indexer", "--help"], ["torch", "faiss", "sqlalchemy", "numpy", "PIL"]),
        (["search", "--help"], ["torch", "faiss", "sqlalchemy", "numpy", "PIL"]),
        (["web", "--help"], ["torch", "faiss", "sqlalchemy", "numpy", "PIL", "flask"]),
        (["indexer", "status", "--collection", "nowhere"], ["torch", "open_clip", "psycopg", "pymilvus"]),
        (["indexer", "models"], ["torch", "open_clip"]),
    ],
    ids=" ".join,
)
def test_a_quick_answer_loads_nothing_heavy(words: list[str], absent: list[str]) -> None:
    program = (
        "import runpy, sys\n"
        f"sys.argv = {words!r}\n"
        "try:\n    runpy.run_module(sys.argv[0], run_name='__main__')\n"
        "except SystemExit:\n    pass\n"
        f"print([name for name in {absent!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_public_names_are_those_of_all() -> None:
    assert sorted(search._MODULES) == sorted(search.__all__)
    for name in search.__all__:
        assert getattr(search, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = search.nothing
