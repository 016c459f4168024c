"""Patch of sqlglot 30.11: names of projects with dashes and without backticks.

Wraps ``_parse_table_part`` of sqlglot's parser of BigQuery's SQL.

Why: in BigQuery, ``FROM my-project.dataset.t`` needs no backticks. sqlglot reads it, and writes the name for DuckDB
without quotes.

Can be removed when sqlglot writes such names with quotes.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery

_parse_table_part = BigQuery.Parser._parse_table_part


def install() -> None:
    """Make sqlglot keep a name with dashes as one in backticks."""
    BigQuery.Parser._parse_table_part = _quoted  # type: ignore[method-assign]


def _quoted(self: BigQuery.Parser, schema: bool = False) -> exp.Expression | None:
    part = _parse_table_part(self, schema=schema)
    if isinstance(part, exp.Identifier) and "-" in part.name and "." not in part.name:
        part.set("quoted", True)
    return part
