"""Ranks -> a PNG of recall against k."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from indexer.retrieval import Retrieval
from search.errors import BadQuery
from search.evaluate import recall

MOST = 100
"""The largest k that is drawn."""


def require_plots(file: Path) -> None:
    """Raises BadQuery where nothing can be drawn into `file`; asked before anything slow is done."""
    if importlib.util.find_spec("matplotlib") is None:
        raise BadQuery("--plot needs another package: pip install 'text-image-search[plot]', or pip install matplotlib")
    if not file.absolute().parent.is_dir():
        raise BadQuery(f"{file} cannot be written: there is no folder {file.absolute().parent}")


def plot_recall(measured: Retrieval, file: Path) -> None:
    """Both directions over k on a logarithmic scale. Raises BadQuery where the file cannot be written."""
    from matplotlib.figure import Figure  # a second to import, and needed for this alone

    pictures, captions = len(measured.image_to_text), len(measured.text_to_image)
    ks = range(1, min(MOST, pictures) + 1)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for title, ranks in (("text to image", measured.text_to_image), ("image to text", measured.image_to_text)):
        axes.plot(ks, [recall(ranks, k) for k in ks], label=title, marker="." if len(ks) <= 20 else None)
    ticks = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= len(ks)]
    axes.set(xscale="log", xlabel="k", ylabel="recall@k", ylim=(0, 1.02))
    axes.set_xticks(ticks, labels=[str(k) for k in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    name = Path(measured.model).name if Path(measured.model).is_absolute() else measured.model
    axes.set_title(f"{name}: {pictures:,} pictures, {captions:,} captions", fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    try:
        figure.savefig(file, format="png", dpi=150)
    except OSError as error:
        raise BadQuery(f"{file} cannot be written: {error.strerror}") from error
