"""Translates a dataset's checks to the arguments of the BigQuery check operators."""

from __future__ import annotations

from typing import Any

from nyc_taxi.registry.checks import Level, TableCheck, statements
from nyc_taxi.registry.model import Dataset

# Compares with the row count in the footer of the lake object, which does not depend on the staging table.
HAS_EVERY_ROW_OF_THE_LAKE = TableCheck(
    name="has_every_row_of_the_lake", condition="COUNT(*) = {{ loaded_object().rows }}"
)


def bigquery_column_checks(dataset: Dataset) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the ``column_mapping`` for BigQueryColumnCheckOperator."""
    return {check.column: check.mapping() for check in dataset.checks.columns}


def bigquery_table_checks(dataset: Dataset, level: Level) -> dict[str, dict[str, str]]:
    """Return the ``checks`` of one level for BigQueryTableCheckOperator."""
    checks = (HAS_EVERY_ROW_OF_THE_LAKE, *dataset.checks.table)
    return {name: {"check_statement": sql.replace('"', "`")} for name, sql in statements(checks, level).items()}
