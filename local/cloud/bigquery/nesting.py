"""How deeply statements may be nested.

sqlglot and bqemulator visit syntax trees by recursion: about twenty calls of Python for each level of a statement. The
server's threads therefore have larger stacks than usual, which are virtual memory until they are used. What is nested
more deeply is refused before bqemulator translates it: several of its steps leave a statement as it is when they fail,
and the answer would be wrong. It has several times as many calls as that needs, because it nests more deeply itself.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import sqlglot
from bqemulator.domain.errors import DomainError
from sqlglot import exp
from sqlglot.tokens import TokenType

DEEPEST = 300
"""Number of levels of a statement's syntax tree, and of its parentheses."""
NESTED_FIELDS = 15
"""Levels of RECORDs in RECORDs: https://cloud.google.com/bigquery/docs/nested-repeated#limitations"""
SUBQUERIES = 12
"""Number of subqueries in expressions that are nested in each other: DuckDB's time doubles with each."""
EXPANDED = (exp.Anonymous, exp.Greatest, exp.Least)
"""Calls of macros, and of what sqlglot writes with each argument twice."""
_CALLS = 40_000
_OPENING = (TokenType.L_PAREN, TokenType.L_BRACKET)
_CLOSING = (TokenType.R_PAREN, TokenType.R_BRACKET)
_STACK_BYTES = 256 * 1024 * 1024


class NestedTooDeeplyError(DomainError):
    """BigQuery's error for a statement that is nested too deeply, with the limit of this emulator."""

    http_status = 400
    bq_reason = "resourcesExceeded"

    def __init__(self, limit: str = f"{DEEPEST:,} levels") -> None:
        super().__init__(
            "Out of stack space due to deeply nested query expression during query resolution. The embedded BigQuery "
            f"does not run more than {limit}"
        )


def allow_nesting() -> None:
    """Let this process call functions as deeply as a statement needs, in the threads that it starts from now on."""
    sys.setrecursionlimit(_CALLS)
    threading.stack_size(_STACK_BYTES)


def check_parentheses(sql: str) -> None:
    """Refuse a statement that is nested too deeply before it is parsed, which takes the square of its depth.

    Raises:
        NestedTooDeeplyError: it is.
        TokenError: it has no tokens of SQL.
    """
    if sql.count("(") + sql.count("[") <= DEEPEST:
        return
    depth = 0
    for token in sqlglot.tokenize(sql, read="bigquery"):
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth > DEEPEST:
            raise NestedTooDeeplyError


def check_nesting(tree: exp.Expression) -> tuple[int, int]:
    """Refuse a statement that is nested too deeply.

    Returns:
        The number of its levels, and of those with calls that DuckDB expands.

    Raises:
        NestedTooDeeplyError: it is.
    """
    level, calls = [tree], 0
    for depth in range(DEEPEST):
        calls += any(type(node) in EXPANDED for node in level)
        level = [child for node in level for child in _children(node)]
        if not level:
            return depth, calls
    raise NestedTooDeeplyError


def check_subqueries(tree: exp.Expression) -> None:
    """Refuse a statement whose scalar subqueries, EXISTS, IN and ARRAY are nested too deeply.

    Raises:
        NestedTooDeeplyError: they are.
    """
    levels: dict[int, int] = {}
    for select in tree.find_all(exp.Select):  # outer ones first
        outer = levels.get(id(select.parent_select), 0)
        levels[id(select)] = outer + _is_value(select)
        if levels[id(select)] > SUBQUERIES:
            raise NestedTooDeeplyError(f"{SUBQUERIES} levels of subqueries in expressions")


def _is_value(select: exp.Select) -> bool:
    """Return whether a query stands in an expression, and not in FROM or WITH."""
    place = select.parent
    while isinstance(place, exp.SetOperation | exp.Subquery | exp.Alias):
        place = place.parent
    return place is not None and not isinstance(place, exp.From | exp.Join | exp.CTE | exp.DDL | exp.DML)


def _children(node: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the nodes of the next level; a chain such as ``a + b + c`` is one level, visited without recursion."""
    while isinstance(node, exp.Binary) and type(node.this) is type(node):
        yield node.expression
        node = node.this
    yield from node.iter_expressions()  # type: ignore[misc]
