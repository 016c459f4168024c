"""The rules of the typed pass: how they are declared and applied.

A rule is a function of one kind of node. It returns the node's replacement, or the node itself if it has changed it, or
None to leave it. Its docstring names the documented source of what it does.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import Types
from local.cloud.bigquery.translation.types import Type

Rule = Callable[[Any, "Context"], exp.Expression | None]
_RULES: dict[type[exp.Expression], list[Rule]] = {}
_BOUND = "bq_v"
_LONG = 100
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


def rule(*kinds: type[exp.Expression], first: bool = False) -> Callable[[Rule], Rule]:
    """Declare a function to be the rule of these kinds of nodes; a check is ``first``, before a node is replaced."""

    def register(function: Rule) -> Rule:
        for kind in kinds:
            rules = _RULES.setdefault(kind, [])
            rules.insert(0 if first else len(rules), function)
        return function

    return register


def apply_rules(tree: exp.Expression, known: Types) -> tuple[exp.Expression, bool]:
    """Apply all rules to a tree, in place, children before parents.

    An aggregate function is replaced together with its modifiers: OVER, FILTER, IGNORE NULLS.

    Returns:
        The tree, and whether it has changed.
    """
    context = Context(known)
    changed = False
    for node in reversed(list(tree.walk())):
        for function in _RULES.get(type(node), ()):
            site = site_of(node)  # type: ignore[arg-type]
            parent, key, index = site.parent, site.arg_key, site.index
            replacement = function(node, context)
            changed = changed or replacement is not None
            if replacement is None or replacement is node:
                continue
            if known.of(replacement) is None:
                known.set(replacement, known.of(node))
            if parent is None or key is None:
                tree = replacement
            else:
                parent.set(key, replacement, index)
            break
    return tree, changed


def site_of(node: exp.Expression) -> exp.Expression:
    """Return the node with the modifiers around it, if it is an aggregate function."""
    while isinstance(node.parent, _MODIFIERS) and node.arg_key == "this":
        node = node.parent
    return node


def fails_safely(node: exp.Expression) -> bool:
    """Return whether the prefix SAFE. is before a function: then what it refuses of its arguments' values is NULL."""
    return isinstance(node.parent, exp.SafeFunc)


# --- Building nodes --------------------------------------------------------------------------------------------------


def call(name: str, *arguments: exp.Expression | str | int) -> exp.Anonymous:
    """Return a call of a DuckDB function or macro; texts and numbers become literals."""
    return exp.Anonymous(this=name, expressions=[_node(argument) for argument in arguments])


def bound(name: str, *arguments: exp.Expression | str | int) -> exp.Expression:
    """Return a call of a macro that names its arguments more than once, with each argument evaluated once.

    DuckDB inlines macros: nested calls with arguments of some length would grow exponentially, and RAND() would give a
    new number wherever the macro names it. Arguments other than columns, literals and their aggregates are therefore
    bound to a name, as the elements of a list of one.
    """
    nodes = [_node(argument) for argument in arguments]
    return with_bound(nodes, lambda names: call(name, *names))


def with_bound(
    nodes: list[exp.Expression], use: Callable[[list[exp.Expression]], exp.Expression], *, name: str = _BOUND
) -> exp.Expression:
    """Return ``use(names)``, in which each of ``names`` is the value of a node, evaluated once.

    Nodes that are simple are their own names. Within what another call has bound, ``name`` must be another one.
    """
    long = [number for number, node in enumerate(nodes) if not is_simple(node)]
    if not long:
        return use(nodes)
    names = list(nodes)
    value = nodes[long[0]].copy()
    if len(long) == 1:
        names[long[0]] = exp.column(name)
    else:
        fields = [
            exp.PropertyEQ(this=exp.to_identifier(f"p{number}"), expression=nodes[number].copy()) for number in long
        ]
        value = exp.Struct(expressions=fields)
        for number in long:
            names[number] = call("struct_extract", exp.column(name), f"p{number}")
    function = exp.Lambda(this=use(names), expressions=[exp.to_identifier(name)])
    return call("list_extract", call("list_transform", exp.Array(expressions=[value]), function), 1)


def is_simple(node: exp.Expression) -> bool:
    """Return whether a node is short and may be evaluated more than once."""
    while isinstance(node, exp.Paren | exp.Neg | exp.Cast) or (
        isinstance(node, exp.AggFunc) and node.this is not None and not node.expressions
    ):
        node = node.this
    if isinstance(node, exp.Anonymous) and node.this == "struct_extract":
        return is_simple(node.expressions[0])
    return isinstance(
        node, exp.Column | exp.Literal | exp.RawString | exp.Boolean | exp.Null | exp.Star | exp.Parameter
    )


def is_long(node: exp.Expression) -> bool:
    """Return whether a node has so many parts that it may not be copied."""
    return next(itertools.islice(node.walk(), _LONG, None), None) is not None


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
    return sign + node.this.removesuffix("e0") if isinstance(node, exp.Literal) and not node.is_string else None


def named(kinds: Iterable[Type | None]) -> str:
    """Return types as BigQuery lists them in error messages."""
    return ", ".join(str(kind) for kind in kinds)
