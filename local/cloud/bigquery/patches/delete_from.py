"""Patch of sqlglot 30.11: DELETE without FROM.

Wraps ``_parse_delete`` of sqlglot's parser of BigQuery's SQL.

Why: in BigQuery, FROM may be left out. sqlglot reads the table as one of MySQL's DELETE of several tables, and writes
it for DuckDB without FROM.

Can be removed when sqlglot reads ``DELETE t WHERE ...`` as BigQuery does.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

_parse_delete = BigQuery.Parser._parse_delete


def install() -> None:
    """Make sqlglot read the table after DELETE as the one whose rows are deleted."""
    BigQuery.Parser._parse_delete = _with_target  # type: ignore[method-assign]


def _with_target(self: BigQuery.Parser) -> exp.Delete:
    node = _parse_delete(self)
    tables = node.args.get("tables")
    if tables and not node.this:
        node.set("this", tables[0])
        node.set("tables", None)
    return node
