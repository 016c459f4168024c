"""Patch of sqlglot 30.11: parse each statement once, and refuse what is nested too deeply.

Replaces ``sqlglot.dialects.dialect.Dialect.parse``, through which every parse of sqlglot goes.

Why: bqemulator translates a statement in many steps, and each step parses the text again: about twenty times a query,
nearly half of its run time. Copying a syntax tree takes a quarter of the time of parsing it. The depth of a statement
must be known before any step of the translation (see ``nesting``).

Can be removed when bqemulator passes one syntax tree through its translation steps.
"""

from __future__ import annotations

import functools

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.dialects.dialect import Dialect

from local.cloud.bigquery.nesting import check_nesting

# Number of statements whose trees are kept, and their maximum length: a tree takes about a hundred times the memory
# of its text.
_KEPT = 100
_LONGEST = 20_000
_parse = Dialect.parse


def install() -> None:
    """Make sqlglot keep the trees of recent statements, in the whole process, and return copies of them."""
    Dialect.parse = _parse_once  # type: ignore[method-assign]


def _parse_once(self: Dialect, sql: str, **options: object) -> list[exp.Expr | None]:
    if options or self.settings or len(sql) > _LONGEST:
        return _checked(self, sql, **options)
    trees = _kept(type(self), sql)  # type: ignore[arg-type]
    return [tree.copy() if tree else None for tree in trees]


@functools.lru_cache(_KEPT)
def _kept(dialect: type[Dialect], sql: str) -> tuple[exp.Expr | None, ...]:
    """Return the cached trees of a text. Callers must not change them; syntax errors are not cached."""
    return tuple(_checked(dialect(), sql))


def _checked(dialect: Dialect, sql: str, **options: object) -> list[exp.Expr | None]:
    trees = _parse(dialect, sql, **options)  # type: ignore[arg-type]
    for tree in trees if isinstance(dialect, BigQuery) else ():
        if isinstance(tree, exp.Expression):
            check_nesting(tree)
    return trees
