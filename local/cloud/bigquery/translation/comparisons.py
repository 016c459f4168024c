"""Comparisons and conditions: which types may meet, and what NaN does.

Sources: "Operators", comparison and logical operators
(https://cloud.google.com/bigquery/docs/reference/standard-sql/operators#comparison_operators), "Data types", floating
point types: a comparison with NaN is false; the texts of errors: recorded answers.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from sqlglot import exp

from local.cloud.bigquery.limits import invalid, limit
from local.cloud.bigquery.translation import types
from local.cloud.bigquery.translation.annotation import is_literal
from local.cloud.bigquery.translation.macros import macro
from local.cloud.bigquery.translation.rules import (
    Context,
    call,
    is_long,
    is_simple,
    literal_number,
    named,
    rule,
    with_bound,
)
from local.cloud.bigquery.translation.structs import fit_all, fit_fields
from local.cloud.bigquery.translation.types import Type

_OPERATORS = {exp.EQ: "=", exp.NEQ: "!=", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">="}
_NAMES = {
    **{"=": "Equality", "!=": "Inequality", "<": "Less than", "<=": "Less than or equal"},
    **{">": "Greater than", ">=": "Greater than or equal"},
}
_NOT_GROUPABLE = ("JSON", "GEOGRAPHY")
_NOT_COMPARABLE = ("ARRAY", "JSON", "GEOGRAPHY")

# True if x is NaN; NULL if the other operand is, so that the comparison stays NULL.
macro("bq_is_nan(x, other)", "isnan(CASE WHEN other IS NOT NULL THEN x END)")
macro("bq_nan_as_null(x)", "CASE WHEN isnan(x) THEN NULL ELSE x END")
macro("bq_nullif(x, y)", "CASE WHEN x = y AND NOT isnan(x) THEN NULL ELSE x END")


@rule(*_OPERATORS)
def comparison(node: exp.Binary, context: Context) -> exp.Expression | None:
    """Compare values of types that have a common supertype; NaN equals nothing and is neither less nor greater.

    Source: "Operators", comparison operators; "Data types", floating point semantics.
    """
    if id(node) in context.types.assignments:
        return None
    left, right = context.of(node.this), context.of(node.expression)
    operator = _OPERATORS[type(node)]
    if left is None or right is None:
        return None
    common = context.types.common([node.this, node.expression])
    if common is None and not {left.name, right.name} <= {"STRUCT", "ARRAY", "NULL"}:
        raise invalid(_no_signature(operator, [left, right]))
    check_comparable(left, operator)
    check_comparable(right, operator)
    return _without_nan(node, context) if common == types.FLOAT64 else None


def _no_signature(operator: str, kinds: Sequence[Type]) -> str:
    both = ", ".join(sorted({str(kind) for kind in kinds}))
    return (
        f"No matching signature for operator {operator} for argument types: {named(kinds)}\n"
        f"  Signature: T1 {operator} T1\n    Unable to find common supertype for templated argument <T1>\n"
        f"      Input types for <T1>: {{{both}}}"
    )


def check_comparable(kind: Type, operator: str) -> None:
    """Refuse types whose values BigQuery does not compare.

    Raises:
        ValidationError: in BigQuery's words.
    """
    ordered = operator not in ("=", "!=")
    if kind.name in _NOT_COMPARABLE or (kind.name == "STRUCT" and ordered):
        raise invalid(f"{_NAMES[operator]} is not defined for arguments of type {kind}")


def _without_nan(node: exp.Binary, context: Context) -> exp.Expression | None:
    """Return the comparison with NaN as BigQuery has it; DuckDB's NaN equals itself and is the greatest number."""
    left, right = (_may_be_nan(side, context) for side in (node.this, node.expression))
    if isinstance(node, exp.EQ | exp.NEQ):
        greater = (0, 1) if left and right else None
    elif isinstance(node, exp.LT | exp.LTE):
        greater = (1, 0) if right else None
    else:
        greater = (0, 1) if left else None
    if greater is None:
        return None

    def compared(sides: list[exp.Expression]) -> exp.Expression:
        comparison = type(node)(this=sides[0], expression=sides[1])
        is_nan = call("bq_is_nan", *(sides[place].copy() for place in greater))
        if isinstance(node, exp.NEQ):
            return exp.paren(exp.or_(comparison, is_nan, copy=False), copy=False)
        return exp.paren(exp.and_(comparison, exp.not_(is_nan, copy=False), copy=False), copy=False)

    sides = [node.this, node.expression]
    return with_bound(sides, compared) if any(map(is_long, sides)) else compared(sides)


def _may_be_nan(node: exp.Expression, context: Context) -> bool:
    return context.of(node) == types.FLOAT64 and literal_number(node) is None


@rule(exp.Between)
def between(node: exp.Between, context: Context) -> exp.Expression | None:
    """BETWEEN is two comparisons.

    Source: "Operators", BETWEEN.
    """
    sides = [node.this, node.args["low"], node.args["high"]]
    kinds = [context.of(side) for side in sides]
    if None in kinds:
        return None
    common = context.types.common(sides)
    if common is None:
        raise invalid(f"No matching signature for operator BETWEEN for argument types: {named(kinds)}")
    check_comparable(common, "<=")
    if common == types.FLOAT64 and _may_be_nan(node.args["high"], context):
        return with_bound(sides, _between) if any(map(is_long, sides)) else _between(sides)
    return None


def _between(sides: list[exp.Expression]) -> exp.Expression:
    value, low, high = sides
    is_nan = call("bq_is_nan", high.copy(), value.copy())
    comparison = exp.Between(this=value, low=low, high=high)
    return exp.paren(exp.and_(comparison, exp.not_(is_nan, copy=False), copy=False), copy=False)


@rule(exp.In)
def membership(node: exp.In, context: Context) -> exp.Expression | None:
    """IN compares for equality.

    Source: "Operators", IN.
    """
    value, unnest, query = context.of(node.this), node.args.get("unnest"), node.args.get("query")
    others = list(node.expressions)
    if unnest is not None:
        array = context.of(unnest.expressions[0] if isinstance(unnest, exp.Unnest) else unnest)
        kinds = [array.element if array and array.name == "ARRAY" else None]
    elif query is not None:
        kinds = [context.of(query)]
    else:
        kinds = [context.of(other) for other in others]
    _check_single_column(query, context)
    if value is None or None in kinds:
        return None
    common = context.types.common([node.this, *others]) if others else types.supertype([value, *kinds])
    if common is None and value.name not in ("STRUCT", "NULL"):
        raise invalid(_no_membership(value, kinds, unnest is not None, query is not None))
    if common == types.FLOAT64 and _may_be_nan(node.this, context) and not all(map(literal_number, others or [node])):
        is_nan = call("isnan", node.this.copy())
        return exp.paren(exp.and_(node, exp.not_(is_nan, copy=False), copy=False), copy=False)
    return None


def _check_single_column(query: exp.Expression | None, context: Context) -> None:
    """Refuse a subquery of IN with several columns, other than SELECT AS STRUCT."""
    columns = context.types.results.get(id(query))
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.Select) and not query.args.get("kind") and columns and len(columns.pairs) > 1:
        raise invalid("Subquery of type IN must have only one output column")


def _no_membership(value: Type, kinds: Sequence[Type | None], is_array: bool, is_query: bool) -> str:
    if is_array:
        return f"No matching signature for operator IN UNNEST for argument types: {value}, {types.array(kinds[0])}"
    if is_query:
        return f"Cannot execute IN subquery with uncomparable types {value} and {kinds[0]}"
    found = ", ".join(sorted({str(kind) for kind in kinds}))
    return f"No matching signature for operator IN for argument types {value} and {{{found}}}"


# --- Conditions ------------------------------------------------------------------------------------------------------


@rule(exp.And, exp.Or, exp.Not)
def logic(node: exp.Expression, context: Context) -> exp.Expression | None:
    """AND, OR and NOT take BOOL.

    Source: "Operators", logical operators.
    """
    kinds = [context.of(side) for side in (node.this, node.args.get("expression")) if side is not None]
    if any(kind not in (None, types.NULL, types.BOOL) for kind in kinds):
        name = type(node).__name__.upper()
        raise invalid(f"No matching signature for operator {name} for argument types: {named(kinds)}")
    return None


@rule(exp.Is)
def truth(node: exp.Is, context: Context) -> exp.Expression | None:
    """IS TRUE and IS FALSE take BOOL.

    Source: "Operators", IS operators.
    """
    kind = context.of(node.this)
    if isinstance(node.expression, exp.Boolean) and kind not in (None, types.NULL, types.BOOL):
        word = node.expression.sql().upper()
        raise invalid(f"No matching signature for operator IS {word} for argument types: {kind}")
    return None


@rule(exp.Where, exp.Having, exp.Qualify, exp.Join)
def condition(node: exp.Expression, context: Context) -> exp.Expression | None:
    """WHERE, HAVING, QUALIFY and ON take BOOL.

    Source: "Query syntax", WHERE clause.
    """
    on = node.args.get("on") if isinstance(node, exp.Join) else node.this
    kind = context.of(on)
    if kind not in (None, types.NULL, types.BOOL):
        name = "JOIN ON" if isinstance(node, exp.Join) else type(node).__name__.upper()
        raise invalid(f"{name} clause should return type BOOL, but returns {kind}")
    return None


@rule(exp.Join)
def join_using(node: exp.Join, context: Context) -> exp.Expression | None:
    """The columns of USING are compared for equality.

    Source: "Query syntax", USING clause.
    """
    for name, left, right in context.types.joined.get(id(node), ()):
        if left is not None and right is not None and types.supertype((left, right)) is None:
            raise invalid(
                f"Column '{name}' in USING has incompatible types that cannot be directly compared using equality on "
                f"either side of the join: {left} and {right}"
            )
        if types.FLOAT64 in (left, right):
            raise limit(f"join USING the FLOAT64 column {name}, in which NaN would equal NaN; write ON a = b")
        if any(kind is not None and kind.name == "STRUCT" for kind in (left, right)):
            raise limit(f"join USING the STRUCT {name}; write ON with its fields")
    return None


@rule(exp.Union, exp.Except, exp.Intersect)
def set_operation(node: exp.SetOperation, context: Context) -> exp.Expression | None:
    """The columns of set operations have common types, by their positions.

    Source: "Query syntax", set operators.
    """
    left, right = (context.types.results.get(id(side)) for side in (node.this, node.expression))
    if left is None or right is None or node.args.get("by_name"):
        return None
    left_kinds, right_kinds = left.kinds, right.kinds
    name = f"{type(node).__name__.upper()} {'DISTINCT' if node.args.get('distinct') else 'ALL'}"
    if len(left_kinds) != len(right_kinds):
        raise invalid(
            f"Queries in {name} have mismatched column count; query 1 has {len(left_kinds)} column"
            f"{'s' * (len(left_kinds) > 1)}, query 2 has {len(right_kinds)} column{'s' * (len(right_kinds) > 1)}"
        )
    sides = (node.this.selects, node.expression.selects)
    changed = False
    for position, kinds in enumerate(zip(left_kinds, right_kinds, strict=True)):
        right_item = sides[1][position].unalias() if len(sides[1]) == len(right_kinds) else None
        fit_fields(right_item, *kinds, context)
        if node.args.get("distinct") and any(kind is not None and kind.name in _NOT_GROUPABLE for kind in kinds):
            found = next(kind for kind in kinds if kind is not None and kind.name in _NOT_GROUPABLE)
            raise invalid(
                f"Column {position + 1} in {name} has type that does not support set operation comparisons: {found}"
            )
        items = [side[position].unalias() if len(side) == len(left_kinds) else None for side in sides]
        if None in kinds or _nested(kinds) or kinds[0] == kinds[1]:
            continue
        common = context.types.common(items) if None not in items else types.supertype(kinds)
        if common is None:
            raise invalid(f"Column {position + 1} in {name} has incompatible types: {named(kinds)}")
        for item in items:
            if item is not None and is_literal(item) and not isinstance(item, exp.Null) and context.of(item) != common:
                site, key, index = item.parent, item.arg_key, item.index
                site.set(key, context.as_type(item, common), index)
                changed = True
    return node if changed else None


# --- Expressions that choose among values -----------------------------------------------------------------------------


@rule(exp.Case)
def case(node: exp.Case, context: Context) -> exp.Expression | None:
    """All results of CASE have a common type; the operand is compared with the values.

    Source: "Conditional expressions", CASE.
    """
    branches = node.args["ifs"]
    results = [branch.args["true"] for branch in branches]
    if node.args.get("default") is not None:
        results.append(node.args["default"])
    kinds = [context.of(result) for result in results]
    if None not in kinds and context.types.common(results) is None and not _nested(kinds):
        raise invalid(
            "No matching signature for operator CASE; all THEN/ELSE arguments must be coercible to a common type but "
            f"found: {named(kinds)}"
        )
    fit_all(results, context)
    if node.this is None:
        tests = [context.of(branch.this) for branch in branches]
        if any(kind not in (None, types.NULL, types.BOOL) for kind in tests):
            found = f"all WHEN argument types must be BOOL but found: {named(tests)}"
            raise invalid(f"No matching signature for operator CASE; {found}")
        return None
    values = [node.this, *(branch.this for branch in branches)]
    compared = [context.of(value) for value in values]
    if None not in compared and context.types.common(values) is None and not _nested(compared):
        raise invalid(f"No matching signature for operator CASE for argument types: {named(compared)}")
    if _may_be_nan(node.this, context) and not all(literal_number(value) for value in values[1:]):
        node.set("this", call("bq_nan_as_null", node.this))
        return node
    return None


@rule(exp.If, exp.Coalesce, exp.Nullif, exp.Greatest, exp.Least, exp.Array)
def choice(node: exp.Expression, context: Context) -> exp.Expression | None:
    """The arguments of IF, COALESCE, NULLIF, GREATEST and LEAST, and the elements of an array, have a common type.

    Source: "Conditional expressions", "Mathematical functions", "Array functions".
    """
    if isinstance(node, exp.If):
        if isinstance(node.parent, exp.Case):
            return None
        test = context.of(node.this)
        operands = [node.args["true"], node.args.get("false") or exp.null()]
        refused = test not in (None, types.NULL, types.BOOL)
    else:
        single = [node.this, node.args.get("expression")] if not isinstance(node, exp.Array) else []
        operands = [part for part in (*single, *node.expressions) if part is not None]
        refused = False
        if len(operands) == 1 and isinstance(operands[0], exp.Query):
            return None
    if not isinstance(node, exp.Array):
        fit_all(operands, context)
    kinds = [context.of(operand) or (types.NULL if isinstance(operand, exp.Null) else None) for operand in operands]
    unordered = [kind for kind in kinds if kind is not None and kind.name in (*_NOT_COMPARABLE, "STRUCT")]
    if unordered and isinstance(node, exp.Greatest | exp.Least):
        raise invalid(f"{node.sql_name()} is not defined for arguments of type {unordered[0]}")
    refused = refused or (None not in kinds and context.types.common(operands) is None and not _nested(kinds))
    if refused and isinstance(node, exp.Array):
        found = ", ".join(sorted({str(kind) for kind in kinds}))
        raise invalid(f"Array elements of types {{{found}}} do not have a common supertype")
    if refused:
        kinds = [context.of(node.this), *kinds] if isinstance(node, exp.If) else kinds
        name = "IF" if isinstance(node, exp.If) else str(node.meta.get("name") or node.sql_name()).upper()
        raise invalid(f"No matching signature for function {name} for argument types: {named(kinds)}")
    if isinstance(node, exp.Nullif) and _may_be_nan(node.this, context):
        return call("bq_nullif", node.this, node.expression)
    return None


@rule(exp.Coalesce)
def first_known(node: exp.Coalesce, context: Context) -> exp.Expression | None:
    """COALESCE and IFNULL evaluate no argument after the one they choose, so that its error is none.

    Source: "Conditional expressions", COALESCE: "The remaining expressions aren't evaluated".
    """
    arguments = [node.this, *node.expressions]
    if all(map(is_simple, arguments[1:])):
        return None
    result = arguments[-1]
    for argument in reversed(arguments[:-1]):
        result = with_bound([argument], functools.partial(_unless_null, otherwise=result))
    return result


def _unless_null(names: list[exp.Expression], *, otherwise: exp.Expression) -> exp.Expression:
    known = exp.not_(exp.Is(this=names[0].copy(), expression=exp.null()))
    return exp.Case(ifs=[exp.If(this=known, true=names[0].copy())], default=otherwise)


def _nested(kinds: Sequence[Type | None]) -> bool:
    """Return whether types have parts, whose common type is not decided here."""
    return any(kind is not None and kind.name in ("STRUCT", "ARRAY") for kind in kinds)
