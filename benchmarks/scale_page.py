"""Computes from the measured costs what many years take, as the generated section of docs/scale.md."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.page import BEGIN, END, figure, page_with
from benchmarks.results import Results, Row
from local.airflow.gcp_forecast import MILLIONS, YEARS
from local.cloud.settings import REPOSITORY
from nyc_taxi.common.objects import CHUNK_BYTES

PAGE = REPOSITORY / "docs" / "scale.md"
GOLDEN = REPOSITORY / "tests" / "golden"
# How many requests a small month sends, by run and method, as tests/google/golden.py has counted them.
REQUESTS = REPOSITORY / "tests" / "google" / "requests.json"
IN_BUCKET, PART = ".work_dir", "storage.objects.insert, a part"
STEPS = ("web_to_gcs", "gcs_to_bigquery", "web_to_postgres")
WORKERS = (2, 20, 200)
DAGS = len(STEPS) * len(MILLIONS)
_WORKERS_HEAD = (
    "workers of one core",
    "work dir",
    "tasks at a time",
    "runs at a time of each DAG",
    "time by workers",
    "tasks by tasks a second",
    "so it takes",
)


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


def requests_of_a_month(dataset: str, source_mb: float, lake_mb: float, *, in_bucket: bool = False) -> int:
    """Return how many requests to Google a month with files of that size sends from all of its DAGs.

    Args:
        dataset: name of the dataset.
        source_mb: size of the source's file.
        lake_mb: size of the Parquet file.
        in_bucket: whether the work dir is in a bucket.
    """
    counts = json.loads(REQUESTS.read_text())
    names = [f"{dataset}_{step}" for step in STEPS]
    if in_bucket:
        names = [name + IN_BUCKET if name + IN_BUCKET in counts else name for name in names]
    small = sum(number for name in names for method, number in counts[name].items() if method != PART)
    # The Parquet file goes to the lake; in a bucket, two DAGs also hand on both files.
    return small + parts(lake_mb) + (2 * (parts(source_mb) + parts(lake_mb)) if in_bucket else 0)


def parts(megabytes: float) -> int:
    """Return in how many parts a file is uploaded, beyond the first request; a small one goes with that."""
    size = megabytes * 1e6
    return 0 if size <= _SMALL_BYTES else math.ceil(size / CHUNK_BYTES)


_UNCHANGED = {"announce_unchanged"}
# Up to this size, Google's client uploads a file in one request.
_SMALL_BYTES = 8 * 1024 * 1024


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
        "requests",
        "with a work dir in a bucket",
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
            *(str(requests_of_a_month(dataset, *whole[1:], in_bucket=each)) for each in (False, True)),
        ]
        table.append([f"`{dataset}`", *told])
    return [
        f"Measured {_when(row)}: `to_parquet`, `local_to_gcs` and `load_staging` of a month of {row.more['rows']:,} "
        "rows. The first four figures are for a million rows, the others for a month of the assumed rows. Requests are "
        "those to Google: of a small month, as a proxy has counted them, and one more for each 16 MiB of an upload.",
        "",
        *_table(head, table),
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
    handing_on = _handing_on(rows.get("work_dir"), conditions)
    table = []
    for workers in WORKERS:
        shared = workers <= cores
        seconds = (work + tasks * each + (0 if shared else handing_on)) / workers
        place, runs = "a folder" if shared else "a bucket", math.ceil(workers / DAGS)
        times = (seconds, scheduling, max(seconds, scheduling))
        table.append([str(workers), place, str(workers), str(runs), *map(_hours, times)])
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
        *_table(_WORKERS_HEAD, table),
        "",
        f"A work dir in a bucket, which workers on several machines need, adds {_hours(handing_on)} by `work_dir`."
        if handing_on
        else "What a work dir in a bucket adds has not been measured yet.",
    ]


def _handing_on(row: Row | None, conditions: Mapping[str, Any]) -> float:
    """Return the seconds that a work dir in a bucket adds to all years: two DAGs of each month hand files on."""
    if row is None or row.ours is None or row.baseline is None:
        return 0.0
    return 2 * 12 * YEARS * sum(MILLIONS.values()) * (row.ours - row.baseline) / (conditions["yellow_rows"] / 1e6)


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
