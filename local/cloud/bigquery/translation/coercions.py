"""Implicit coercion: literals are read as the type that their context needs.

Source: "Conversion rules", literal coercion
(https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#literal_coercion).
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.rules import Context, rule

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between, exp.Nullif)


@rule(*_COMPARISONS, exp.Case, exp.If, exp.Coalesce, exp.Array, exp.Greatest, exp.Least)
def literal_in_context(node: exp.Expression, context: Context) -> exp.Expression | None:
    """A literal such as 1.5 beside NUMERIC values is NUMERIC; DuckDB would make all of them FLOAT64.

    Source: "Conversion rules", literal coercion.
    """
    operands = list(_operands(node))
    if context.types.common(operands) != types.NUMERIC:
        return None
    literals = [operand for operand in operands if is_literal(operand) and context.of(operand) == types.FLOAT64]
    for literal in literals:
        parent, key, index = literal.parent, literal.arg_key, literal.index
        parent.set(key, context.as_type(literal, types.NUMERIC), index)
    return node if literals else None


def _operands(node: exp.Expression) -> Iterator[exp.Expression]:
    """Yield the expressions that must have a common type."""
    if isinstance(node, exp.Case):
        yield from (branch.args["true"] for branch in node.args["ifs"])
        names = ["default"]
    elif isinstance(node, exp.If):
        names = ["true", "false"]
    else:
        names = ["this", "expression", "expressions", "low", "high"]
    for name in names:
        value = node.args.get(name)
        if value is not None:
            yield from value if isinstance(value, list) else [value]
