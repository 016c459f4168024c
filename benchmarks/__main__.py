"""Runs the benchmarks: ``python -m benchmarks [--quick] [--only NAME ...]``; ``report`` only rewrites the page.

A full run writes ``benchmarks/results.json``, ``docs/performance.svg`` and the figures in ``docs/performance.md``.
With ``--only`` the figures are only printed; with ``--renew`` they also replace the kept ones. The exit code is 1 if a
benchmark failed; a missed target is marked, and is no failure.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace

from local.cloud.settings import REPOSITORY

# The pipeline's package lies in Airflow's plugins folder.
sys.path.insert(0, str(REPOSITORY / "plugins"))

from benchmarks import system
from benchmarks.conditions import FULL, QUICK
from benchmarks.lab import Lab, lab
from benchmarks.page import figure, table, write_page
from benchmarks.plot import write_plot
from benchmarks.results import RESULTS, Benchmark, Results, Row, now
from benchmarks.rows import BENCHMARKS
from benchmarks.scale_page import write_scale_page
from local.cloud.processes import raise_on_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(arguments)
    raise_on_signals()
    try:
        if options.command == "report":
            results = Results.read(RESULTS)
            _publish(results)
        else:
            results = _measure([each for each in BENCHMARKS if each.name in options.only], quick=options.quick)
            if options.renew:
                results = _in_order(Results.read(RESULTS).renewed_by(results))
            if options.renew or len(results.rows) == len(BENCHMARKS):
                RESULTS.write_text(results.to_json(), encoding="utf-8")
                results = Results.read(RESULTS)
                _publish(results)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    print(table(results))
    return 1 if results.failed else 0


def _in_order(results: Results) -> Results:
    """The results with their rows in the order of the benchmarks."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    return replace(results, rows=sorted(results.rows, key=lambda row: names.index(row.name)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "report"], default="run")
    parser.add_argument("--quick", action="store_true", help="less data and fewer runs")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--renew", action="store_true", help="with --only: replace the kept rows")
    return parser.parse_args(arguments)


def _measure(benchmarks: Sequence[Benchmark], *, quick: bool) -> Results:
    begin = time.monotonic()
    conditions, machine = QUICK if quick else FULL, system.machine()
    with lab(conditions) as place:
        rows = [_measure_one(benchmark, place) for benchmark in benchmarks]
    return Results(
        date=now(),
        quick=quick,
        seconds=time.monotonic() - begin,
        machine=machine,
        versions=system.versions(),
        conditions=asdict(conditions),
        rows=rows,
    )


def _measure_one(benchmark: Benchmark, place: Lab) -> Row:
    print(f"{benchmark.name}: {benchmark.title}", file=sys.stderr, flush=True)
    begin = time.monotonic()
    row = benchmark.measure(place)
    if row.error is not None:
        place.down()  # the next benchmark must not find what this one left
    told = row.error or f"{figure(row.ours)} {row.unit}, baseline {figure(row.baseline)}"
    print(f"  {told}; took {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return row


def _publish(results: Results) -> None:
    write_page(results, BENCHMARKS)
    write_plot(results)
    write_scale_page(results)


if __name__ == "__main__":
    sys.exit(main())
