"""Parses each statement once.

bqemulator translates a statement in many steps, each of which parses the text anew: some twenty times a query, which is
nearly half of its time. Copying a syntax tree takes a quarter of parsing one.
"""

from __future__ import annotations

import functools

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

# Statements whose trees are kept, and the longest of them; a tree takes some hundred times the memory of its text.
_KEPT = 100
_LONGEST = 20_000
_parse = Dialect.parse


def install() -> None:
    """Let sqlglot, wherever it is called in this process, keep the trees of the last statements and give copies."""
    Dialect.parse = _parse_once  # type: ignore[method-assign]


def _parse_once(self: Dialect, sql: str, **options: object) -> list[exp.Expr | None]:
    if options or self.settings or len(sql) > _LONGEST:
        return _parse(self, sql, **options)  # type: ignore[arg-type]
    trees = _kept(type(self), sql)  # type: ignore[arg-type]
    return [tree.copy() if tree else None for tree in trees]


@functools.lru_cache(_KEPT)
def _kept(dialect: type[Dialect], sql: str) -> tuple[exp.Expr | None, ...]:
    """The trees of a text, which nobody may change; what cannot be parsed is not kept."""
    return tuple(_parse(dialect(), sql))
