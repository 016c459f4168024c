"""Patch of sqlglot 30.11: BigQuery's NUMERIC is DECIMAL(38, 9) in DuckDB, and NUMERIC(5, 2) stays that in BigQuery.

Wraps ``datatype_sql`` of sqlglot's generator of DuckDB's SQL, and drops the transformations of CAST from its generator
of BigQuery's SQL.

Why: sqlglot writes NUMERIC as DECIMAL, which is DECIMAL(18, 3) in DuckDB and cuts values to three decimals. It writes
``CAST(x AS NUMERIC(5, 2))`` as ``CAST(x AS NUMERIC)``.

Can be removed when sqlglot writes the precision and scale of BigQuery's NUMERIC.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.duckdb import DuckDB

_datatype_sql = DuckDB.Generator.datatype_sql


def install() -> None:
    """Make sqlglot write precision and scale wherever it writes the type DECIMAL for DuckDB."""
    DuckDB.Generator.datatype_sql = _with_scale  # type: ignore[method-assign]
    for kind in (exp.Cast, exp.TryCast):
        BigQuery.Generator.TRANSFORMS.pop(kind, None)


def _with_scale(self: DuckDB.Generator, expression: exp.DataType) -> str:
    if expression.this == exp.DataType.Type.DECIMAL and not expression.expressions:
        return "DECIMAL(38, 9)"
    return _datatype_sql(self, expression)
