"""Mixins for the operators that check staging tables: they report every result, and a warning does not fail the run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pandas as pd
from airflow.providers.common.sql.operators.sql import BaseSQLOperator, SQLColumnCheckOperator, SQLTableCheckOperator
from airflow.sdk.exceptions import AirflowFailException

from nyc_taxi.common.skip import skip
from nyc_taxi.registry.checks import Level

if TYPE_CHECKING:
    from airflow.sdk import Context

_BOUNDS = {"equal_to": "=", "geq_to": ">=", "leq_to": "<="}


class AuditMixin(BaseSQLOperator):
    """Mixin for the providers' check operators that reports the result of each check.

    The task's log always has a table of all checks, and the XCom ``checks`` has the same as a list. Only reads the
    database; a rerun checks again.

    Args:
        level: what happens if a check does not hold.

    Raises:
        AirflowFailException: a check of level FAIL does not hold. A retry would fail the same way.
        AirflowSkipException: a check of level WARN does not hold; the reason names it.
        Exception: an error of the database client fails the task at either level.
    """

    def __init__(self, *, level: Level, **kwargs: Any) -> None:
        super().__init__(retry_on_failure=False, **kwargs)
        self.level = level

    def execute(self, context: Context) -> None:
        try:
            super().execute(context)
        except AirflowFailException:
            broken = [row["check"] for row in self._report(context) if not row["holds"]]
            if self.level is Level.FAIL or not broken:
                raise
        else:
            self._report(context)
            return
        # Outside the handler, so that the log does not show the caught exception.
        skip(context["ti"], f"failed warning checks: {', '.join(broken)}", level=logging.WARNING)

    def _get_match(self, check_values: dict[str, Any], record: Any, tolerance: float | None = None) -> bool:
        """Accept a missing result: a bound holds for a column without values. The base class uses 0, or fails."""
        return bool(pd.isna(record) or super()._get_match(check_values, record, tolerance))  # type: ignore[misc]

    def _report(self, context: Context) -> list[dict[str, Any]]:
        """Log the checks with their results, and push them as XCom ``checks``."""
        rows = self._results()
        self.log.info("Checks:\n%s", _table([{**row, "holds": "yes" if row["holds"] else "NO"} for row in rows]))
        context["ti"].xcom_push(key="checks", value=rows)
        return rows

    def _results(self) -> list[dict[str, Any]]:
        """Return the result of each check, as the base class recorded it."""
        if isinstance(self, SQLTableCheckOperator):
            return [
                self._row(name, values, result=int(values["success"]), condition=values["check_statement"])
                for name, values in self.checks.items()
            ]
        assert isinstance(self, SQLColumnCheckOperator)
        return [
            self._row(f"{column}.{check}", values, result=_plain(values["result"]), condition=_bounds(values))
            for column, checks in self.column_mapping.items()
            for check, values in checks.items()
        ]

    def _row(self, name: str, values: dict[str, Any], *, result: float | None, condition: str) -> dict[str, Any]:
        level, holds = self.level.value, values["success"]
        return {"check": name, "level": level, "result": result, "holds": holds, "condition": condition}


class TableAuditMixin(AuditMixin):
    """Mixin for table check operators: like :class:`AuditMixin`, and scans the table once for all checks."""

    table: str
    checks: dict[str, dict[str, Any]]
    partition_clause: str | None

    def _generate_sql_query(self) -> str:
        """Return one query for all checks; the base class's query scans the table once for each check."""
        checks = self.checks
        if self.partition_clause or any("partition_clause" in values for values in checks.values()):
            raise ValueError("partition_clause is not supported; put the condition into the check")
        results = ",\n".join(
            f"    CASE WHEN {values['check_statement']} THEN 1 ELSE 0 END AS {name}" for name, values in checks.items()
        )
        rows = "\nUNION ALL\n".join(
            f"SELECT '{name}' AS check_name, {name} AS check_result FROM checked" for name in checks
        )
        return f"\nWITH checked AS (SELECT\n{results}\nFROM {self.table})\n{rows}\n"


def _bounds(values: dict[str, Any]) -> str:
    return " and ".join(f"{sign} {values[bound]}" for bound, sign in _BOUNDS.items() if bound in values)


def _table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as an aligned text table with a header."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _plain(result: Any) -> Any:
    """Return a result as a plain Python value, which XCom can serialize."""
    return None if pd.isna(result) else getattr(result, "item", lambda: result)()
