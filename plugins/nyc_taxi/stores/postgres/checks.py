"""A dataset's checks, as the providers' check operator for SQL databases takes them."""

from __future__ import annotations

from nyc_taxi.registry.checks import Level, TableCheck, statements
from nyc_taxi.registry.model import Dataset

# The file that became Parquet was counted apart from the staging table.
HAS_EVERY_ROW_OF_THE_SOURCE = TableCheck(
    name="has_every_row_of_the_source", condition="COUNT(*) = {{ converted_rows() }}"
)


def postgres_checks(dataset: Dataset, level: Level) -> dict[str, dict[str, str]]:
    """Return the ``checks`` of one level for SQLTableCheckOperator: those of the table, and those of the columns.

    SQLColumnCheckOperator does not quote names of columns, so that Postgres would fold them to lower case.
    """
    columns = (TableCheck(name=check.column, condition=check.condition()) for check in dataset.checks.columns)
    checks = (HAS_EVERY_ROW_OF_THE_SOURCE, *dataset.checks.table, *columns)
    return {name: {"check_statement": sql} for name, sql in statements(checks, level).items()}
