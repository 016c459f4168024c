"""Names that are keywords of DuckDB or of its parser, and plain names in BigQuery.

Source: "Lexical structure and syntax", reserved keywords
(https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords).
"""

from __future__ import annotations

from sqlglot import exp

from local.cloud.bigquery.translation.rules import Context, rule

_LIST = """
ANALYSE ANALYZE ANTI ASOF ASYMMETRIC AUTHORIZATION BINARY BOTH CHECK COLLATION COLUMN COLUMNS CONCURRENTLY CONSTRAINT
DEFERRABLE DESCRIBE DO FORCE FOREIGN FREEZE GENERATED GLOB ILIKE INITIALLY INSTALL ISNULL LAMBDA LEADING MAP NOTNULL
ONLY OVERLAPS PIVOT PIVOT_LONGER PIVOT_WIDER PLACING POSITIONAL PRIMARY REFERENCES RETURNING SEMI SHOW SIMILAR
SUMMARIZE SYMMETRIC TABLE TRAILING TRY_CAST UNIQUE UNPACK UNPIVOT VARIADIC VERBOSE
"""
_KEYWORDS = frozenset(_LIST.split())


@rule(exp.Identifier)
def keyword(node: exp.Identifier, context: Context) -> exp.Expression | None:
    """Quote a name that DuckDB reads as a keyword.

    Source: "Lexical structure and syntax", reserved keywords.
    """
    if node.args.get("quoted") or node.name.upper() not in _KEYWORDS:
        return None
    if not isinstance(node.parent, exp.Column | exp.Alias | exp.Table | exp.TableAlias | exp.PropertyEQ | exp.Dot):
        return None
    node.set("quoted", True)
    return node
