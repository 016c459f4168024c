"""What the operators that check staging tables share: all results can be seen, and a warning stops nothing."""

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
    """Stands before a check operator of the providers, runs it, and tells the result of each check.

    Whether they hold or not, the task's log has one table of all checks, and the XCom ``checks`` has the same as a
    list. Nothing is changed in the database; a rerun checks again.

    Args:
        level: what follows if a check does not hold.

    Raises:
        AirflowFailException: a check of the level FAIL does not hold. Not worth a retry.
        AirflowSkipException: a check of the level WARN does not hold; the task ends as skipped, its log names it.
        Exception: what the database's client raises stays an error, whatever the level.
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
        # Outside, so that the log shows no error on the way.
        skip(context["ti"], f"a check that stops nothing does not hold: {', '.join(broken)}", level=logging.WARNING)

    def _get_match(self, check_values: dict[str, Any], record: Any, tolerance: float | None = None) -> bool:
        """A bound holds of a column without values; the base class takes a missing result for 0, or fails."""
        return bool(pd.isna(record) or super()._get_match(check_values, record, tolerance))  # type: ignore[misc]

    def _report(self, context: Context) -> list[dict[str, Any]]:
        """Log the checks with their results, and push them as the XCom ``checks``."""
        rows = self._results()
        self.log.info("Checks:\n%s", _table([{**row, "holds": "yes" if row["holds"] else "NO"} for row in rows]))
        context["ti"].xcom_push(key="checks", value=rows)
        return rows

    def _results(self) -> list[dict[str, Any]]:
        """What the base class noted of each check."""
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
    """Stands before a table check operator: as :class:`AuditMixin`, and the table is scanned once for all checks."""

    table: str
    checks: dict[str, dict[str, Any]]
    partition_clause: str | None

    def _generate_sql_query(self) -> str:
        """The query of the base class scans the table anew for each check."""
        checks = self.checks
        if self.partition_clause or any("partition_clause" in values for values in checks.values()):
            raise ValueError("a partition_clause is not supported; put the condition into the check")
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
    """The rows below the names of their columns, each as wide as it must be."""
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _plain(result: Any) -> Any:
    """A result as JSON has it."""
    return None if pd.isna(result) else getattr(result, "item", lambda: result)()
