"""`python -m tests.fuzz TARGET`: the target under atheris, guided by what the project's own code covers."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

try:
    import atheris
except ImportError:
    sys.exit('error: the fuzzer is not installed: pip install -e ".[dev,fuzz]"')

INSTRUMENTED = ["search", "indexer", "web", "PIL", "zipfile", "pickle"]
"""Whose branches guide the fuzzer. What is written in C guides nobody, but crashes all the same."""

with atheris.instrument_imports(include=INSTRUMENTED):
    from tests.fuzz.seeds import found
    from tests.fuzz.targets import TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--minutes", type=float, default=5, metavar="N", help="how long (default: 5)")
    parser.add_argument(
        "--corpus",
        type=Path,
        default=Path(".fuzz"),
        metavar="FOLDER",
        help="keeps what covers something new, and inputs that made a finding (default: .fuzz)",
    )
    args = parser.parse_args()
    target, corpus = TARGETS[args.target], args.corpus / args.target
    (corpus / "inputs").mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate([*target.seeds(), *found(args.target)]):
        (corpus / "inputs" / f"seed-{number:02}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as scratch, atheris.instrument_imports(include=INSTRUMENTED):
        run = target.make(Path(scratch))
        options = {
            "artifact_prefix": f"{corpus}/",
            "max_total_time": round(60 * args.minutes),
            "timeout": 20,
            "rss_limit_mb": 4096,
            "max_len": 8192,
            "print_final_stats": 1,
        }
        words = [f"-{name}={value}" for name, value in options.items()]
        atheris.Setup([sys.argv[0], *words, str(corpus / "inputs")], run)
        atheris.Fuzz()


main()
