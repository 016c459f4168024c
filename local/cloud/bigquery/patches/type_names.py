"""Patch of sqlglot 30.11: its parser of BigQuery's SQL knows BigQuery's names of types only.

Makes the other names plain words in ``KEYWORDS`` of the tokenizer, and wraps ``_parse_types`` of the parser.

Why: sqlglot reads the names of all databases, such as TEXT, DOUBLE, BLOB and ``INT64[]``, and writes BigQuery's for
them, so that a statement runs here that BigQuery refuses.

Can be removed when sqlglot refuses names of types that BigQuery does not have.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokens import TokenType

from local.cloud.bigquery.limits import invalid

_NAMES = {
    *("INT64", "INT", "INTEGER", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT", "FLOAT64", "NUMERIC", "DECIMAL"),
    *("BIGNUMERIC", "BIGDECIMAL", "BOOL", "BOOLEAN", "STRING", "BYTES", "DATE", "DATETIME", "TIME", "TIMESTAMP"),
    *("INTERVAL", "JSON", "GEOGRAPHY", "ARRAY", "STRUCT", "RANGE", "ANY TYPE"),
}
_OTHER_WORDS = {"NULL", "UNION", "UNKNOWN"}
"""Words of other clauses."""
_parse_types = BigQuery.Parser._parse_types


def install() -> None:
    """Make sqlglot read other databases' names of types as any other name."""
    keywords = BigQuery.Tokenizer.KEYWORDS
    for name, token in keywords.items():
        if token in BigQuery.Parser.TYPE_TOKENS and name not in _NAMES | _OTHER_WORDS:
            keywords[name] = TokenType.VAR
    BigQuery.Parser._parse_types = _without_brackets  # type: ignore[method-assign]


def _without_brackets(self: Any, *args: Any, **options: Any) -> exp.Expr | None:
    start = self._index
    kind = _parse_types(self, *args, **options)
    if isinstance(kind, exp.DataType) and self._index > start and self._prev.token_type == TokenType.R_BRACKET:
        raise invalid('Syntax error: Unexpected "["')
    return kind
