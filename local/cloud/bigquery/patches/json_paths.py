"""Patch of sqlglot 30.11: keep JSONPaths as they are written.

Replaces ``to_json_path`` of sqlglot's BigQuery dialect.

Why: sqlglot parses a JSONPath with the statement, reads ``a`` as ``$.a``, and writes a path that it does not understand
as it likes. The rules in :mod:`..translation.json_functions` read paths, and refuse the wrong ones in BigQuery's words.

Can be removed when sqlglot keeps the path of a statement.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery


def install() -> None:
    """Make sqlglot parse a JSONPath as an expression."""
    BigQuery.to_json_path = _unchanged  # type: ignore[method-assign]


def _unchanged(self: BigQuery, path: exp.Expr | None) -> exp.Expr | None:
    return path
