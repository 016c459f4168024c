"""What must hold of a staging table before it is published, as the providers' check operators take it.

Each check is a name and an SQL condition over the whole table; the run fails if one does not hold.
"""

from __future__ import annotations

from nyc_taxi.datasets import Dataset, TripDataset

Checks = dict[str, dict[str, str]]

_HAS_ROWS = {"has_rows": {"check_statement": "COUNT(*) > 0"}}


def bigquery_checks(dataset: Dataset) -> Checks:
    """The checks of the dataset's staging table in BigQuery (templated)."""
    if not isinstance(dataset, TripDataset):
        return {**_HAS_ROWS, **_one_row_a_key("LocationID")}
    return {
        **_HAS_ROWS,
        "has_every_row_of_the_lake": {
            "check_statement": f"COUNT(*) = (SELECT COUNT(*) FROM trips.{dataset.name}_external"
            " WHERE year = {{ file().month.year }} AND month = {{ file().month.month }})"
        },
        "is_of_one_month": {
            "check_statement": "COUNTIF(source_month = DATE '{{ file().month.first_day }}') = COUNT(*)"
        },
    }


def postgres_checks(dataset: Dataset) -> Checks:
    """The checks of the dataset's staging table in Postgres (templated)."""
    every_row = {"has_every_row_of_the_source": {"check_statement": "COUNT(*) = {{ ti.xcom_pull('to_parquet') }}"}}
    if not isinstance(dataset, TripDataset):
        return {**_HAS_ROWS, **every_row, **_one_row_a_key('"LocationID"')}
    return {**_HAS_ROWS, **every_row}


def _one_row_a_key(column: str) -> Checks:
    return {"has_one_row_a_key": {"check_statement": f"COUNT(*) = COUNT(DISTINCT {column})"}}
