"""Comparisons of STRUCTs, field by field.

Source: "Operators", comparison operators
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#comparison_operators): structs are compared
pairwise in the order of their fields, whose names do not matter; a NULL field makes the result NULL unless other fields
differ. DuckDB compares them by name, its NULLs and NaNs being equal.
"""

from __future__ import annotations

import functools

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import Types

_CONSTRUCTORS = (exp.Tuple, exp.Struct)


def expand_struct_comparisons(tree: exp.Expression, known: Types) -> bool:
    """Replace the outermost comparisons of structs, in place; returns whether there were any.

    Raises:
        ValidationError: the structs have different numbers of fields, or the emulator does not compare them.
    """
    found = False
    for node in list(tree.find_all(exp.EQ, exp.NEQ, exp.In, exp.Case, exp.Nullif)):
        if id(node) in known.assignments or not any(_is_struct(side, known) for side in _compared(node)):
            continue
        if isinstance(node, exp.In) and node.expressions:
            node.replace(_any_of(node))
        elif isinstance(node, exp.EQ | exp.NEQ):
            node.replace(_by_fields(node, known))
        else:
            raise limit("compare STRUCTs in IN with a subquery or an array, in CASE or in NULLIF; compare their fields")
        found = True
    return found


def _compared(node: exp.Expression) -> list[exp.Expression]:
    if isinstance(node, exp.Case):
        return [node.this] if node.this is not None else []
    return [node.this] if isinstance(node, exp.In) else [node.this, node.expression]


def _is_struct(node: exp.Expression, known: Types) -> bool:
    kind = known.of(node)
    return isinstance(node.unnest(), _CONSTRUCTORS) or (kind is not None and kind.name == "STRUCT")


def _any_of(node: exp.In) -> exp.Expression:
    equal = [exp.EQ(this=node.this.copy(), expression=item.copy()) for item in node.expressions]
    return exp.paren(functools.reduce(lambda one, other: exp.Or(this=one, expression=other), equal), copy=False)


def _by_fields(node: exp.EQ | exp.NEQ, known: Types) -> exp.Expression:
    left, right = (_fields(side, known) for side in (node.this, node.expression))
    if left is None or right is None:
        return exp.null()  # a comparison with NULL
    if len(left) != len(right):
        raise invalid(
            f"No matching signature for operator {'=' if isinstance(node, exp.EQ) else '!='} for argument types: "
            f"{known.of(node.this)}, {known.of(node.expression)}"
        )
    equal: list[exp.Expression] = [exp.EQ(this=one, expression=other) for one, other in zip(left, right, strict=True)]
    whole = exp.paren(functools.reduce(lambda one, other: exp.And(this=one, expression=other), equal), copy=False)
    return whole if isinstance(node, exp.EQ) else exp.paren(exp.Not(this=whole), copy=False)


def _fields(side: exp.Expression, known: Types) -> list[exp.Expression] | None:
    """Return the fields of a struct; None for NULL."""
    plain, kind = side.unnest(), known.of(side)
    if isinstance(plain, exp.Null):
        return None
    if isinstance(plain, _CONSTRUCTORS):
        named = (exp.Alias, exp.PropertyEQ)
        values = [
            (item.expression if isinstance(item, exp.PropertyEQ) else item.this) if isinstance(item, named) else item
            for item in plain.expressions
        ]
        return [value.copy() for value in values]
    names = kind.field_names if kind is not None and kind.name == "STRUCT" else []
    if not names or kind == types.NULL or not isinstance(plain, exp.Column | exp.Dot):
        raise limit("compare these STRUCTs; compare their fields, or columns")
    return [exp.Dot(this=plain.copy(), expression=exp.to_identifier(name, quoted=True)) for name in names]
