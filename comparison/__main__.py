"""Compares both versions: ``python -m comparison [--quick] [--only CONCEPT ...]``; ``report`` only rewrites the page.

A full run writes ``comparison/results.json``, ``docs/comparison.svg`` and the generated sections of
``docs/comparison.md``. With ``--only`` or ``--no-figures``, it replaces the kept results of these concepts' checks, and
keeps the figures. So does ``--quick``, which leaves out the checks that take long, and measures a little to see that it
works. ``--figures [ROW ...]`` measures alone, all figures or these, and keeps the checks; a full run leaves out the
figures that take minutes, and keeps those of the last such run. The exit code is 0 if both sides ran and left identical
rows, and every check ended with a finding.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from local.cloud.settings import REPOSITORY

# The pipeline's package lies in Airflow's plugins folder.
sys.path.insert(0, str(REPOSITORY / "plugins"))

from benchmarks import system
from benchmarks.measure import MeasureError
from benchmarks.results import now
from comparison.airflow_side import AirflowSide
from comparison.checks import Result
from comparison.concepts import CONCEPTS
from comparison.figures import Amounts, measure, probes
from comparison.fingerprints import fingerprint
from comparison.measurements import AS_HERE, FOR_CHECKS, Measurement
from comparison.page import rows as page_rows
from comparison.page import write_page
from comparison.place import Place, place
from comparison.plot import write_plot
from comparison.prefect_side import PrefectSide
from comparison.results import ORCHESTRATORS, RESULTS, SIDES, Loaded, Results
from comparison.sides import DatasetMonth, not_run
from local.cloud.processes import raise_on_signals

CHECKED = DatasetMonth("green", "2021-01")
COMPARED = (
    CHECKED,
    DatasetMonth("yellow", "2019-01"),
    DatasetMonth("green", "2021-02"),
    DatasetMonth("yellow", "2019-02"),
    DatasetMonth("yellow", "2019-03"),
)
COMPARED_QUICKLY = 2  # of these, from the first
COURSE = DatasetMonth("yellow", "2019-01")
# Generated where the source folder does not have them.
MEASURED = DatasetMonth("yellow", "2020-05")
BACKFILLED = (DatasetMonth("green", "2020-05"), DatasetMonth("green", "2020-06"))
# What takes seconds, as here; --figures measures the rest too, which would take longer than a run may.
FULL = Amounts(month=MEASURED, turns=5, slow_turns=0, as_shipped=False)
QUICK = Amounts(month=MEASURED, turns=1, slow_turns=0, as_shipped=False, range_months=0)
FIGURES = Amounts(month=MEASURED, turns=5, slow_turns=5)
QUICK_ROWS = ("month", "latency")
QUICK_FIGURES = replace(
    FIGURES, turns=1, slow_turns=1, range_months=2, idle_seconds=5, settling_seconds=0, registered=10, mapped=20
)
SYNTHETIC_ROWS = {"full": 100_000, "quick": 20_000}

Running = AirflowSide | PrefectSide
_BEGIN = time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = _options(arguments)
    raise_on_signals()
    try:
        if options.command == "report":
            results = Results.read()
            _publish(results)
        elif options.measured is not None:
            results = _measure_alone(options)
        else:
            with_figures = options.with_figures and not options.only
            quick = options.quick and with_figures
            concepts = options.only or [concept.name for concept in CONCEPTS if not (quick and concept.slow)]
            results = compare(concepts, quick=options.quick, source=_source(options.source), with_figures=with_figures)
            _keep(results, whole=with_figures and not quick)
    except MeasureError as error:  # an embedded cloud did not start, or the source lacks the month
        print(f"error: neither side can be compared: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    for name, reason in results.failures.items():
        print(f"{name}: {reason}")
    print(results.last_line())
    return 0 if results.is_complete else 1


def _keep(results: Results, *, whole: bool) -> None:
    """Put the results of a run into the kept ones, and write the page; a run that is not whole leaves the figures."""
    if RESULTS.exists() and not whole:
        results = Results.read().with_checks_of(results)
    elif RESULTS.exists():
        results = replace(results, measurements=Results.read().measurements).with_figures_of(results)
    RESULTS.write_text(results.to_json(), encoding="utf-8")
    _publish(Results.read())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [concept.name for concept in CONCEPTS]
    parser = argparse.ArgumentParser(prog="python -m comparison", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["run", "report"], default="run")
    parser.add_argument("--quick", action="store_true", help="less data and fewer runs")
    parser.add_argument("--no-figures", dest="with_figures", action="store_false", help="only check")
    rows = [probe.name for probe in probes(FIGURES)]
    parser.add_argument("--figures", dest="measured", nargs="*", choices=rows, metavar="ROW", help=", ".join(rows))
    parser.add_argument("--turns", type=int, default=FIGURES.turns, help="with --figures: of what takes seconds")
    parser.add_argument("--slow-turns", type=int, default=FIGURES.slow_turns, help="... of what takes minutes")
    parser.add_argument("--minutes", type=float, default=math.inf, help="with --figures: begin no turn that ends later")
    parser.add_argument("--only", nargs="+", choices=names, default=[], metavar="CONCEPT", help=", ".join(names))
    parser.add_argument(
        "--source",
        default=os.environ.get("SOURCE") or "synthetic",
        help="synthetic, or a folder",
    )
    return parser.parse_args(arguments)


def _source(given: str) -> str:
    """The source; a folder as absolute path."""
    if given == "synthetic":
        return given
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        raise SystemExit(f"error: SOURCE={given}: no such folder; give an existing folder, or synthetic")
    return str(folder)


def _measure_alone(options: argparse.Namespace) -> Results:
    """Measure, and put the figures into the kept results."""
    amounts = QUICK_FIGURES if options.quick else replace(FIGURES, turns=options.turns, slow_turns=options.slow_turns)
    kept, date, machine = Results.read(), now(), system.machine()
    failures: dict[str, str] = {}
    rows, source = SYNTHETIC_ROWS["quick" if options.quick else "full"], _source(options.source)
    with place(source=source, rows=rows, month=CHECKED, more=[MEASURED, *amounts.range]) as there:
        running, cold = _start(there, failures, settings=AS_HERE)
        measurements = [cold, *_measure(running, amounts, failures, options.measured, options.minutes)]
    figures = replace(
        kept,
        date=date,
        machine=machine,
        versions=system.versions(),
        measurements=measurements,
        failures=failures,
    )
    results = kept.with_figures_of(figures)
    RESULTS.write_text(results.to_json(), encoding="utf-8")
    _publish(results)
    return results


def compare(concepts: Sequence[str], *, quick: bool, source: str, with_figures: bool = True) -> Results:
    """Compare both sides.

    Args:
        concepts: names of the concepts to check.
        quick: less data and fewer runs.
        source: ``synthetic``, or a folder in the mirror's layout that has the months that are compared.
        with_figures: also measure.
    """
    page_rows({side: {} for side in SIDES})  # a broken link must show now, not after the run
    begin, date, machine = time.monotonic(), now(), system.machine()
    amounts = QUICK if quick else FULL
    failures: dict[str, str] = {}
    rows = SYNTHETIC_ROWS["quick" if quick else "full"]
    with place(source=source, rows=rows, month=CHECKED, more=[MEASURED, *BACKFILLED, *amounts.range]) as there:
        running, _ = _start(there, failures, at_once=quick)
        loaded = _load(there, running, COMPARED[:COMPARED_QUICKLY] if quick else COMPARED, failures)
        course = _course(there, failures)
        checks = _check(there, running, concepts, failures)
        _tell("checked")
        measurements = _measure(running, amounts, failures, QUICK_ROWS if quick else ()) if with_figures else []
    return Results(
        date=date,
        quick=quick,
        seconds=time.monotonic() - begin,
        machine=machine,
        versions=system.versions(),
        source=_source_in_words(source, rows),
        checks=checks,
        loaded=loaded,
        course_rerun=course,
        measurements=measurements,
        failures=failures,
    )


def _source_in_words(source: str, rows: int) -> str:
    if source == "synthetic":
        return f"synthetic months of {rows:,} rows"
    return f"a folder of months; months used only for the figures are synthetic, of {rows:,} rows"


def _measure(
    running: Sequence[Running],
    amounts: Amounts,
    failures: dict[str, str],
    only: Sequence[str] = (),
    minutes: float = math.inf,
) -> list[Measurement]:
    """Measure the sides that run; a figure that could not be measured is added to ``failures``."""
    _tell("measuring")
    measured, missing = measure(running, amounts, only, _tell, 60 * minutes)
    failures |= missing
    return measured


def _start(
    there: Place, failures: dict[str, str], *, at_once: bool = False, settings: str = FOR_CHECKS
) -> tuple[list[Running], Measurement]:
    """Start both sides; one that does not start is left out, and the reason is added to ``failures``.

    With other settings than for the checks, each is stopped again before the other starts.
    """
    seconds: dict[str, list[float]] = {}

    def start(side: Running) -> Running | None:
        try:
            seconds[f"{side.name} {AS_HERE}"] = [side.start(settings)]
        except Exception as error:
            failures[side.name] = str(error)
            _tell(f"{side.name} did not start: {error}")
            side.stop()
            return None
        _tell(f"{side.name} started in {seconds[f'{side.name} {AS_HERE}'][0]:.1f} s")
        if settings != FOR_CHECKS:
            side.stop()
        return side

    with ThreadPoolExecutor(2 if at_once else 1) as pool:
        running = [side for side in pool.map(start, (there.airflow, there.prefect)) if side]
    title = "First start, until a run can start"
    note = "once for each database, so only as here; Prefect also saves its blocks, automations and deployments"
    return running, Measurement(name="cold_start", title=title, unit="s", note=note, runs=seconds, measured=now()[:10])


def _load(
    there: Place, running: Sequence[Running], months: Sequence[DatasetMonth], failures: dict[str, str]
) -> list[Loaded]:
    """Load months on both sides at the same time, and compare the stores' contents."""
    _tell("loading " + ", ".join(f"{each.dataset} {each.month}" for each in months))
    with ThreadPoolExecutor() as pool:
        started = {side.name: pool.submit(side.load, months) for side in running}
    for name, load in started.items():
        if error := load.exception():
            failures[f"months, {name}"] = f"{type(error).__name__}: {error}"
    if len(running) < 2 or any(load.exception() for load in started.values()):
        return []
    loaded = []
    for each in months:
        try:
            found, published = there.contents(each), there.count_source(each)
        except Exception as error:
            failures[f"{each.dataset} {each.month}"] = f"{type(error).__name__}: {error}"
            continue
        rows = {side: {store: content.rows for store, content in stores.items()} for side, stores in found.items()}
        identical = found[there.airflow.name] == found[there.prefect.name]
        if any(count != published for stores in rows.values() for count in stores.values()):
            failures[f"{each.dataset} {each.month}"] = f"the source has {published:,} rows, the stores have {rows}"
        loaded.append(Loaded(dataset=each.dataset, month=each.month, rows=rows, identical=identical))
        _tell(f"{each.dataset} {each.month}: {'identical' if identical else f'different: {found}'}")
    return loaded


def _course(there: Place, failures: dict[str, str]) -> list[int]:
    """Run the course's flows twice; returns the rows of their table after each run."""
    try:
        rows = there.prefect.course_rerun(COURSE)
    except Exception as error:
        failures["course"] = str(error)
        return []
    _tell(f"the course's table after one run and after two: {rows}")
    if rows[1] != 2 * rows[0]:
        failures["course"] = f"two runs of its flows should double the rows of the month, but left {rows}"
    return rows


def _check(
    there: Place, running: Sequence[Running], concepts: Sequence[str], failures: dict[str, str]
) -> dict[str, dict[str, Result]]:
    """Run the checks of both sides at the same time."""
    sides: list[Running] = [there.airflow, there.prefect]
    # Here and not in the threads below: Python 3.11 cannot build syntax trees in two threads at once.
    versions = system.versions()
    code = {(side.name, concept): fingerprint(side.name, concept) for side in sides for concept in concepts}

    def of_side(side: Running) -> dict[str, Result]:
        found = {}
        results = side.check(concepts) if side in running else not_run(concepts, failures[side.name])
        for result in results:
            version = versions.get(ORCHESTRATORS[side.name], "")
            hashed = code[side.name, result.concept]
            found[result.concept] = replace(result, code=hashed, version=version, day=now()[:10])
            outcome = f"{side.name:<8} {result.outcome:<12} {result.concept:<24} {result.seconds:6.1f} s"
            print(f"{outcome}  {result.note}", flush=True)
        return {concept: found[concept] for concept in concepts}

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(of_side, sides))
    return {side.name: results for side, results in zip(sides, found, strict=True)}


def _publish(results: Results) -> None:
    write_page(results)
    write_plot(results)


def _tell(text: str) -> None:
    print(f"{time.monotonic() - _BEGIN:6.1f} s  {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
