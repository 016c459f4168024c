"""Patch of sqlglot 30.11: BigQuery's NUMERIC is DECIMAL(38, 9) in DuckDB.

Wraps ``datatype_sql`` of sqlglot's generator of DuckDB's SQL.

Why: sqlglot writes NUMERIC as DECIMAL, which is DECIMAL(18, 3) in DuckDB and cuts values to three decimals.

Can be removed when sqlglot writes the precision and scale of BigQuery's NUMERIC.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

_datatype_sql = DuckDB.Generator.datatype_sql


def install() -> None:
    """Make sqlglot write precision and scale wherever it writes the type DECIMAL for DuckDB."""
    DuckDB.Generator.datatype_sql = _with_scale  # type: ignore[method-assign]


def _with_scale(self: DuckDB.Generator, expression: exp.DataType) -> str:
    if expression.this == exp.DataType.Type.DECIMAL and not expression.expressions:
        return "DECIMAL(38, 9)"
    return _datatype_sql(self, expression)
