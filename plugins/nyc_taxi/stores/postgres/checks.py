"""Translates a dataset's checks to the arguments of the check operator for SQL databases."""

from __future__ import annotations

from nyc_taxi.registry.checks import Level, TableCheck, statements
from nyc_taxi.registry.model import Dataset

# Compares with the row count of the conversion, which does not depend on the staging table.
HAS_EVERY_ROW_OF_THE_SOURCE = TableCheck(
    name="has_every_row_of_the_source", condition="COUNT(*) = {{ converted_rows() }}"
)


def postgres_checks(dataset: Dataset, level: Level) -> dict[str, dict[str, str]]:
    """Return the ``checks`` of one level for SQLTableCheckOperator, including the column checks.

    SQLColumnCheckOperator cannot be used: it does not quote column names, and Postgres folds those to lower case.
    """
    columns = (TableCheck(name=check.column, condition=check.condition()) for check in dataset.checks.columns)
    checks = (HAS_EVERY_ROW_OF_THE_SOURCE, *dataset.checks.table, *columns)
    return {name: {"check_statement": sql} for name, sql in statements(checks, level).items()}
