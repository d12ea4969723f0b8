"""The tables of docs/SCALING.md: what was measured at small scale, or published, times the number of images.

python -m benchmarks.scaling
"""

from __future__ import annotations

COUNTS = (10**5, 10**6, 10**7, 10**8, 10**9)

CATALOG = 2531
FEATURES = 6559
CAPTION = 2261
INDEX_FILE = 2 * 512 + 8 + 128
CODES = 131
PLAN = 527
PUBLISH_MEMORY = 2100
"""Bytes an image of 512 dimensions: benchmarks.sizes, benchmarks.indexes and benchmarks.transfer."""

SCAN_MS = 14.9
PUBLISH_S = 61
WRITE_S = 221
"""For a million images: benchmarks.indexes and benchmarks.transfer."""

RATES = {
    "2 cores, ViT-B/32 (measured here)": 17.5,
    "RTX 3080, ViT-B/32 (published)": 1450,
    "TITAN RTX, ViT-B/32 (published)": 286,
    "TITAN RTX, ViT-L/14 (published)": 140,
    "TITAN RTX, ViT-L/14@336 (published)": 76,
}
"""Images a second."""

MILVUS = 4 * 512 + 8 + 76
"""Bytes a vector that Milvus is given: the row, its id, and the fields that filters ask (search/milvus_fields.py)."""


def main() -> None:
    for table in tables():
        print("\n".join(table), end="\n\n")


def tables() -> list[list[str]]:
    return [one_machine(), embedding(), milvus()]


def one_machine() -> list[str]:
    rows: dict[str, list[str]] = {
        "catalog, bare": [size(n * CATALOG) for n in COUNTS],
        "catalog, with 64 local features": [size(n * (CATALOG + FEATURES)) for n in COUNTS],
        "and for each caption of an image": [size(n * CAPTION) for n in COUNTS],
        "index file, scan": [size(n * INDEX_FILE) for n in COUNTS],
        "memory of a reader, besides the mapped file": [size(n * CODES) for n in COUNTS],
        "memory of a publication": [size(n * PUBLISH_MEMORY) for n in COUNTS],
        "memory to plan a build": [size(n * PLAN) for n in COUNTS],
        "a query, index alone": [duration(n / 1e6 * SCAN_MS / 1000) for n in COUNTS],
        "a publication": [duration(n / 1e6 * PUBLISH_S) for n in COUNTS],
        "rows checked and written by one driver": [duration(n / 1e6 * WRITE_S) for n in COUNTS],
    }
    return markdown("one machine, 512 dimensions", rows)


def embedding() -> list[str]:
    return markdown(
        "embedding, one of these", {name: [duration(n / rate) for n in COUNTS] for name, rate in RATES.items()}
    )


def milvus() -> list[str]:
    rows = {
        "FLAT or IVF_FLAT: memory": [size(n * MILVUS) for n in COUNTS],
        "with the generation before": [size(2 * n * MILVUS) for n in COUNTS],
    }
    return markdown("Milvus, 512 dimensions, by what is stored", rows)


def markdown(title: str, rows: dict[str, list[str]]) -> list[str]:
    heading = f"| {title} | " + " | ".join(f"10^{len(str(n)) - 1}" for n in COUNTS) + " |"
    body = [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items()]
    return [heading, "|---" * (len(COUNTS) + 1) + "|", *body]


def size(size_bytes: float) -> str:
    """In units of 1000, two digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 999.5:
            return f"{_two_digits(size_bytes)} {unit}"
        size_bytes /= 1000
    return f"{_two_digits(size_bytes)} TB"


def duration(seconds: float) -> str:
    for limit, by, unit in ((0.9995, 1e-3, "ms"), (90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{_two_digits(seconds / by)} {unit}"
    return f"{_two_digits(seconds / 86400)} days"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


if __name__ == "__main__":
    main()
