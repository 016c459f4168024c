"""Implicit coercion: literals are read as the type that their context needs.

Source: "Conversion rules", literal coercion
(https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#literal_coercion).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from sqlglot import exp

from local.cloud.bigquery.limits import invalid
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.rules import Context, rule
from local.cloud.bigquery.translation.types import Type

_DATE = re.compile(r"\s*(\d{1,4})-(\d{1,2})-(\d{1,2})(?!\d)")
_FORMATS = {types.DATE: _DATE, types.DATETIME: _DATE, types.TIMESTAMP: _DATE, types.TIME: re.compile(r"\s*\d{1,2}:")}
"""How the strings start that BigQuery reads as these types."""
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.In, exp.Between, exp.Nullif)


@rule(*_COMPARISONS, exp.Case, exp.If, exp.Coalesce, exp.Array, exp.Greatest, exp.Least)
def literal_in_context(node: exp.Expression, context: Context) -> exp.Expression | None:
    """A literal such as 1.5 beside NUMERIC values is NUMERIC; DuckDB would make all of them FLOAT64.

    Source: "Conversion rules", literal coercion.
    """
    operands = list(_operands(node))
    common = context.types.common(operands)
    for operand in operands:
        if common in _FORMATS and context.of(operand) == types.STRING and is_literal(operand):
            _check_literal(operand, common)
    strings = [part for part in operands if isinstance(part, exp.Parameter) and context.of(part) == types.STRING]
    if common in _FORMATS and strings:
        for operand in strings:
            parent, key, index = operand.parent, operand.arg_key, operand.index
            parent.set(key, context.as_type(operand, common), index)
        return node
    if common != types.NUMERIC:
        return None
    literals = [operand for operand in operands if is_literal(operand) and context.of(operand) == types.FLOAT64]
    for literal in literals:
        parent, key, index = literal.parent, literal.arg_key, literal.index
        parent.set(key, context.as_type(literal, types.NUMERIC), index)
    return node if literals else None


def _check_literal(literal: exp.Expression, kind: Type) -> None:
    """Refuse a string that is no date or time, in a place that needs one.

    Raises:
        ValidationError: in BigQuery's words.
    """
    text = literal.name
    found = _FORMATS[kind].match(text)
    valid = found is not None
    if found and kind != types.TIME:
        try:
            date(*(int(part) for part in found.groups()))
        except ValueError:
            valid = False
    if not valid:
        raise invalid(f'Could not cast literal "{text}" to type {kind}')


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
