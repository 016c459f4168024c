"""Draws docs/comparison.svg: each measurement of both sides."""

from __future__ import annotations

from pathlib import Path

from benchmarks.measure import median
from benchmarks.page import figure
from comparison.measurements import COLUMNS
from comparison.results import Results
from local.cloud.settings import REPOSITORY

PLOT = REPOSITORY / "docs" / "comparison.svg"
_TITLES = {"airflow": "Airflow", "prefect": "Prefect", **COLUMNS}
_COLOURS = {"airflow": "#7a5fb5", "prefect": "#2a78b5"}


def write_plot(results: Results, path: Path = PLOT) -> None:
    """Draw the measurements that both sides have, each with its own scale; the same results give the same file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [each for each in results.measurements if {_side(column) for column in each.runs} == set(_COLOURS)]
    heights = [0.5 + 0.2 * len(each.runs) for each in rows] or [1.0]
    with mpl.rc_context({"svg.hashsalt": "comparison", "svg.fonttype": "none", "font.size": 9}):
        drawing = Figure(figsize=(8, 0.6 + sum(heights)), layout="constrained")
        grid = drawing.add_gridspec(len(heights), 1, height_ratios=heights)
        for place, each in enumerate(rows):
            axes = drawing.add_subplot(grid[place])
            columns = [column for column in reversed(_TITLES) if each.runs.get(column)]
            values = [median(each.runs[column]) for column in columns]
            colours = [_COLOURS[_side(column)] for column in columns]
            bars = axes.barh([_TITLES[column] for column in columns], values, color=colours)
            axes.bar_label(bars, labels=[f"{figure(value)} {each.unit}" for value in values], padding=3)
            axes.set_title(each.title, loc="left", fontsize=9)
            axes.set_xlim(0, 1.2 * max(*values, 1e-9))
            axes.xaxis.set_visible(False)
            axes.spines[["top", "right", "bottom"]].set_visible(False)
        drawing.savefig(path, metadata={"Date": None, "Creator": None})


def _side(column: str) -> str:
    return column.partition(" ")[0]
