"""Patch of sqlglot 30.11: a call is parsed once.

Wraps ``_parse_types`` and ``_parse_column_ops`` of sqlglot's parser of BigQuery's SQL.

Why: it first tries the calls of functions that are named like a type, such as ``DATE(x)`` and ``STRUCT(x)``, as a type
with parameters, and ``SAFE.f(x)`` as a function of a dataset. Then it parses the arguments again. Nested calls take
twice the time with each level: hours for twenty-five.

Can be removed when sqlglot's time grows with the length of such calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.tokens import TokenType

_parse_column_ops = BigQuery.Parser._parse_column_ops
_PREFIXES = {"SAFE": exp.SafeFunc, "NET": exp.NetFunc}


def install() -> None:
    """Make sqlglot parse calls once; what ``type_names`` has put around its parser of types stays."""
    BigQuery.Parser._parse_types = _types(BigQuery.Parser._parse_types)  # type: ignore[method-assign]
    BigQuery.Parser._parse_column_ops = _column_ops  # type: ignore[method-assign]


def _types(parse: Callable[..., exp.Expr | None]) -> Callable[..., exp.Expr | None]:
    """Leave calls where an expression is expected to the parser of functions."""

    def parse_type(self: BigQuery.Parser, check_func: bool = False, *args: Any, **options: Any) -> exp.Expr | None:
        if check_func and self._next.token_type == TokenType.L_PAREN:
            return None
        return parse(self, check_func, *args, **options)

    return parse_type


def _column_ops(self: BigQuery.Parser, this: exp.Expr | None) -> exp.Expr | None:
    """Read ``SAFE.`` before a call as the prefix that it is."""
    prefix = _PREFIXES.get(this.name.upper()) if isinstance(this, exp.Column) and not this.table else None
    if prefix and self._curr.token_type == TokenType.DOT and _is_call(self):
        self._advance()
        this = prefix(this=self._parse_function(any_token=True))
    return _parse_column_ops(self, this)


def _is_call(self: BigQuery.Parser) -> bool:
    after = self._index + 2
    return after < self._tokens_size and self._tokens[after].token_type == TokenType.L_PAREN
