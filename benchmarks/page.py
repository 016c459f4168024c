"""Formats the results: as a table for the terminal, and as the generated section of docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from benchmarks.results import Benchmark, Results, Row
from local.cloud.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "performance.md"
BEGIN, END = "<!-- results: begin; written by make bench -->", "<!-- results: end -->"
_HEAD = ("benchmark", "unit", "ours", "spread", "baseline", "spread", "times better", "runs", "peak MB", "target", "")
_LEFT = {0, 1, 9, 10}


def table(results: Results) -> str:
    """The results as a table for the terminal."""
    lines = [_HEAD, *map(_cells, results.rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(_HEAD))]
    text = [
        "  ".join(
            cell.ljust(width) if place in _LEFT else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([conditions(results), "", *text, "", *remarks(results)])


def section(results: Results, benchmarks: Iterable[Benchmark]) -> str:
    """The generated section of the page, including its markers."""
    by_name = {benchmark.name: benchmark for benchmark in benchmarks}
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [
        BEGIN,
        "",
        conditions(results),
        "",
        "| what | unit | ours | baseline | times better | peak MB | must reach | |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
        *(_markdown(row, by_name) for row in results.rows),
        "",
        *(f"- {remark}" for remark in [*remarks(results), *_not_measured(results, by_name)]),
        "",
        "![How many times better than its baseline each is](performance.svg)",
        "",
        f"Versions: {versions}.",
        "",
        END,
    ]
    return "\n".join(lines)


def page_with(text: str, generated: str) -> str:
    """Replace the generated section of the page ``text``.

    Raises:
        ValueError: the page has no such section.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks the lines {BEGIN} and {END}; add both")
    return head + generated + tail


def write_page(results: Results, benchmarks: Iterable[Benchmark]) -> None:
    """Rewrite the generated section of docs/performance.md."""
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), section(results, benchmarks)), encoding="utf-8")


def conditions(results: Results) -> str:
    """Date, kind, duration and machine of the run, in one sentence."""
    machine = results.machine
    kind = "a quick run, too small for the targets and no measure of speed" if results.quick else "a full run"
    on = f"{machine['cores']} cores ({machine['cpu']}), {machine['memory_gib']:.0f} GiB, {machine['os']}"
    load = f"load before the run {machine['load_before']:.2f}"
    return f"{results.date[:10]}, {kind}, {results.seconds / 60:.0f} minutes: {on}; {load}."


def remarks(results: Results) -> list[str]:
    """The notes to the rows, and the reasons of those that failed."""
    found = []
    for row in results.rows:
        if row.error is not None:
            found.append(f"{row.name} failed: {' '.join(row.error.split())}")
        elif row.note:
            found.append(f"{row.name}: {row.note}")
        if "measured" in row.more:
            measured = row.more["measured"][:16]
            found.append(f"{row.name} was measured apart from the full run: {measured} UTC{_machine(row)}")
        for setting, value in row.more.get("without", {}).items():
            found.append(f"{row.name} without {setting}: {figure(value)} {row.unit}")
        for setting, figures in row.more.get("by_setting", {}).items():
            told = "; ".join(f"{name} {figure(value)}" for name, value in figures.items())
            found.append(f"{row.name} at {setting}: {told}")
    return found


def _not_measured(results: Results, by_name: Mapping[str, Benchmark]) -> list[str]:
    """The benchmarks that are newer than the kept results."""
    missing = by_name.keys() - {row.name for row in results.rows}
    return [f"{name} has not been measured yet" for name in sorted(missing)]


def _machine(row: Row) -> str:
    """The machine of a row that was measured apart from the full run; empty if the row does not record it."""
    if "load_before" not in row.more:
        return ""
    return f", {row.more['cpu']}, load before it {row.more['load_before']:.2f}"


def figure(value: float | None) -> str:
    """A number with three significant digits; a dash for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cells(row: Row) -> tuple[str, ...]:
    figures = (row.ours, row.spread, row.baseline, row.baseline_spread, row.ratio)
    return (row.name, row.unit, *map(figure, figures), str(row.runs), _peaks(row), row.must_reach, row.outcome)


def _markdown(row: Row, by_name: Mapping[str, Benchmark]) -> str:
    benchmark = by_name[row.name]
    cells = (
        f"`{row.name}` {benchmark.title}; against {benchmark.against}",
        row.unit,
        _with_spread(row.ours, row.spread, row.runs),
        _with_spread(row.baseline, row.baseline_spread, row.runs),
        figure(row.ratio),
        _peaks(row),
        row.must_reach,
        row.outcome,
    )
    return f"| {' | '.join(cells)} |"


def _with_spread(value: float | None, spread: float | None, runs: int) -> str:
    """The figure and, with several runs, its spread."""
    return figure(value) if spread is None or runs < 2 else f"{figure(value)} (spread {figure(spread)})"


def _peaks(row: Row) -> str:
    """The peak memory of ours and of the baseline."""
    return "" if row.peak_mb is None else f"{figure(row.peak_mb)} / {figure(row.baseline_peak_mb)}"
