"""Draws docs/performance.svg: how many times better than its baseline each benchmark is."""

from __future__ import annotations

from pathlib import Path

from benchmarks.page import figure
from benchmarks.results import Results
from local.cloud.settings import REPOSITORY

PLOT = REPOSITORY / "docs" / "performance.svg"
_COLOURS = {"reached": "#2a78b5", "": "#2a78b5", "missed": "#d98032"}


def write_plot(results: Results, path: Path = PLOT) -> None:
    """Draw the rows that have a baseline, on a logarithmic scale; the same results give the same file."""
    # Imported here because it needs much memory, which would hide the peaks of the measured processes.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [row for row in reversed(results.rows) if row.ratio is not None]
    with mpl.rc_context({"svg.hashsalt": "performance", "svg.fonttype": "none", "font.size": 9}):
        drawing = Figure(figsize=(8, 1.2 + 0.32 * max(len(rows), 1)), layout="constrained")
        axes = drawing.subplots()
        colours = [_COLOURS[row.outcome] for row in rows]
        # Each bar starts at 1, where ours equals the baseline.
        axes.barh([row.name for row in rows], [(row.ratio or 1.0) - 1 for row in rows], left=1, color=colours)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        ratios = [row.ratio or 1.0 for row in rows]
        axes.set_xlim(min([0.5, *(0.7 * ratio for ratio in ratios)]), max([2.0, *(2.5 * ratio for ratio in ratios)]))
        for place, row in enumerate(rows):
            axes.annotate(
                f"{figure(row.ratio)} times", (max(row.ratio or 1.0, 1.0), place), (4, 0), va="center",
                textcoords="offset points",
            )  # fmt: skip
        axes.set_xlabel("times better than the baseline (orange: short of the target)")
        axes.set_title("A quick run" if results.quick else "A full run")
        drawing.savefig(path, metadata={"Date": None, "Creator": None})
