"""The benchmarks in their order: those without servers, those with the embedded cloud, those with Airflow."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.results import Benchmark
from benchmarks.rows import (
    conversion,
    guards,
    loading,
    memory,
    month,
    months_page,
    overhead,
    parsing,
    scale,
    settings,
    simulation,
    work_dir,
)

BENCHMARKS: Sequence[Benchmark] = (
    conversion.CSV_TO_PARQUET,
    conversion.MEMORY_BY_ROWS,
    parsing.DAG_PARSE,
    loading.PARQUET_TO_POSTGRES,
    loading.PARQUET_TO_BIGQUERY,
    memory.TASK_MEMORY_FHVHV,
    scale.COST_OF_A_MONTH,
    work_dir.WORK_DIR,
    month.MONTH_END_TO_END,
    overhead.START_UP,
    overhead.TASK_OVERHEAD,
    overhead.IDLE_CPU,
    month.MONTH_THROUGH_AIRFLOW,
    month.BACKFILL_PARALLELISM,
    months_page.MONTHS_PAGE,
    settings.SCHEDULER_IDLE_SLEEP,
    simulation.SIMULATED_BACKFILL,
    guards.GUARDS_MONTH_END_TO_END,
    guards.GUARDS_MONTH_THROUGH_AIRFLOW,
)
