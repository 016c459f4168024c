"""The conditions of all measurements: amounts and repetitions."""

from __future__ import annotations

from dataclasses import dataclass

YELLOW_MONTH = "2021-01"
# Of each dataset: what its tasks cost.
MONTH = "2021-01"
BACKFILL_YEAR = 2020


def yellow_url(base_url: str) -> str:
    """The URL of the yellow month at a source in the mirror's layout."""
    return f"{base_url}/yellow/yellow_tripdata_{YELLOW_MONTH}.csv.gz"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The amounts and repetitions of a run.

    Attributes:
        repeats: repetitions of what takes seconds.
        slow_repeats: repetitions of what takes up to a minute.
        yellow_rows: rows of the month that is converted, loaded and run through Airflow.
        to_sql_rows: rows that pandas writes to Postgres; its speed does not depend on their number.
        memory_rows: rows of the months whose conversion is measured for its memory, ascending.
        memory_reference: the element of ``memory_rows`` with which the last one is compared.
        fhvhv_rows: rows of the month whose tasks are measured for their memory.
        chained_tasks: no-op tasks in a chain; ``benchmarks/dags`` has a DAG for this number.
        backfill_months: number of months in the backfill.
        backfill_rows: rows of each of these months.
        backfill_parallel: months of the backfill that run at a time.
        settle_seconds: idle time before the measurement of an idle stack.
        idle_seconds: duration of that measurement.
    """

    repeats: int
    slow_repeats: int
    yellow_rows: int
    to_sql_rows: int
    memory_rows: tuple[int, ...]
    memory_reference: int
    fhvhv_rows: int
    chained_tasks: int
    backfill_months: int
    backfill_rows: int
    backfill_parallel: int
    settle_seconds: float
    idle_seconds: float


FULL = Conditions(
    repeats=5,
    slow_repeats=3,
    yellow_rows=1_440_000,
    to_sql_rows=300_000,
    memory_rows=(100_000, 1_000_000, 5_000_000, 15_000_000),
    memory_reference=1_000_000,
    fhvhv_rows=10_000_000,
    chained_tasks=10,
    backfill_months=12,
    backfill_rows=100_000,
    backfill_parallel=4,
    settle_seconds=15.0,
    idle_seconds=60.0,
)

# Shows within minutes that everything works. Too small for the targets, which are those of the full run.
QUICK = Conditions(
    repeats=2,
    slow_repeats=1,
    yellow_rows=100_000,
    to_sql_rows=20_000,
    memory_rows=(100_000, 1_000_000),
    memory_reference=100_000,
    fhvhv_rows=200_000,
    chained_tasks=3,
    backfill_months=2,
    backfill_rows=20_000,
    backfill_parallel=2,
    settle_seconds=3.0,
    idle_seconds=20.0,
)
