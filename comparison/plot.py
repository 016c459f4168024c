"""Draws docs/comparison.svg: each measurement of both sides."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import median
from benchmarks.page import figure
from comparison.results import Results
from local.cloud.settings import REPOSITORY

PLOT = REPOSITORY / "docs" / "comparison.svg"
_SIDES = {"airflow": "Airflow", "prefect": "Prefect"}
_COLOURS = ["#7a5fb5", "#2a78b5"]


def write_plot(results: Results, path: Path = PLOT) -> None:
    """Draw the measurements that both sides have, each with its own scale; the same results give the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [each for each in results.measurements if all(each.runs.get(side) for side in _SIDES)]
    with mpl.rc_context({"svg.hashsalt": "comparison", "svg.fonttype": "none", "font.size": 9}):
        drawing = Figure(figsize=(8, 0.6 + 0.85 * max(len(rows), 1)), layout="constrained")
        for place, each in enumerate(rows, start=1):
            axes = drawing.add_subplot(len(rows), 1, place)
            values = [median(each.runs[side]) for side in reversed(_SIDES)]
            bars = axes.barh(list(reversed(_SIDES.values())), values, color=_COLOURS)
            axes.bar_label(bars, labels=[f"{figure(value)} {each.unit}" for value in values], padding=3)
            axes.set_title(each.title, loc="left", fontsize=9)
            axes.set_xlim(0, 1.2 * max(values))
            axes.xaxis.set_visible(False)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
        drawing.savefig(path, metadata={"Date": None, "Creator": None})
