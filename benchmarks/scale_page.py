"""Computes from the measured costs what many years take, as the generated section of docs/scale.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.page import BEGIN, END, figure, page_with
from benchmarks.results import Results, Row
from local.airflow.gcp_forecast import MILLIONS, YEARS
from local.cloud.settings import REPOSITORY

PAGE = REPOSITORY / "docs" / "scale.md"
GOLDEN = REPOSITORY / "tests" / "golden"
ON_RECORD = REPOSITORY / "tests" / "google" / "on_record"
STEPS = ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")
WORKERS = (2, 20, 200)


def write_scale_page(results: Results) -> None:
    """Rewrite the generated section of docs/scale.md, once both of its benchmarks were measured."""
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), scale_section(results)), encoding="utf-8")


def scale_section(results: Results) -> str:
    """Return the generated section, including its markers."""
    rows = {row.name: row for row in results.rows if row.error is None}
    lines = _costs(rows.get("cost_of_a_month")) + _backfill(rows, results.conditions, results.machine["cores"])
    return "\n".join([BEGIN, "", *lines, "", END])


def tasks_of_a_month(dataset: str) -> int:
    """Return how many tasks load a month of the dataset into all stores, ``announce_unchanged`` aside."""
    return sum(tasks_of(dataset, step) for step in STEPS)


def tasks_of(dataset: str, step: str) -> int:
    """Return how many tasks one of its DAGs runs for a month."""
    return len(json.loads((GOLDEN / f"{dataset}_{step}.json").read_text()).keys() - _UNCHANGED)


def requests_of_a_month() -> int:
    """Return how many requests to Google are on record for a month of green."""
    records = (json.loads((ON_RECORD / f"green_{step}.json").read_text()) for step in STEPS[:2])
    return sum(len(requests) for record in records for requests in record.values())


_UNCHANGED = {"announce_unchanged"}


def _costs(row: Row | None) -> list[str]:
    if row is None:
        return ["The cost of a month has not been measured yet."]
    millions = row.more["rows"] / 1e6
    head = (
        "dataset",
        "CPU s",
        "peak MB",
        "source MB",
        "lake MB",
        "assumed rows",
        "CPU s",
        "source MB",
        "lake MB",
        "tasks",
    )
    table = []
    for dataset, cost in row.more["by_dataset"].items():
        per_million = [cost[name] / millions for name in ("cpu_seconds", "source_mb", "lake_mb")]
        whole = [MILLIONS[dataset] * each for each in per_million]
        cells = [per_million[0], cost["peak_mb"], *per_million[1:]]
        told = [
            *map(figure, cells),
            f"{MILLIONS[dataset]:g} million",
            *map(figure, whole),
            str(tasks_of_a_month(dataset)),
        ]
        table.append([f"`{dataset}`", *told])
    return [
        f"Measured {_when(row)}: `to_parquet`, `local_to_gcs` and `load_staging` of a month of {row.more['rows']:,} "
        "rows. The first four figures are for a million rows, the last four for a month of the assumed rows.",
        "",
        *_table(head, table),
        "",
        f"A month sends {requests_of_a_month()} kinds of requests to Google, those on record for green in "
        "`tests/google/on_record`: one of each, but more of those that upload a large object in parts or ask whether a "
        "job has ended.",
    ]


def _backfill(rows: dict[str, Row], conditions: Mapping[str, Any], cores: int) -> list[str]:
    cost, backfill = rows.get("cost_of_a_month"), rows.get("backfill_parallelism")
    if cost is None or backfill is None or backfill.ours is None:
        return ["", "What many years take can be computed once both benchmarks were measured."]
    run = conditions["backfill_months"] * sum(tasks_of("green", step) for step in STEPS[:2])
    each, rate = cores * backfill.ours / run, run / backfill.ours
    simulated = rows.get("simulated_backfill")
    if simulated is not None:
        rate = simulated.more["tasks_a_second"]
    millions, months = cost.more["rows"] / 1e6, 12 * YEARS
    by_dataset = cost.more["by_dataset"].items()
    work = sum(months * MILLIONS[name] * one["cpu_seconds"] / millions for name, one in by_dataset)
    lake = sum(months * MILLIONS[name] * one["lake_mb"] / millions for name, one in by_dataset)
    tasks = sum(months * tasks_of_a_month(dataset) for dataset in MILLIONS)
    scheduling = tasks / rate
    table = []
    for workers in WORKERS:
        seconds = (work + tasks * each) / workers
        table.append([str(workers), *map(_hours, (seconds, scheduling, max(seconds, scheduling)))])
    return [
        "",
        f"`backfill_parallelism`: {backfill.note}, {run} tasks in {figure(backfill.ours)} s on {cores} cores. That is "
        f"{figure(run / backfill.ours)} tasks a second, and at most {figure(each)} CPU seconds for each.",
        *_simulated(simulated, cores),
        "",
        f"{YEARS} years of {len(MILLIONS)} datasets are {months * len(MILLIONS)} months, {tasks:,} tasks, "
        f"{_hours(work)} of CPU time for the data, {_hours(tasks * each)} for the tasks, "
        f"and {lake / 1000:,.0f} GB in the lake. "
        f"The tasks a second are those of `{(simulated or backfill).name}`:",
        "",
        *_table(("workers of one core", "CPU time by workers", "tasks by tasks a second", "so it takes"), table),
    ]


def _simulated(row: Row | None, cores: int) -> list[str]:
    """Tell the throughput of the simulated backfill, and which component took how much CPU time."""
    if row is None or row.ours is None or row.baseline is None:
        return ["", "The simulated backfill has not been measured yet."]
    more = row.more
    each = {name: seconds / more["tasks"] for name, seconds in more["cpu_seconds"].items()}
    largest = sorted(each, key=lambda name: -each[name])
    shares = [[f"`{name}`", figure(more["cpu_seconds"][name]), figure(1000 * each[name])] for name in largest]
    return [
        "",
        f"`simulated_backfill`, measured {_when(row)}: {more['runs']} runs with {more['tasks']:,} tasks in "
        f"{figure(row.ours / 60)} minutes on {cores} cores. That is {figure(more['tasks_a_second'])} tasks a second, "
        f"{more['most_at_once']} at once at most, in {more['slots']} slots. Their sleep alone, "
        f"{_hours(more['slept_seconds'])}, would take {figure(row.baseline / 60)} minutes. Other work on the machine "
        f"took {figure(more['cpu_seconds_of_other_work'])} s of CPU time meanwhile, and the stack:",
        "",
        *_table(("component", "CPU s", "ms a task"), shares),
        "",
        f"So {cores} cores alone are enough for at most {figure(cores / sum(each.values()))} tasks a second, "
        f"a core that only the scheduler has for at most {figure(1 / each['scheduler'])}, "
        f"and one that only the API server has for at most {figure(1 / each['api-server'])}.",
    ]


def _when(row: Row) -> str:
    return str(row.more.get("measured", ""))[:10] or "in the full run"


def _hours(seconds: float) -> str:
    return f"{figure(seconds / 3600)} hours"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    return [
        f"| {' | '.join(names)} |",
        f"| --- |{' ---: |' * (len(names) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
