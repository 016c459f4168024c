"""The rules of the typed pass: how they are declared and applied.

A rule is a function of one kind of node. It returns the node's replacement, or the node itself if it has changed it, or
None to leave it. Its docstring names the documented source of what it does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import Types
from local.cloud.bigquery.translation.types import Type

Rule = Callable[[Any, "Context"], exp.Expression | None]
_RULES: dict[type[exp.Expression], list[Rule]] = {}
_MODIFIERS = (exp.IgnoreNulls, exp.RespectNulls, exp.Filter, exp.Window)


@dataclass(frozen=True)
class Context:
    """What rules know of a statement: the types of its nodes."""

    types: Types

    def of(self, node: object) -> Type | None:
        """Return the type of a node; None if it is not known."""
        return self.types.of(node)

    def typed(self, node: exp.Expression, kind: Type | None) -> exp.Expression:
        """Return ``node``, a new node, with its type recorded."""
        self.types.set(node, kind)
        return node

    def as_type(self, node: exp.Expression, kind: Type) -> exp.Expression:
        """Return ``node`` coerced to ``kind`` as BigQuery does implicitly: literals are read as that type."""
        if self.of(node) == kind:
            return node
        text = literal_number(node)
        if kind == types.NUMERIC and text is not None:
            return self.typed(numeric(exp.Literal.string(text)), kind)
        return self.typed(cast(node, kind), kind)


def rule(*kinds: type[exp.Expression]) -> Callable[[Rule], Rule]:
    """Declare a function to be the rule of these kinds of nodes."""

    def register(function: Rule) -> Rule:
        for kind in kinds:
            _RULES.setdefault(kind, []).append(function)
        return function

    return register


def apply_rules(tree: exp.Expression, known: Types) -> bool:
    """Apply all rules to a tree, in place, children before parents.

    An aggregate function is replaced together with its modifiers: OVER, FILTER, IGNORE NULLS.

    Returns:
        Whether the tree has changed.
    """
    context = Context(known)
    changed = False
    for node in reversed(list(tree.walk())):
        for function in _RULES.get(type(node), ()):
            site = site_of(node)  # type: ignore[arg-type]
            parent, key, index = site.parent, site.arg_key, site.index
            replacement = function(node, context)
            changed = changed or replacement is not None
            if replacement is None or replacement is node or parent is None or key is None:
                continue
            if known.of(replacement) is None:
                known.set(replacement, known.of(node))
            parent.set(key, replacement, index)
            break
    return changed


def site_of(node: exp.Expression) -> exp.Expression:
    """Return the node with the modifiers around it, if it is an aggregate function."""
    while isinstance(node.parent, _MODIFIERS) and node.arg_key == "this":
        node = node.parent
    return node


# --- Building nodes --------------------------------------------------------------------------------------------------


def call(name: str, *arguments: exp.Expression | str | int) -> exp.Anonymous:
    """Return a call of a DuckDB function or macro; texts and numbers become literals."""
    return exp.Anonymous(this=name, expressions=[_node(argument) for argument in arguments])


def _node(value: exp.Expression | str | int) -> exp.Expression:
    if isinstance(value, exp.Expression):
        return value
    return exp.Literal.string(value) if isinstance(value, str) else exp.Literal.number(value)


def cast(node: exp.Expression, kind: Type) -> exp.Expression:
    """Return ``CAST(node AS kind)``, which DuckDB runs with its own meaning."""
    return exp.Cast(this=node, to=syntax(kind))


def numeric(node: exp.Expression) -> exp.Expression:
    """Return the node cast to NUMERIC, which is DECIMAL(38, 9)."""
    return cast(node, types.NUMERIC)


def syntax(kind: Type) -> exp.DataType:
    """Return the syntax of a type without parts."""
    return _syntax(kind.name).copy()


@functools.lru_cache
def _syntax(name: str) -> exp.DataType:
    return exp.DataType.build(name, dialect="bigquery")


def safely(node: exp.Expression, safe: bool) -> exp.Expression:
    """Return the node, or, if ``safe``, NULL where it fails."""
    return call("TRY", node) if safe else node


def literal_number(node: exp.Expression) -> str | None:
    """Return the text of a literal number, with its sign; None for other nodes."""
    sign = ""
    while isinstance(node, exp.Paren | exp.Neg):
        sign = ("" if sign else "-") if isinstance(node, exp.Neg) else sign
        node = node.this
    return sign + node.this if isinstance(node, exp.Literal) and not node.is_string else None


def named(kinds: Iterable[Type | None]) -> str:
    """Return types as BigQuery lists them in error messages."""
    return ", ".join(str(kind) for kind in kinds)
