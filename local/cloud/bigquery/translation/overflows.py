"""INT64 overflow in comparisons: DuckDB's optimizer would compare without computing.

DuckDB turns ``v + 1 > 0`` into ``v > -1``, and ``CAST(SUM(v) AS BIGINT) > 0`` into a comparison of the wider sum. The
values that BigQuery refuses are then never computed.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import Types

_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Neg)


def compute_compared(tree: exp.Expression, known: Types) -> bool:
    """Let INT64 arithmetic and sums in comparisons be computed, in place; returns whether the tree has changed.

    Source: "Operators", arithmetic operators: all operators fail if the result overflows
    (https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#arithmetic_operators).
    """
    found = [side for node in tree.walk() for side in _sides(node) if _may_overflow(side, known)]
    for side in found:
        # DuckDB computes the arguments of COALESCE, whatever is compared with it.
        null = exp.null()
        computed = exp.Coalesce(expressions=[null])
        side.replace(computed)
        computed.set("this", side)
        known.set(null, types.NULL)
        known.set(computed, types.INT64)
    return bool(found)


def _sides(node: exp.Expression) -> Iterator[exp.Expression]:
    if isinstance(node, _COMPARISONS):
        yield from (node.left, node.right)
    elif isinstance(node, exp.Between):
        yield from (node.this, node.args["low"], node.args["high"])
    elif isinstance(node, exp.In | exp.Case) and node.this is not None:
        yield node.this


def _may_overflow(side: exp.Expression, known: Types) -> bool:
    plain = side.unnest()
    if known.of(side) != types.INT64:
        return False
    if isinstance(plain, _ARITHMETIC):
        return plain.find(exp.Column, exp.AggFunc) is not None
    while isinstance(plain, exp.Window | exp.Filter):
        plain = plain.this
    return isinstance(plain, exp.Sum)
