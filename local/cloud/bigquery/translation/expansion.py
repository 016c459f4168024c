"""Calls that grow when DuckDB inlines macros: an argument that a macro names twice is bound to a name if it is long.

Nested calls would otherwise take time and memory that double, or more, with each level. Short arguments are left as
they are: naming them costs more than computing them twice.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from local.cloud.bigquery.nesting import EXPANDED
from local.cloud.bigquery.translation.macros import declared
from local.cloud.bigquery.translation.rules import call, is_simple, with_bound

_MOST = 600
"""Number of nodes by which a call may grow."""
_BOUND = "bq_w"


def bind_long_arguments(tree: exp.Expression) -> bool:
    """Bind, in place, the long arguments of macros that name them more than once.

    Returns:
        Whether the tree has changed.
    """
    sizes: dict[int, int] = {}
    changed = 0
    for node in reversed(list(tree.walk())):
        if type(node) not in EXPANDED:  # most nodes: kept short, as every statement pays for it
            sizes[id(node)] = 1 + sum([sizes[id(part)] for part in node.iter_expressions()])
            continue
        parts, own, factors = _call(node)
        sizes[id(node)] = own + sum(factor * sizes[id(part)] for factor, part in zip(factors, parts, strict=False))
        growth = [
            (factor - 1) * sizes[id(part)]
            for factor, part in zip(factors, parts, strict=False)
            if factor > 1 and not is_simple(part)
        ]
        if sum(growth) <= _MOST:
            continue
        changed += 1
        bound = with_bound(list(parts), functools.partial(_again, node), name=f"{_BOUND}{changed}")
        sizes[id(bound)] = own + sum(sizes[id(part)] for part in parts)
        node.replace(bound)
    return bool(changed)


def _again(node: exp.Expression, parts: list[exp.Expression]) -> exp.Expression:
    """Return a call with other arguments."""
    if isinstance(node, exp.Anonymous):
        return call(str(node.this), *parts)
    return type(node)(**{**node.args, "this": parts[0], "expressions": parts[1:]})


def _call(node: exp.Expression) -> tuple[Sequence[exp.Expression], int, Sequence[int]]:
    """Return the arguments of a call, the size of the call without them, and how often each of them is in it."""
    if isinstance(node, exp.Anonymous) and str(node.this) in declared():
        own, factors = _uses(str(node.this))
        return node.expressions, own, factors
    if isinstance(node, exp.Greatest | exp.Least):  # sqlglot asks first whether any is NULL
        parts = [node.this, *node.expressions]
        return parts, 2 * len(parts), [2] * len(parts)
    children = list(node.iter_expressions())
    return children, 1, [1] * len(children)


@functools.cache
def _uses(name: str) -> tuple[int, tuple[int, ...]]:
    """Return the size of a macro's body, and how often each of its parameters is in it when all is inlined."""
    parameters, body = declared()[name]
    counts = dict.fromkeys(parameters, 0)
    try:
        tree = sqlglot.parse_one(body, read="duckdb")
    except SqlglotError:
        return len(body), tuple(body.count(parameter) for parameter in parameters)
    factors, own = {id(tree): 1}, 0
    for node in tree.walk():
        factor = factors[id(node)]
        if isinstance(node, exp.Column) and node.name in counts:
            counts[node.name] += factor
        parts, size, uses = _call(node)
        own += factor * size
        factors |= {id(part): factor * use for part, use in zip(parts, uses, strict=False)}
        factors |= {id(part): factor for part in node.iter_expressions() if id(part) not in factors}
    return own, tuple(counts.values())
